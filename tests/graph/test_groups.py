"""Golden tables: which channels go together, and why some may not go."""

from functools import cache

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import ChannelPruner, export_mindir, load_mindir, prune
from mindspore_gs.graph import Blocked, trace
from mindspore_gs.pruner.residual import prunable_groups
from mindspore_gs.slim import PrunePlan, mask, relative_difference, slim
from tests import couplings, networks, sized
from tests.by_hand import assert_same
from tests.helpers import evaluate, parameter_count, randomise


def depthwise_x2():
    return networks.Depthwise(2)


@cache
def graph_of(build):
    """The graph of a network, traced once: it is immutable."""
    return trace(build(), (1, 1, 8, 8) if build is networks.OneChannel else (1, 3, 8, 8))


FREE = None
OUT = Blocked.REACHES_OUTPUT
FIRST = Blocked.FIRST_CONVOLUTION

# network -> [(members, number of channels, why blocked)]
COUPLE = {
    "chain": (networks.Chain, [("conv1", 6, FREE), ("conv2", 8, FREE), ("conv3", 4, OUT)]),
    "identity": (networks.Identity, [("stem b", 8, FREE), ("a", 6, FREE), ("fc", 4, OUT)]),
    "projection": (networks.Projection,
                   [("stem", 6, FREE), ("a", 5, FREE), ("short.0 b", 8, FREE), ("fc", 4, OUT)]),
    "option_a": (networks.OptionA, [("stem b", 4, FREE), ("a", 6, FREE), ("b", 4, Blocked.CONSTANT), ("fc", 4, OUT)]),
    "depthwise": (networks.Depthwise, [("stem dw", 6, FREE), ("pw", 8, FREE), ("fc", 4, OUT)]),
    "depthwise_x2": (depthwise_x2, [("stem dw", 6, FREE), ("pw", 8, FREE), ("fc", 4, OUT)]),
    "grouped": (networks.Grouped, [("stem", 4, FREE), ("g", 6, FREE), ("last", 4, OUT)]),
    "one_channel": (networks.OneChannel, [("a", 6, FREE), ("b", 1, FREE), ("c", 6, FREE), ("last", 2, OUT)]),
    "flatten": (networks.Flattened, [("stem", 6, FREE), ("conv", 4, FREE), ("fc1", 10, FREE), ("fc2", 3, OUT)]),
    "gate": (networks.Gate, [("stem", 6, FREE), ("main expand", 8, FREE), ("reduce", 2, FREE), ("last", 4, OUT)]),
    "concat": (networks.Branches, [("stem", 6, FREE), ("a", 4, FREE), ("b", 5, FREE), ("last", 4, OUT)]),
    "sigmoid": (networks.SigmoidBetween, [("stem", 6, FREE), ("conv", 8, Blocked.NOT_ZERO), ("last", 4, OUT)]),
    "sigmoid_relu": (networks.SigmoidThenRelu, [("stem", 6, FREE), ("conv", 8, Blocked.NOT_ZERO), ("last", 4, OUT)]),
    "plus_one": (networks.PlusOne, [("stem", 6, FREE), ("conv", 8, Blocked.NOT_ZERO), ("last", 4, OUT)]),
    "shift": (networks.Shift, [("stem", 6, FREE), ("conv", 8, FREE), ("last", 4, OUT)]),
    "second_norm": (networks.SecondNorm, [("stem", 6, FREE), ("conv", 8, FREE), ("last", 4, OUT)]),
    "times_two": (networks.TimesTwo, [("stem", 6, FREE), ("conv", 8, FREE), ("last", 4, OUT)]),
    "scale": (networks.ScaleShift, [("stem", 6, FREE), ("conv", 8, FREE), ("last", 4, OUT)]),
    "prelu": (networks.PReluBetween, [("stem", 6, FREE), ("conv", 8, FREE), ("last", 4, OUT)]),
    "shuffle": (networks.Shuffle, [("stem", 6, FREE), ("conv", 4, FREE), ("last", 4, OUT)]),
    "border": (networks.BorderBetween, [("stem", 6, FREE), ("conv", 8, FREE), ("last", 4, OUT)]),
    "channel_mean": (networks.ChannelMean,
                     [("stem", 6, FREE), ("conv", 8, Blocked.MIXES_CHANNELS), ("last", 4, OUT)]),
    "softmax": (networks.SoftmaxBetween,
                [("stem", 6, FREE), ("conv", 8, Blocked.MIXES_CHANNELS), ("last", 4, OUT)]),
    "cumsum": (networks.CumsumBetween,
               [("stem", 6, FREE), ("conv", 8, Blocked.MIXES_CHANNELS), ("last", 4, OUT)]),
    "half": (networks.HalfOfChannels, [("stem", 6, FREE), ("conv", 4, Blocked.FIXED_BY_CODE),
                                       ("conv", 4, Blocked.FIXED_BY_CODE), ("last", 4, OUT)]),
    "called_twice": (networks.Twice, [("stem conv", 8, FREE), ("mid", 6, FREE), ("last", 4, OUT)]),
    "shared_weight": (networks.SharedWeight, [("stem a", 8, FREE), ("mid", 6, FREE), ("last", 4, OUT)]),
    "options": (networks.Options, [("stem b", 8, FREE), ("a dw", 10, FREE), ("c", 12, FREE), ("fc", 4, OUT)]),
    "split": (couplings.SplitAndGate, [("stem", 6, FREE), ("conv", 4, FREE), ("last", 4, OUT)]),
    "two_parts": (couplings.TwoParts, [("stem", 6, FREE), ("conv", 4, FREE), ("last", 4, OUT)]),
    "chunks": (couplings.Chunks, [("stem", 6, FREE), ("conv unit", 4, FREE), ("last", 4, OUT)]),
    "channels_in_parts": (couplings.ChannelsInParts,
                          [("stem", 6, FREE), ("conv", 8, Blocked.FIXED_BY_CODE), ("last", 4, OUT)]),
    "standardised": (couplings.Standardised, [("stem", 6, FREE), ("conv", 8, Blocked.MIXES_CHANNELS),
                                              ("unit", 5, FREE), ("last", 4, OUT)]),
    "neighbour_gate": (couplings.NeighbourGate,
                       [("stem", 6, FREE), ("conv", 8, Blocked.MIXES_CHANNELS), ("unit", 1, FREE), ("last", 4, OUT)]),
    "token_mixing": (couplings.TokenMixing, [("stem", 6, FREE), ("conv", 8, Blocked.OTHER_AXIS),
                                             ("unit", 8, Blocked.OTHER_AXIS), ("last", 4, OUT)]),
    "experts": (couplings.Experts, [("stem", 6, FREE), ("conv", 8, Blocked.COMPUTED_WEIGHT), ("last", 4, OUT)]),
    "experts_of_places": (couplings.ExpertsOfPlaces,
                          [("stem", 6, FREE), ("conv", 8, Blocked.COMPUTED_WEIGHT), ("last", 4, OUT)]),
    "transposed_weight": (couplings.TransposedWeight,
                          [("stem", 6, FREE), ("conv", 8, Blocked.COMPUTED_WEIGHT), ("last", 4, OUT)]),
    "halves": (couplings.Halves, [("stem", 6, FREE), ("conv", 4, FREE), ("unit", 4, FREE), ("last", 4, OUT)]),
    "shuffled_halves": (couplings.ShuffledHalves, [("stem", 6, FREE), ("conv", 8, FREE),
                                                   ("wide first second", 4, FREE), ("last", 4, OUT)]),
    "pixel_shuffle": (couplings.PixelShuffle, [("stem", 6, FREE), ("conv", 2, FREE), ("last", 4, OUT)]),
    "space_to_depth": (couplings.SpaceToDepth, [("stem", 6, FREE), ("conv", 8, FREE), ("last", 4, OUT)]),
    "selected": (couplings.Selected, [("stem", 6, FREE), ("conv other expand", 8, FREE), ("reduce", 3, FREE),
                                      ("last", 4, OUT)]),
    "side_by_side": (couplings.SideBySide, [("stem", 6, FREE), ("conv other first second", 8, FREE),
                                            ("reduce", 3, FREE), ("last", 4, OUT)]),
    "taller": (couplings.Taller, [("stem", 6, FREE), ("conv other", 8, FREE), ("last", 4, OUT)]),
    "repeated": (couplings.Repeated, [("stem", 6, FREE), ("conv", 8, FREE), ("last", 4, OUT)]),
    "upsampled": (couplings.Upsampled, [("stem", 6, FREE), ("conv", 8, FREE), ("up", 5, FREE), ("last", 4, OUT)]),
    "group_norm": (couplings.GroupNormBetween, [("stem", 6, FREE), ("conv", 2, FREE), ("last", 4, OUT)]),
    "layer_norm": (couplings.LayerNormBetween,
                   [("stem", 6, FREE), ("conv", 8, Blocked.MIXES_CHANNELS), ("last", 4, OUT)]),
    "no_rule": (couplings.WithoutRule,
                [("stem", 6, FREE), ("conv", 8, Blocked.UNKNOWN_OPERATOR), ("last", 4, OUT)]),
    "picked": (couplings.PickedChannels,
               [("stem", 6, FREE), ("conv", 8, Blocked.FIXED_BY_CODE), ("last", 4, OUT)]),
    "dense_block": (couplings.DenseBlock, [("stem", 4, FREE), ("conv1", 3, FREE), ("conv2", 3, FREE),
                                           ("last", 4, OUT)]),
    "with_input": (couplings.WithInput, [("conv", 6, FREE), ("last", 4, OUT)]),
    "attention": (couplings.Attention, [("stem", 6, FREE), ("query key", 4, FREE), ("value", 6, FREE),
                                        ("hidden", 10, FREE), ("out", 4, OUT)]),
    "dictionary": (couplings.InDictionary, [("parts.conv", 6, FREE), ("parts.second", 8, FREE),
                                            ("parts.head", 4, OUT)]),
    "auxiliary": (couplings.AuxiliaryHead, [("stem", 6, FREE), ("aux", 4, OUT), ("head", 4, OUT)]),
    "containers": (couplings.InContainers, [("stages.0.0", 6, FREE), ("stages.1.0", 8, FREE), ("head", 4, OUT)]),
}
KEEP = {
    "chain": (networks.Chain, [("conv1", 6, FIRST), ("conv2", 8, FREE), ("conv3", 4, OUT)]),
    "identity": (networks.Identity, [("stem", 8, FIRST), ("a", 6, FREE), ("b", 8, FREE), ("fc", 4, OUT)]),
    "projection": (networks.Projection, [("stem", 6, FIRST), ("a", 5, FREE), ("short.0", 8, Blocked.SHORTCUT),
                                         ("b", 8, FREE), ("fc", 4, OUT)]),
    "option_a": (networks.OptionA, [("stem", 4, FIRST), ("a", 6, FREE), ("b", 8, FREE), ("fc", 4, OUT)]),
    "depthwise": (networks.Depthwise, [("stem dw", 6, FIRST), ("pw", 8, FREE), ("fc", 4, OUT)]),
    "gate": (networks.Gate, [("stem", 6, FIRST), ("main expand", 8, FREE), ("reduce", 2, FREE), ("last", 4, OUT)]),
}


