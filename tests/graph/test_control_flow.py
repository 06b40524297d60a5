"""What data decides: both branches are traced, loops stay, functions of lazy_inline are written out."""

import mindspore as ms
import pytest
from mindspore import ops

from mindspore_gs import prune
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import trace
from tests import unusual
from tests.by_hand import assert_same, reasons, silence, slim_by_group
from tests.helpers import image

SHAPE = (1, 3, 8, 8)


def number(value):
    return ms.Tensor(value, ms.int32)


@pytest.mark.parametrize("build, expected", [
    (unusual.StatisticInBranch, {"a": (8, "MIXES_CHANNELS"), "d": (6, None), "head": (4, "REACHES_OUTPUT")}),
    (unusual.ConvolutionInBranch, {"a": (8, None), "b c": (6, None), "head": (4, "REACHES_OUTPUT")}),
    (unusual.SigmoidInBranch, {"a": (8, "NOT_ZERO"), "head": (4, "REACHES_OUTPUT")}),
    (unusual.ConvolutionInLoop, {"a": (8, "CONTROL_FLOW"), "narrow": (5, None), "wide": (8, "CONTROL_FLOW"),
                                 "head": (4, "REACHES_OUTPUT")}),
])
def test_both_branches_count(build, expected, mode):
    assert reasons(build, SHAPE, number(1)) == expected


def test_a_network_that_differentiates_itself_is_pruned_by_its_parts():
    net = unusual.Force()
    with pytest.raises(PruningError, match=r"GRADIENT at TanhGrad.*prune the part that it differentiates by itself"):
        prune(net, prune_rate=0.5, inputs=(2, 6))
    net.energy = prune(net.energy, prune_rate=0.5, inputs=(2, 6))
    assert net.energy.wide.weight.shape == (4, 6) and net(ops.ones((2, 6))).shape == (2, 6)


@pytest.mark.parametrize("limit", [-1, 1])
def test_both_branches_are_slim(limit):
    small, full = slim_by_group(unusual.ConvolutionInBranch, (SHAPE, number(1)), "b", {0, 3})
    for name in ("b.weight", "c.weight"):
        silence(full, name, {0, 3})
    assert (small.b.weight.shape, small.c.weight.shape) == ((4, 8, 3, 3), (4, 8, 1, 1))
    assert_same(small, full, image(2, *SHAPE[1:]), number(limit))


@pytest.mark.parametrize("times", [0, 2, 3])
def test_a_loop_keeps_what_it_carries_and_loses_what_is_inside(times):
    small, full = slim_by_group(unusual.ConvolutionInLoop, (SHAPE, number(1)), "narrow", {1, 2})
    silence(full, "narrow.weight", {1, 2})
    assert small.narrow.weight.shape == (3, 8, 1, 1)
    assert_same(small, full, image(2, *SHAPE[1:]), number(times))


def test_lazy_inline_hides_nothing():
    assert reasons(unusual.LazyBlocks, SHAPE) == {
        "stem blocks.0.b blocks.1.b": (8, None), "blocks.0.a": (6, None), "blocks.1.a": (6, None),
        "head": (4, "REACHES_OUTPUT")}
    assert set(trace(unusual.LazyBlocks(), SHAPE).pairs) == {
        "stem.weight", *(f"blocks.{k}.{name}.weight" for k in (0, 1) for name in "ab")}


def test_what_is_written_in_place_is_another_value():
    assert reasons(unusual.WrittenInPlace, SHAPE)["conv"] == (8, "NOT_ZERO")
