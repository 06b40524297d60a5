"""Operators one by one: what is free, and that slim gives what masking by hand gives."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs.graph import trace
from tests import operators, unusual
from tests.by_hand import assert_each_by_itself, assert_same, reasons, silence, slim_by_group
from tests.helpers import image, relative_difference

SHAPE = (1, 3, 8, 8)
FREE = (operators.Reflected, operators.Edged, operators.RowOfZeros, operators.Filled, operators.Flipped,
        operators.RowMaximum, operators.RowBelow, operators.Halved, operators.Unfolded, operators.Deformed,
        operators.Rare, operators.Unpooled, operators.Spectral, operators.Spikes, unusual.SpatialGate)


@pytest.mark.parametrize("build", FREE)
def test_each_channel_by_itself(build):
    assert_each_by_itself(build, SHAPE)


@pytest.mark.parametrize("build, silent", [
    (operators.InstanceNormed, ("norm.gamma", "norm.beta")), (operators.Shifted, ("bn.gamma", "bn.beta", "shift")),
    (operators.Floor, ("bn.gamma", "bn.beta", "bound"))])
def test_parameters_that_have_to_be_silent_too(build, silent):
    gone = {1, 2}
    small, full = slim_by_group(build, (SHAPE,), "conv", gone)
    for name in silent:
        silence(full, name, gone, axis=1 if name == "shift" else 0)
    assert small.conv.weight.shape == (6, 6, 3, 3)
    assert_same(small, full, image(2, *SHAPE[1:]))
    graph = trace(build(), SHAPE)
    group = next(g for g in graph.groups() if g.name == "conv")
    assert {s.parameter for s in graph.silencers(group)} >= set(silent)


@pytest.mark.parametrize("build, reason", [
    (operators.ChannelOfZeros, "FIXED_BY_CODE"), (operators.FilledWithOnes, "NOT_ZERO"),
    (operators.FlippedChannels, "MIXES_CHANNELS"), (operators.Neighbours, "MIXES_CHANNELS"),
    (operators.SpectrumOfChannels, "MIXES_CHANNELS"), (operators.SpectrumOfAll, "MIXES_CHANNELS"),
    (operators.Pauses, "NOT_ZERO"),
    (unusual.SpatialSum, "NOT_ZERO"), (unusual.PlusScalar, "NOT_ZERO")])
def test_what_stays(build, reason):
    assert reasons(build, SHAPE)["conv"] == (8, reason)


def test_the_coordinates_of_a_sampling_grid_stay():
    found = reasons(unusual.SamplingGrid, SHAPE)
    assert (found["conv"], found["grid"]) == ((8, None), (2, "FIXED_OPERAND"))


def test_the_places_that_a_deformable_convolution_reads_stay():
    found = reasons(operators.Deformed, SHAPE)
    assert (found["conv"], found["places"]) == ((8, None), (27, "FIXED_OPERAND"))


@pytest.mark.parametrize("from_left", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1, 1), (1, 8, 1, 1), (8, 1, 1), (1, 8, 8, 8)])
def test_a_parameter_of_any_shape_multiplies(shape, from_left):
    gone = {0, 5}
    small, full = slim_by_group(lambda: unusual.Scaled(shape, from_left), (SHAPE,), "conv", gone)
    for name in ("bn0.gamma", "bn0.beta", "bn.gamma", "bn.beta"):
        silence(full, name, gone)
    assert small.scale.shape == tuple(6 if n == 8 and k == len(shape) - 3 else n for k, n in enumerate(shape))
    assert_same(small, full, image(2, *SHAPE[1:]))


def test_batch_norm_out_of_four_vectors():
    gone = {0, 7}
    small, full = slim_by_group(unusual.FrozenNorms, (SHAPE,), "a", gone)
    for name in ("norm_a.shift", "norm_a.mean", "a.weight"):
        silence(full, name, gone)
    assert {p.name: p.shape for p in small.norm_a.get_parameters()} == {
        f"norm_a.{name}": (6,) for name in ("scale", "shift", "mean", "spread")}
    assert_same(small, full, image(2, *SHAPE[1:]))


def test_zero_is_known_for_each_part_of_a_concat():
    found = reasons(unusual.HalfSquashed, SHAPE)
    assert (found["a"], found["b"]) == ((5, None), (6, "NOT_ZERO"))


@pytest.mark.parametrize("build, shape, name, silent, weight", [
    (operators.OwnConvolution, SHAPE, "conv", ("bn.gamma", "bn.beta"), (5, 3, 3, 3)),
    (operators.Volume, (1, 2, 8, 8, 8), "conv", ("bn.bn2d.gamma", "bn.bn2d.beta"), (5, 2, 3, 3, 3)),
    (operators.Signal, (1, 2, 16), "conv", ("bn.gamma", "bn.beta"), (5, 2, 1, 3)),
    (operators.Recurrent, (1, 3, 4, 8), "conv", ("bn.gamma", "bn.beta"), (5, 3, 3, 3)),
    (lambda: operators.Recurrent(nn.GRU), (1, 3, 4, 8), "conv", ("bn.gamma", "bn.beta"), (5, 3, 3, 3)),
    (lambda: operators.Recurrent(nn.RNN), (1, 3, 4, 8), "conv", ("bn.gamma", "bn.beta"), (5, 3, 3, 3))])
def test_other_layers_than_conv2d(build, shape, name, silent, weight):
    gone = {0, 3, 6}
    small, full = slim_by_group(build, (shape,), name, gone)
    for parameter in silent:
        silence(full, parameter, gone)
    layer = getattr(small, name)
    assert (layer.w if build is operators.OwnConvolution else layer.weight).shape == weight
    assert_same(small, full, image(2, *shape[1:]))


@pytest.mark.parametrize("build, shape, silent", [
    (operators.Volume, (1, 2, 8, 8, 8), "up"), (operators.Signal, (1, 2, 16), "up")])
def test_transposed_convolutions(build, shape, silent):
    gone = {1, 4}
    small, full = slim_by_group(build, (shape,), "up", gone)
    silence(full, "up.weight", gone, axis=1)
    silence(full, "up.bias", gone)
    assert small.up.weight.shape[:2] == (8, 4)
    assert_same(small, full, image(2, *shape[1:]))


@pytest.mark.parametrize("build, shape", [(operators.Signal, (1, 2, 16)), (operators.Volume, (1, 2, 8, 8, 8))])
def test_transposed_convolutions_train_with_fewer_inputs(build, shape):
    small, full = slim_by_group(build, (shape,), "conv", {1, 4})
    for parameter in full.bn.trainable_params():
        silence(full, parameter.name, {1, 4})

    def gradients(net):
        net.set_train(False)
        return ms.grad(lambda x: (net(x) ** 2).mean(), None, [net.conv.weight, net.up.weight])(image(2, *shape[1:]))

    for found, expected in zip(gradients(small), gradients(full)):
        assert relative_difference(found, np.delete(expected.asnumpy(), [1, 4], 0)) < 1e-5


def test_two_operators_of_one_cell_that_nobody_can_tell_apart_stay():
    groups = trace(operators.OwnPair(), SHAPE).groups()
    assert [(g.weights, g.size, g.blocked_by.reason.name) for g in groups] == [
        (("first",), 6, "FIXED_BY_CODE"), (("second",), 4, "REACHES_OUTPUT")]


def test_weights_of_the_network_itself_are_called_by_their_names():
    groups = trace(operators.TupleOfWeights(), SHAPE).groups()
    assert [group.members for group in groups] == [("first",), ("second",), ("third",)]


def test_rolling_in_space_leaves_channels_alone():
    """MindSpore has no kernel for it on CPU."""
    assert reasons(operators.Rolled, SHAPE)["conv"] == (8, None)


def test_a_table_that_two_operators_read_stays():
    found = reasons(operators.TiedTable, ms.Tensor([1, 2], ms.int32))
    assert found["hidden"] == (8, None) and found["back"][1] is not None
    small, full = slim_by_group(operators.TiedTable, (ms.Tensor([1, 2], ms.int32),), "hidden", {0, 1})
    silence(full, "hidden.weight", {0, 1})
    silence(full, "hidden.bias", {0, 1})
    assert_same(small, full, ms.Tensor([3, 9], ms.int32))


def test_a_weight_that_is_also_read_as_numbers_stays():
    assert reasons(operators.ReusedWeight, SHAPE)["conv"] == (8, "COMPUTED_WEIGHT")


@pytest.mark.parametrize("how", ["embedding", "gather", "index", "one_hot"])
def test_integers_come_in(how):
    t = ms.Tensor(np.array([1], np.int32))
    found = reasons(lambda: operators.Conditioned(how), SHAPE, t)
    assert found["conv modulate"] == (8, None)
    small, full = slim_by_group(lambda: operators.Conditioned(how), (SHAPE, t), "conv", {2, 5})
    for name in ("bn.gamma", "bn.beta", "modulate.weight", "modulate.bias"):
        silence(full, name, {2, 5})
    assert_same(small, full, image(3, *SHAPE[1:]), ms.Tensor(np.array([7, 0, 3], np.int32)))


def test_random_numbers_of_a_fixed_shape_keep_the_channels_that_they_meet():
    found = reasons(operators.Sampled, SHAPE)
    assert found["conv"] == (8, None) and found["mean spread"][1] is not None