def sorted_table(groups):
    rows = [(" ".join(g.members), g.size, g.blocked_by and g.blocked_by.reason) for g in groups]
    return sorted(rows, key=str)


@pytest.mark.parametrize("build, expected", COUPLE.values(), ids=COUPLE)
def test_groups_that_lose_the_same_channels(build, expected):
    assert sorted_table(graph_of(build).groups("couple")) == sorted(expected, key=str)


@pytest.mark.parametrize("build, expected", KEEP.values(), ids=KEEP)
def test_groups_when_residual_streams_keep_their_width(build, expected):
    assert sorted_table(prunable_groups(graph_of(build), "keep")) == sorted(expected, key=str)


def test_groups_come_in_order_of_execution():
    assert [g.name for g in graph_of(networks.Chain).groups()] == ["conv1", "conv2", "conv3"]
    assert [g.name for g in graph_of(networks.Flattened).groups()] == ["stem", "conv", "fc1", "fc2"]


CHANNEL = {  # network, group, channel -> everything that goes with it
    "chain": (networks.Chain, "conv1", 2, {
        ("conv1.weight", 0, (2,)), ("bn1.gamma", 0, (2,)), ("bn1.beta", 0, (2,)), ("bn1.moving_mean", 0, (2,)),
        ("bn1.moving_variance", 0, (2,)), ("conv2.weight", 1, (2,))}),
    "flatten": (networks.Flattened, "conv", 1, {
        ("conv.weight", 0, (1,)), ("bn.gamma", 0, (1,)), ("bn.beta", 0, (1,)), ("bn.moving_mean", 0, (1,)),
        ("bn.moving_variance", 0, (1,)), ("fc1.weight", 1, tuple(range(16, 32)))}),
    "dense": (networks.Flattened, "fc1", 3, {
        ("fc1.weight", 0, (3,)), ("fc1.bias", 0, (3,)), ("fc2.weight", 1, (3,))}),
    "grouped inputs": (networks.Grouped, "stem", 1, {
        ("stem.weight", 0, (1, 5)), ("bn0.gamma", 0, (1, 5)), ("bn0.beta", 0, (1, 5)), ("bn0.moving_mean", 0, (1, 5)),
        ("bn0.moving_variance", 0, (1, 5)), ("g.weight", 1, (1,))}),
    "grouped outputs": (networks.Grouped, "g", 1, {
        ("g.weight", 0, (1, 7)), ("bn1.gamma", 0, (1, 7)), ("bn1.beta", 0, (1, 7)), ("bn1.moving_mean", 0, (1, 7)),
        ("bn1.moving_variance", 0, (1, 7)), ("last.weight", 1, (1, 7))}),
    "depthwise_x2": (depthwise_x2, "stem", 4, {
        ("stem.weight", 0, (4,)), ("bn0.gamma", 0, (4,)), ("bn0.beta", 0, (4,)), ("bn0.moving_mean", 0, (4,)),
        ("bn0.moving_variance", 0, (4,)), ("dw.weight", 0, (8, 9)), ("bn1.gamma", 0, (8, 9)),
        ("bn1.beta", 0, (8, 9)), ("bn1.moving_mean", 0, (8, 9)), ("bn1.moving_variance", 0, (8, 9)),
        ("pw.weight", 1, (8, 9))}),
    "concat": (networks.Branches, "b", 2, {
        ("b.weight", 0, (2,)), ("bn2.gamma", 0, (2,)), ("bn2.beta", 0, (2,)), ("bn2.moving_mean", 0, (2,)),
        ("bn2.moving_variance", 0, (2,)), ("last.weight", 1, (6,))}),
    "halves": (couplings.Halves, "conv", 1, {
        ("conv.weight", 0, (2, 3)), ("bn.gamma", 0, (2, 3)), ("bn.beta", 0, (2, 3)), ("bn.moving_mean", 0, (2, 3)),
        ("bn.moving_variance", 0, (2, 3)), ("unit.weight", 1, (1,)), ("last.weight", 1, (1,))}),
    "pixel_shuffle": (couplings.PixelShuffle, "conv", 1, {
        ("conv.weight", 0, (4, 5, 6, 7)), ("bn.gamma", 0, (4, 5, 6, 7)), ("bn.beta", 0, (4, 5, 6, 7)),
        ("bn.moving_mean", 0, (4, 5, 6, 7)), ("bn.moving_variance", 0, (4, 5, 6, 7)), ("last.weight", 1, (1,))}),
    "transposed": (couplings.Upsampled, "up", 3, {
        ("up.weight", 1, (3,)), ("up.bias", 0, (3,)), ("bn_up.gamma", 0, (3,)), ("bn_up.beta", 0, (3,)),
        ("bn_up.moving_mean", 0, (3,)), ("bn_up.moving_variance", 0, (3,)), ("last.weight", 1, (3,))}),
    "dense_block": (couplings.DenseBlock, "conv1", 2, {
        ("conv1.weight", 0, (2,)), ("bn2.gamma", 0, (6,)), ("bn2.beta", 0, (6,)), ("bn2.moving_mean", 0, (6,)),
        ("bn2.moving_variance", 0, (6,)), ("conv2.weight", 1, (6,)), ("bn3.gamma", 0, (6,)), ("bn3.beta", 0, (6,)),
        ("bn3.moving_mean", 0, (6,)), ("bn3.moving_variance", 0, (6,)), ("last.weight", 1, (6,))}),
    "auxiliary": (couplings.AuxiliaryHead, "stem", 2, {
        ("stem.weight", 0, (2,)), ("bn.gamma", 0, (2,)), ("bn.beta", 0, (2,)), ("bn.moving_mean", 0, (2,)),
        ("bn.moving_variance", 0, (2,)), ("aux.weight", 1, (2,)), ("head.weight", 1, (2,))}),
    "with_input": (couplings.WithInput, "conv", 0, {
        ("conv.weight", 0, (0,)), ("bn.gamma", 0, (0,)), ("bn.beta", 0, (0,)), ("bn.moving_mean", 0, (0,)),
        ("bn.moving_variance", 0, (0,)), ("last.weight", 1, (3,))}),
    "shuffle": (networks.Shuffle, "conv", 1, {
        ("conv.weight", 0, (1, 5)), ("bn.gamma", 0, (1, 5)), ("bn.beta", 0, (1, 5)), ("bn.moving_mean", 0, (1, 5)),
        ("bn.moving_variance", 0, (1, 5)), ("last.weight", 1, (2, 3))}),
    "scale": (networks.ScaleShift, "conv", 5, {
        ("conv.weight", 0, (5,)), ("bn.gamma", 0, (5,)), ("bn.beta", 0, (5,)), ("bn.moving_mean", 0, (5,)),
        ("bn.moving_variance", 0, (5,)), ("scale", 1, (5,)), ("last.weight", 1, (5,))}),
    "prelu": (networks.PReluBetween, "conv", 5, {
        ("conv.weight", 0, (5,)), ("bn.gamma", 0, (5,)), ("bn.beta", 0, (5,)), ("bn.moving_mean", 0, (5,)),
        ("bn.moving_variance", 0, (5,)), ("prelu.w", 0, (5,)), ("last.weight", 1, (5,))}),
    "called_twice": (networks.Twice, "stem", 0, {
        ("stem.weight", 0, (0,)), ("bn0.gamma", 0, (0,)), ("bn0.beta", 0, (0,)), ("bn0.moving_mean", 0, (0,)),
        ("bn0.moving_variance", 0, (0,)), ("conv.weight", 0, (0,)), ("conv.weight", 1, (0,)), ("bn.gamma", 0, (0,)),
        ("bn.beta", 0, (0,)), ("bn.moving_mean", 0, (0,)), ("bn.moving_variance", 0, (0,)),
        ("mid.weight", 1, (0,))}),
    "gate": (networks.Gate, "main", 7, {
        ("main.weight", 0, (7,)), ("bn.gamma", 0, (7,)), ("bn.beta", 0, (7,)), ("bn.moving_mean", 0, (7,)),
        ("bn.moving_variance", 0, (7,)), ("reduce.weight", 1, (7,)), ("expand.weight", 0, (7,)),
        ("expand.bias", 0, (7,)), ("last.weight", 1, (7,))}),
}


