"""What stays whole: the first convolution and shortcuts (keep), and what a residual stream carries (inner)."""

import pytest

from mindspore_gs.graph import Blocked, trace
from mindspore_gs.pruner.residual import first_convolutions, prunable_groups, shortcut_convolutions
from tests import networks
from tests.traces import graph

SUMS = {  # graph -> weights on a shortcut
    "identity": (["a = Conv2D x w1", "b = ReLU a", "c = Conv2D b w2", "s = Add c a"], set()),
    "projection left": (["a = Conv2D x w0", "b = Conv2D a w1", "c = Conv2D b w2", "p = Conv2D a wp", "s = Add p c"],
                        {"wp"}),
    "projection right": (["a = Conv2D x w0", "b = Conv2D a w1", "c = Conv2D b w2", "p = Conv2D a wp", "s = Add c p"],
                         {"wp"}),
    "as many on both sides": (["a = Conv2D x w0", "b = Conv2D a w1", "c = Conv2D a w2", "s = Add b c"], set()),
    "two against three": (["a = Conv2D x w0", "b = Conv2D a w1", "c = Conv2D b w2", "d = Conv2D c w3",
                           "p = Conv2D a wp", "q = Conv2D p wq", "s = Add d q"], {"wp", "wq"}),
    "from the network's input": (["b = Conv2D x w1", "c = Conv2D b w2", "p = Conv2D x wp", "s = Add p c"], {"wp"}),
    "the same value twice": (["a = Conv2D x w0", "s = Add a a"], set()),
    "an earlier sum is the ancestor": (
        ["a = Conv2D x w0", "b = Conv2D a w1", "c = Conv2D b w2", "p = Conv2D a wp", "s = Add p c",
         "d = Conv2D s w3", "e = Conv2D d w4", "t = Add e s"], {"wp"}),
}


@pytest.mark.parametrize("nodes, expected", SUMS.values(), ids=SUMS)
def test_the_shortcut_is_the_side_with_fewer_convolutions(nodes, expected):
    traced = graph(*nodes)
    assert shortcut_convolutions(traced, [n for n in traced.nodes if n.op == "Add"]) == expected


FIRSTS = {
    "one stem": (["a = Conv2D x w1", "b = ReLU a", "c = Conv2D b w2"], {"w1"}),
    "two stems": (["a = Conv2D x w1", "b = Conv2D x w2", "c = Add a b", "d = Conv2D c w3"], {"w1", "w2"}),
    "behind a dense layer": (["a = MatMul x w1", "b = Conv2D a w2", "c = Conv2D b w3"], {"w2"}),
    "none": (["a = MatMul x w1"], set()),
}


@pytest.mark.parametrize("nodes, expected", FIRSTS.values(), ids=FIRSTS)
def test_first_convolutions(nodes, expected):
    assert first_convolutions(graph(*nodes)) == expected


@pytest.mark.parametrize("build, expected", [
    (networks.Chain, {"conv1.weight": Blocked.FIRST_CONVOLUTION}),
    (networks.Identity, {"stem.weight": Blocked.FIRST_CONVOLUTION}),
    (networks.Projection, {"stem.weight": Blocked.FIRST_CONVOLUTION, "short.0.weight": Blocked.SHORTCUT}),
    (networks.OptionA, {"stem.weight": Blocked.FIRST_CONVOLUTION}),
    (networks.Long, {"stem.weight": Blocked.FIRST_CONVOLUTION, "layer2.0.downsample.0.weight": Blocked.SHORTCUT}),
], ids=["chain", "identity", "projection", "option_a", "long"])
def test_what_stays_whole_in_traced_networks(build, expected):
    groups = prunable_groups(trace(build(), (1, 3, 8, 8)), "keep")
    rule = (Blocked.FIRST_CONVOLUTION, Blocked.SHORTCUT)
    assert {w: g.blocked_by.reason for g in groups if g.blocked_by and g.blocked_by.reason in rule
            for w in g.weights} == expected


@pytest.mark.parametrize("build, free", [
    (networks.Chain, {"conv1", "conv2"}),
    (networks.Identity, {"a"}),
    (networks.Projection, {"stem", "a"}),
    (networks.Long, {"layer1.0.conv1", "layer2.0.conv1", "layer2.1.conv1"}),
], ids=["chain", "identity", "projection", "long"])
def test_inner_leaves_what_a_stream_carries_whole(build, free):
    groups = prunable_groups(trace(build(), (1, 3, 8, 8)), "inner")
    assert {g.name for g in groups if g.blocked_by is None} == free
    assert not any(g.restored for g in groups)
