"""Other ways to write the same: what is free, and that slim gives what masking by hand gives."""

import mindspore as ms
import numpy as np
import pytest

from mindspore_gs import ChannelPruner, export_mindir, load_mindir, prune
from mindspore_gs.graph import trace
from tests import forms
from tests.by_hand import assert_each_by_itself, assert_same, reasons, silence, slim_by_group
from tests.helpers import evaluate, image, randomise, relative_difference

SHAPE = (1, 3, 8, 8)


@pytest.mark.parametrize("build", [forms.Permuted, forms.Extreme, forms.Thresholded, forms.Noisy,
                                   forms.OnTheSphere, forms.ExpandedNumber])
def test_each_channel_by_itself(build):
    assert_each_by_itself(build, SHAPE)


@pytest.mark.parametrize("how", ["expand_as", "broadcast_to", "tile", "repeat"])
def test_a_gate_that_is_expanded_has_as_many_channels_as_what_it_gates(how):
    assert_each_by_itself(lambda: forms.Expanded(how), SHAPE)


@pytest.mark.parametrize("build", [forms.Permuted, lambda: forms.Expanded("expand_as"), forms.ReadFromTheRight],
                         ids=["views", "gate", "transposed"])
def test_their_files_compute_what_the_slim_networks_do(build, tmp_path):
    net = randomise(build())
    x = image(2, 5, 6) if isinstance(net, forms.ReadFromTheRight) else image(2, *SHAPE[1:])
    pruner = ChannelPruner(prune_rate=0.5, input_shape=tuple(x.shape))
    masked = pruner.apply(net)
    small = pruner.convert(masked)
    expected = evaluate(masked, x)
    assert relative_difference(evaluate(small, x), expected) <= 1e-5
    loaded = load_mindir(export_mindir(small, x, tmp_path / "small"))
    assert relative_difference(loaded(x), expected) <= 1e-5


@pytest.mark.parametrize("build, reason", [
    (lambda: forms.Expanded("number"), "FIXED_BY_CODE"), (lambda: forms.Expanded("added"), "NOT_ZERO"),
    (lambda: forms.Expanded("cat"), "FIXED_BY_CODE"), (forms.Ranked, "MIXES_CHANNELS"),
    (forms.OnTheSphereBehindSigmoid, "MIXES_CHANNELS")],
    ids=["number", "added", "concatenated", "ranked", "sphere"])
def test_what_stays(build, reason):
    assert reasons(build, SHAPE)["conv"] == (8, reason)


@pytest.mark.parametrize("build", [forms.RankedInRows, forms.LengthOverChannels])
def test_the_axis_stands_behind_another_number(build):
    """MindSpore has no kernels for these operators of mint on CPU."""
    assert reasons(build, SHAPE)["conv"] == (8, None)


def test_halves_that_gate_each_other_and_groups_that_are_shuffled_go_together():
    assert reasons(forms.Gated, SHAPE)["conv"] == (2, None)
    small, full = slim_by_group(forms.Gated, (SHAPE,), "conv", {1})
    for name in ("bn.gamma", "bn.beta"):
        silence(full, name, {1, 3, 5, 7})
    assert (small.conv.weight.shape[0], small.last.weight.shape[1]) == (4, 2)
    assert_same(small, full, image(2, *SHAPE[1:]))


def test_transposed_weights_are_those_of_dense_layers():
    rows = ms.Tensor(np.random.default_rng(0).standard_normal((4, 5, 6)), ms.float32)
    found = trace(forms.ReadFromTheRight(), rows).groups()
    assert [(g.name, g.size, g.blocked_by is None) for g in found] == [
        ("first", 12, True), ("second", 10, True), ("third", 8, True), ("last", 3, False)]
    small = prune(randomise(forms.ReadFromTheRight()), prune_rate=0.5, inputs=rows)
    shapes = [parameter.shape for parameter in (small.first, small.bias, small.second, small.third)]
    assert shapes == [(6, 6), (6,), (5, 6), (4, 5)]


def test_a_transposed_weight_that_more_than_a_product_reads_stays():
    assert reasons(forms.ReadTwice, (2, 6)) == {"last": (3, "REACHES_OUTPUT")}


def test_nothing_is_divided_by_a_masked_parameter():
    found = reasons(forms.DividedAndAdded, SHAPE)
    assert found["left right"] == (8, "DIVIDES")
