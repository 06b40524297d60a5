"""A second trace tells sizes that follow the channels from numbers that are written into the code."""

import numpy as np
import pytest

from mindspore_gs import load_pruned, save_pruned
from mindspore_gs.graph import probe, trace
from mindspore_gs.slim import PrunePlan, mask, slim
from tests import networks, sized
from tests.by_hand import assert_same, reasons, silence, slim_by_group
from tests.helpers import image, randomise
from tests.stages import RandomNet, Shuffled

SHAPE = (1, 3, 8, 8)
REST = {"stem": (6, None), "last": (4, "REACHES_OUTPUT")}

TABLE = {
    "attribute in a reshape": (sized.WidthInAttribute, {"conv": (8, None)}, [("", "width", 8, 1)]),
    "number in a reshape": (sized.WidthInCode, {"conv": (8, "FIXED_BY_CODE")}, []),
    "half by attribute": (sized.HalfByAttribute, {"conv": (4, None)}, [("", "half", 4, 1)]),
    "half by shape": (sized.HalfByShape, {"conv": (4, None)}, []),
    "half by number": (sized.HalfByNumber, {"conv": (4, "FIXED_BY_CODE")}, []),
    "attribute of two uses": (sized.OddScale, {"conv": (8, "FIXED_BY_CODE")}, []),
    "divided by their number": (sized.MeanByHand, {"conv": (8, "FIXED_BY_CODE")}, []),
    "blocks of a fixed length": (networks.LiteralShuffle, {"conv": (2, None)}, []),
    "fixed number of blocks": (networks.Shuffle, {"conv": (4, None)}, []),
}


@pytest.mark.parametrize("build, expected, attributes", TABLE.values(), ids=TABLE)
def test_what_the_second_trace_finds(build, expected, attributes):
    assert reasons(build, SHAPE) == REST | expected
    found = trace(build(), SHAPE).resizes
    assert [(r.cell, r.attribute, r.old, r.factor) for r in found] == attributes


def test_unequal_parts_follow_the_attributes_that_hold_their_lengths():
    net, x = randomise(sized.UnequalParts()), image(2, *SHAPE[1:])
    graph = trace(net, SHAPE)
    free = {group.members[0]: group for group in graph.groups() if group.blocked_by is None}
    parts = [group for group in graph.groups() if group.members == ("conv",)]
    assert [(part.size, part.blocked_by) for part in parts] == [(3, None), (5, None)]
    assert [(r.attribute, r.old) for r in graph.resizes] == [("a", 3), ("b", 5)]
    plan = PrunePlan.from_groups(graph, {part: np.arange(part.size) != 1 for part in parts} | {
        free["stem"]: np.arange(6) < 4})
    small = slim(net, plan, check=False)
    assert (small.a, small.b, small.conv.weight.shape[0]) == (2, 4, 6)
    assert_same(small, mask(net, plan), x)


def test_a_shuffle_of_single_channels_is_asked_another_question_than_a_wide_one_of_its_class():
    """Hypothesis found it: with 2 channels in 2 groups nothing is cut, so the answers of one do not fit the other."""
    net = randomise(RandomNet([(Shuffled, 1), (Shuffled, 4)]), 94)
    graph = trace(net, SHAPE)
    keep = {group: np.arange(group.size) > 0 for group in graph.groups() if group.blocked_by is None}
    assert {group.name: group.size for group in keep} == {"0.conv": 5, "2.wide": 4}
    plan = PrunePlan.from_groups(graph, keep)
    assert_same(slim(net, plan, check=False), mask(net, plan), image(2, *SHAPE[1:]))


def test_a_number_in_the_code_behind_a_shuffle_does_not_speak_against_the_shuffle():
    """What can be answered by itself is asked first."""
    assert reasons(sized.ShuffledBeforeCode, SHAPE) == {
        "stem narrow": (3, "FIXED_BY_CODE"), "wide deep": (2, None), "last": (4, "REACHES_OUTPUT")}


def test_a_number_in_the_code_does_not_speak_against_the_reshapes_of_a_batch_norm():
    """The second of these is taken for one of the network's own code; it has an answer of its own all the same."""
    assert reasons(sized.FlatBeforeBatchNorm, SHAPE) == {
        "stem": (6, "FIXED_BY_CODE"), "hidden": (8, None), "last": (4, "REACHES_OUTPUT")}


def test_a_part_that_begins_at_a_number_in_the_code_stays():
    found = [group.blocked_by for group in trace(sized.BeginInCode(), SHAPE).groups() if group.members == ("conv",)]
    assert len(found) == 2 and all(found)


@pytest.mark.parametrize("times, expected, attributes", [
    (1, {"a b": (8, None)}, [("", "width", 8, 1)]),
    (2, {"a": (8, "FIXED_BY_CODE"), "b": (4, "FIXED_BY_CODE")}, [])], ids=["as much", "half as much"])
def test_one_attribute_at_two_places(times, expected, attributes):
    """What it holds goes together; where it is counted differently, it stays as it is."""
    rest = {"stem": (6, None), "first second": (4, "REACHES_OUTPUT")}
    assert reasons(lambda: sized.WidthTwice(times), SHAPE) == rest | expected
    assert [(r.cell, r.attribute, r.old, r.factor) for r in trace(sized.WidthTwice(times), SHAPE).resizes] == attributes
    if attributes:
        small, full = slim_by_group(sized.WidthTwice, (SHAPE,), "b", {1, 5, 6})
        for name in ("a.weight", "b.weight"):
            silence(full, name, {1, 5, 6})
        assert small.width == 5
        assert_same(small, full, image(2, *SHAPE[1:]))