@pytest.mark.parametrize("build, name, index, expected", CHANNEL.values(), ids=CHANNEL)
def test_everything_that_goes_with_one_channel(build, name, index, expected):
    group = next(g for g in graph_of(build).groups() if g.name == name)
    assert set(group.channel(index)) == expected
    assert len(group.channel(index)) == len(expected)


def test_option_a_ties_the_stream_to_the_middle_of_the_wider_one():
    groups = graph_of(networks.OptionA).groups()
    tied = next(g for g in groups if g.members == ("stem", "b"))
    np.testing.assert_array_equal(tied.slice_of("stem.weight", 0).indices, [[0], [1], [2], [3]])
    np.testing.assert_array_equal(tied.slice_of("b.weight", 0).indices, [[2], [3], [4], [5]])
    constant = next(g for g in groups if g.members == ("b",))
    np.testing.assert_array_equal(constant.slice_of("b.weight", 0).indices, [[0], [1], [6], [7]])


class Scaled(nn.Cell):
    """A product that is divided before the bias comes: the channels are complete in the middle of the cell."""

    def __init__(self):
        super().__init__()
        self.weight = ms.Parameter(ms.Tensor(np.random.randn(8, 8), ms.float32))
        self.bias = ms.Parameter(ms.Tensor(np.random.randn(8), ms.float32))

    def construct(self, x):
        return ops.bias_add(ops.matmul(x, self.weight.T) / 2, self.bias)