@pytest.mark.parametrize("build, gone, channels", [
    (sized.WidthInAttribute, {1, 2, 7}, {1, 2, 7}), (sized.HalfByAttribute, {1}, {1, 5}),
    (sized.HalfByShape, {0, 3}, {0, 3, 4, 7}), (networks.LiteralShuffle, {1}, {4, 5, 6, 7})])
def test_slim_is_what_masking_by_hand_gives(build, gone, channels, mode):
    small, full = slim_by_group(build, (SHAPE,), "conv", gone)
    for name in ("bn.gamma", "bn.beta"):
        silence(full, name, channels)
    assert small.conv.weight.shape == (8 - len(channels), 6, 3, 3)
    assert_same(small, full, image(2, *SHAPE[1:]))


def test_the_attribute_of_each_cell_follows_its_own_channels(tmp_path, mode):
    small, full = slim_by_group(sized.CrossStages, (SHAPE,), "second.wide", {0, 4})
    for name in ("gamma", "beta"):
        silence(full, f"second.bn_wide.{name}", {0, 4, 6, 10})
    assert (small.first.half, small.second.half, full.second.half) == (8, 4, 6)
    assert_same(small, full, image(2, *SHAPE[1:]))
    save_pruned(small, str(tmp_path / "small"))
    again = load_pruned(sized.CrossStages, str(next(tmp_path.glob("small*"))))
    assert again.second.half == 4
    assert_same(again, full, image(2, *SHAPE[1:]))


def test_all_groups_of_two_such_cells_are_free():
    found = reasons(sized.CrossStages, SHAPE)
    assert {name: size for name, (size, reason) in found.items() if reason is None} == {
        "stem": 8, "first.wide": 8, "first.unit": 8, "first.out": 16, "second.wide": 6, "second.unit": 6,
        "second.out": 12}


def test_a_plan_keeps_attributes_in_json():
    graph = trace(sized.HalfByAttribute(), SHAPE)
    group = next(g for g in graph.groups() if g.name == "conv")
    plan = PrunePlan.from_groups(graph, {group: [True, False, True, True]})
    assert plan.attributes == (("", "half", 3),)
    assert PrunePlan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("like, expected", [
    (True, {"enc gates state": (8, None), "head": (4, "REACHES_OUTPUT")}),
    (False, {"enc": (8, None), "gates state": (8, "CONSTANT"), "head": (4, "REACHES_OUTPUT")})], ids=["like", "fixed"])
def test_zeros_that_follow_the_features_and_zeros_that_do_not(like, expected):
    assert reasons(lambda: sized.RecurrentUnit(like), SHAPE, SHAPE) == expected


def test_the_state_of_a_recurrent_unit_goes_with_its_features():
    gone = {1, 6}
    small, full = slim_by_group(lambda: sized.RecurrentUnit(True), (SHAPE, SHAPE), "state", gone)
    for name in ("bn.gamma", "bn.beta", "state.weight", "state.bias"):
        silence(full, name, gone)
    assert (small.enc.weight.shape, small.gates.weight.shape) == ((6, 3, 3, 3), (12, 12, 3, 3))
    assert_same(small, full, image(2, *SHAPE[1:]), image(2, *SHAPE[1:], seed=4))


@pytest.mark.parametrize("build, traces", [(networks.Long, 0), (networks.Flattened, 0), (networks.Shuffle, 1),
                                           (sized.CrossStages, 3)])
def test_a_network_without_questions_is_traced_once(build, traces, monkeypatch):
    count = []
    real = probe.export_graph
    monkeypatch.setattr(probe, "export_graph", lambda *given, **more: count.append(1) or real(*given, **more))
    trace(build(), SHAPE)
    assert len(count) <= traces + (build is sized.CrossStages)
    assert (len(count) > 0) == (traces > 0)


def test_a_free_choice_of_channels_changes_no_number():
    random = np.random.default_rng(0)
    for seed in range(3):
        gone = set(random.permutation(4)[:random.integers(1, 4)].tolist())
        small, full = slim_by_group(sized.HalfByAttribute, (SHAPE,), "conv", gone, seed)
        for name in ("bn.gamma", "bn.beta"):
            silence(full, name, gone | {k + 4 for k in gone})
        assert_same(small, full, image(2, *SHAPE[1:], seed=seed))


@pytest.mark.parametrize("residual, half", [("couple", 2), ("keep", 4)])
def test_an_attribute_counts_what_arrives(residual, half):
    """With "keep" a layer of a stream is put back to full width, so the split behind it stays as it is."""
    net = randomise(sized.CrossStageInStream())
    graph = trace(net, SHAPE)
    free = [g for g in graph.groups(residual) if g.blocked_by is None and g.size > 1]
    plan = PrunePlan.from_groups(graph, {g: np.arange(g.size) % 2 == 0 for g in free})
    small = slim(net, plan)
    assert small.half == half
    assert_same(small, mask(net, plan), image(2, *SHAPE[1:]))