def test_a_bias_behind_a_scaled_product_is_masked_with_its_channel():
    net, x = randomise(nn.SequentialCell(nn.Dense(3, 8), Scaled(), nn.ReLU(), nn.Dense(8, 4))), ms.ops.ones((2, 3))
    graph = trace(net, x)
    assert [group.blocked_by for group in graph.groups()][:2] == [None, None]
    plan = PrunePlan.from_groups(graph, {group: np.arange(8) % 2 == 0 for group in graph.groups() if group.size == 8})
    assert_same(slim(net, plan, check=False), mask(net, plan), x)


class LastSumForNothing(nn.Cell):
    """Blocks that give a skip and a residual sum; nothing reads the last sum."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.body, self.out, self.skip = (nn.CellList([nn.Conv2d(6, n, 3) for _ in "ab"]) for n in (6, 6, 5))
        self.last = nn.Conv2d(5, 4, 1)

    def construct(self, x):
        x, total = self.stem(x), 0
        for body, out, skip in zip(self.body, self.out, self.skip):
            y = ops.relu(body(x))
            total = total + skip(y)
            x = x + out(y)
        return self.last(total)


def test_a_layer_of_a_residual_sum_that_nothing_reads_is_put_back_too():
    net, x = randomise(LastSumForNothing()), ms.Tensor(np.random.randn(1, 3, 8, 8), ms.float32)
    graph = trace(net, x)
    assert {group.name: group.restored for group in graph.groups("keep")}["out.1"] == ("out.1.weight",)
    assert parameter_count(prune(net, residual="keep", prune_rate=0.5, inputs=x)) < parameter_count(net)


class Summed(nn.Cell):
    """A residual sum of a dense layer and another cell."""

    def __init__(self, branch):
        super().__init__()
        self.first, self.branch, self.last = nn.Dense(3, 8), branch, nn.Dense(8, 4)

    def construct(self, x):
        x = self.first(x)
        return self.last(x + self.branch(x))


@pytest.mark.parametrize("branch, blocked", [
    (Scaled, True), (lambda: nn.Dense(8, 8, activation="sigmoid"), True),
    (lambda: nn.Dense(8, 8, activation="relu"), False)], ids=["bias behind a scale", "sigmoid inside", "ReLU inside"])
def test_channels_are_not_put_back_where_the_cell_goes_on_and_does_not_keep_their_zeros(branch, blocked):
    net, x = randomise(Summed(branch())), ms.Tensor(np.random.randn(2, 3), ms.float32)
    kept = {group.name: group.blocked_by for group in trace(net, x).groups("keep")}
    assert kept["first"] is None
    assert getattr(kept["branch"], "reason", None) is (Blocked.NO_PLACE if blocked else None)
    small = prune(net, residual="keep", prune_rate=0.5, inputs=x)  # it was refused as a whole
    assert parameter_count(small) < parameter_count(net)


@pytest.mark.parametrize("build, shape, residual", [
    (lambda: nn.SequentialCell(nn.Dense(3, 8), Scaled(), nn.ReLU(), nn.Dense(8, 4)), (2, 3), "couple"),
    (LastSumForNothing, (1, 3, 8, 8), "keep"), (lambda: Summed(Scaled()), (2, 3), "keep"),
    (lambda: Summed(nn.Dense(8, 8, activation="relu")), (2, 3), "keep"),
    (sized.ShuffledBeforeCode, (1, 3, 8, 8), "couple"), (sized.FlatBeforeBatchNorm, (1, 3, 8, 8), "couple")],
    ids=["scaled", "last sum for nothing", "goes on", "ReLU inside", "shuffled", "flat"])
def test_masked_slim_and_reloaded_mindir_are_equal(build, shape, residual, tmp_path):
    net, x = randomise(build()), ms.Tensor(np.random.default_rng(0).standard_normal(shape), ms.float32)
    pruner = ChannelPruner(prune_rate=0.5, input_shape=shape, residual=residual)
    masked = pruner.apply(net)
    small, expected = pruner.convert(masked), evaluate(masked, x)
    assert parameter_count(small) < parameter_count(build())
    assert relative_difference(evaluate(small, x), expected) <= 1e-5
    assert relative_difference(load_mindir(export_mindir(small, x, tmp_path / "small"))(x), expected) <= 1e-5


def test_a_writer_of_a_stream_is_restored_only_when_the_stream_keeps_its_width():
    graph = graph_of(networks.Projection)
    assert {g.name: g.restored for g in graph.groups("keep") if g.restored} == {"short.0": ("short.0.weight",),
                                                                              "b": ("b.weight",)}
    assert not any(g.restored for g in graph.groups("couple"))
    b = next(g for g in graph.groups("keep") if g.name == "b")
    assert {s.parameter for s in b.slices} == {"b.weight", "bn2.gamma", "bn2.beta", "bn2.moving_mean",
                                               "bn2.moving_variance"}


def test_a_convolution_of_one_channel_is_not_depthwise():
    assert dict(graph_of(networks.OneChannel).grouped) == {}
    assert dict(graph_of(networks.Depthwise).grouped) == {"dw.weight": 6}


def test_pairs_are_convolutions_with_their_own_batch_norm():
    assert dict(graph_of(networks.Projection).pairs) == {
        "stem.weight": ("stem", "bn0"), "a.weight": ("a", "bn1"), "b.weight": ("b", "bn2"),
        "short.0.weight": ("short.0", "short.1")}
    assert set(graph_of(networks.Twice).pairs) == {"stem.weight", "mid.weight", "conv.weight"}
    assert set(graph_of(networks.SharedWeight).pairs) == {"stem.weight", "mid.weight"}
    assert set(graph_of(networks.Gate).pairs) == {"stem.weight", "main.weight"}


@pytest.mark.parametrize("build, operator, sentence", [
    (couplings.WithoutRule, "BesselJ0", "there is no channel rule for the operator"),
    (networks.ChannelMean, "ReduceMean", "the operator computes over all channels"),
    (networks.SigmoidBetween, "Conv2D", "not zero any more")], ids=["unknown", "mixes", "not_zero"])
def test_a_reason_names_operator_and_place(build, operator, sentence):
    graph = graph_of(build)
    blocked = next(g for g in graph.groups() if g.name == "conv").blocked_by
    assert blocked.operator.startswith(operator)
    assert blocked.source.startswith("Default")
    assert str(blocked).startswith(f"{blocked.reason.name} at {blocked.operator} in Default")
    assert sentence in str(blocked)


def test_an_unknown_policy_is_refused():
    graph = graph_of(networks.Chain)
    with pytest.raises(ValueError, match=r"'residual' must be one of \('keep', 'couple', 'inner'\), but got 'both'"):
        graph.groups("both")
