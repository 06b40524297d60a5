"""slim(): equal to the masked network for every kind of cell, a new network, and one that trains on."""

import json
from dataclasses import replace
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mindspore import nn

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo, export_mindir
from mindspore_gs.errors import ParityError, PlanError, PruningError
from mindspore_gs.graph import trace
from mindspore_gs.slim import Keep, PrunePlan, Restore, RestoreChannels, check, mask, relative_difference, slim
from mindspore_gs.slim.check import check_equal
from tests import couplings, networks
from tests.helpers import evaluate, image, masked, randomise, same_state, state, train_steps

SHAPE = (1, 3, 8, 8)


def plan_for(net, share=0.5, residual="couple", shape=SHAPE, seed=5):
    """A plan that removes a random share of every group that is free."""
    random, keep = np.random.default_rng(seed), {}
    graph = trace(net, shape)
    for group in graph.groups(residual):
        if group.blocked_by is None and group.size > 1:
            stays = np.ones(group.size, bool)
            stays[random.permutation(group.size)[:max(1, int(share * group.size))]] = False
            keep[group] = stays
    return PrunePlan.from_groups(graph, keep)


ZOO = {  # network -> shape of each weight after half of every free group is gone
    "chain": (networks.Chain, {"conv1": (3, 3), "conv2": (4, 3), "conv3": (4, 4)}),
    "identity": (networks.Identity, {"stem": (4, 3), "a": (3, 4), "b": (4, 3), "fc": (4, 4)}),
    "projection": (networks.Projection, {"stem": (3, 3), "a": (3, 3), "b": (4, 3), "short.0": (4, 3), "fc": (4, 4)}),
    "option_a": (networks.OptionA, None),
    "depthwise": (networks.Depthwise, {"stem": (3, 3), "dw": (3, 1), "pw": (4, 3), "fc": (4, 4)}),
    "depthwise_x2": (lambda: networks.Depthwise(2), {"stem": (3, 3), "dw": (6, 1), "pw": (4, 6), "fc": (4, 4)}),
    "grouped": (networks.Grouped, {"stem": (4, 3), "g": (6, 2), "last": (4, 6)}),
    "one_channel": (networks.OneChannel, {"a": (3, 1), "b": (1, 3), "c": (3, 1), "last": (2, 3)}),
    "flatten": (networks.Flattened, {"stem": (3, 3), "conv": (2, 3), "fc1": (5, 32), "fc2": (3, 5)}),
    "gate": (networks.Gate, {"stem": (3, 3), "main": (4, 3), "reduce": (1, 4), "expand": (4, 1), "last": (4, 4)}),
    "concat": (networks.Branches, {"stem": (3, 3), "a": (2, 3), "b": (3, 3), "last": (4, 5)}),
    "times_two": (networks.TimesTwo, {"stem": (3, 3), "conv": (4, 3), "last": (4, 4)}),
    "scale": (networks.ScaleShift, {"stem": (3, 3), "conv": (4, 3), "last": (4, 4)}),
    "prelu": (networks.PReluBetween, {"stem": (3, 3), "conv": (4, 3), "last": (4, 4)}),
    "border": (networks.BorderBetween, {"stem": (3, 3), "conv": (4, 3), "last": (4, 4)}),
    "shuffle": (networks.Shuffle, {"stem": (3, 3), "conv": (4, 3), "last": (4, 4)}),
    "second_norm": (networks.SecondNorm, {"stem": (3, 3), "conv": (4, 3), "last": (4, 4)}),
    "split": (couplings.SplitAndGate, {"stem": (3, 3), "conv": (4, 3), "last": (4, 2)}),
    "two_parts": (couplings.TwoParts, {"stem": (3, 3), "conv": (4, 3), "last": (4, 2)}),
    "chunks": (couplings.Chunks, {"stem": (3, 3), "conv": (4, 3), "unit": (2, 2), "last": (4, 2)}),
    "standardised": (couplings.Standardised, {"stem": (3, 3), "conv": (8, 3), "unit": (5, 8), "last": (4, 5)}),
    "halves": (couplings.Halves, {"stem": (3, 3), "conv": (4, 3), "unit": (2, 2), "last": (4, 4)}),
    "shuffled_halves": (couplings.ShuffledHalves, {"stem": (3, 3), "conv": (4, 3), "wide": (8, 4), "first": (4, 4),
                                                   "second": (4, 4), "last": (4, 8)}),
    "pixel_shuffle": (couplings.PixelShuffle, {"stem": (3, 3), "conv": (4, 3), "last": (4, 1)}),
    "space_to_depth": (couplings.SpaceToDepth, {"stem": (3, 3), "conv": (4, 3), "last": (4, 16)}),
    "selected": (couplings.Selected, {"stem": (3, 3), "conv": (4, 3), "other": (4, 3), "reduce": (2, 4),
                                      "expand": (8, 2), "last": (4, 4)}),
    "side_by_side": (couplings.SideBySide, {"stem": (3, 3), "conv": (4, 3), "other": (4, 3), "reduce": (2, 4),
                                            "first": (4, 2), "second": (4, 2), "last": (4, 4)}),
    "taller": (couplings.Taller, {"stem": (3, 3), "conv": (4, 3), "other": (4, 3), "last": (4, 4)}),
    "repeated": (couplings.Repeated, {"stem": (3, 3), "conv": (4, 3), "last": (4, 16)}),
    "upsampled": (couplings.Upsampled, {"stem": (3, 3), "conv": (4, 3), "last": (4, 3)}),
    "group_norm": (couplings.GroupNormBetween, {"stem": (3, 3), "conv": (4, 3), "last": (4, 4)}),
    "layer_norm": (couplings.LayerNormBetween, {"stem": (3, 3), "conv": (8, 3), "last": (4, 8)}),
    "dense_block": (couplings.DenseBlock, {"stem": (2, 3), "conv1": (2, 2), "conv2": (2, 4), "last": (4, 6)}),
    "with_input": (couplings.WithInput, {"conv": (3, 3), "last": (4, 6)}),
    "attention": (couplings.Attention, {"stem": (3, 3), "query": (2, 3), "key": (2, 3), "value": (3, 3),
                                        "hidden": (5, 3), "out": (4, 5)}),
    "dictionary": (couplings.InDictionary, {"parts.conv": (3, 3), "parts.second": (4, 3), "parts.head": (4, 4)}),
    "auxiliary": (couplings.AuxiliaryHead, {"stem": (3, 3), "aux": (4, 3), "head": (4, 3)}),
    "containers": (couplings.InContainers, {"stages.0.0": (3, 3), "stages.1.0": (4, 3), "head": (4, 4)}),
    "sigmoid": (networks.SigmoidBetween, {"stem": (3, 3), "conv": (8, 3), "last": (4, 8)}),
    "called_twice": (networks.Twice, {"stem": (4, 3), "conv": (4, 4), "mid": (3, 4), "last": (4, 3)}),
    "shared_weight": (networks.SharedWeight, {"stem": (4, 3), "a": (4, 4), "b": (4, 4), "mid": (3, 4), "last": (4, 3)}),
    "options": (networks.Options, {"stem": (4, 3), "a": (5, 4), "dw": (5, 1), "b": (4, 5), "c": (6, 4), "fc": (4, 6)}),
}


@pytest.mark.parametrize("build, shapes", ZOO.values(), ids=ZOO)
def test_slim_equals_masked(build, shapes):
    shape = (1, 1, 8, 8) if build is networks.OneChannel else SHAPE
    net = randomise(build())
    plan = plan_for(net, shape=shape)
    small, full = slim(net, plan, check=False), mask(net, plan)
    x = image(3, *shape[1:], seed=9)
    expected = evaluate(full, x)
    assert relative_difference(evaluate(small, x), expected) <= 1e-5
    assert relative_difference(evaluate(net, x), expected) > 1e-3  # the mask does something
    if shapes:
        weights = {path: cell.weight.shape[:2] for path, cell in small.cells_and_names()
                   if isinstance(cell, (nn.Conv2d, nn.Dense))}
        assert weights == shapes


WRITERS = {networks.Identity: ["bn0", "bn2"], networks.Projection: ["short.1", "bn2"],
           networks.OptionA: ["bn0", "bn2"], networks.Options: ["bn0", "bn3"]}


@pytest.mark.parametrize("build", WRITERS, ids=["identity", "projection", "option_a", "options"])
def test_slim_equals_masked_when_streams_keep_their_width(build, mode):
    net = randomise(build())
    plan = plan_for(net, residual="keep")
    small, full = slim(net, plan, check=False), mask(net, plan)
    x = image(3, *SHAPE[1:], seed=9)
    assert relative_difference(evaluate(small, x), evaluate(full, x)) <= 1e-5
    assert [r.cell for r in plan.restores] == WRITERS[build]
    assert sum(isinstance(cell, RestoreChannels) for _, cell in small.cells_and_names()) == 2
    assert small.b.weight.shape[0] == 4


def test_masked_channels_are_zero_and_the_others_are_not():
    net = randomise(networks.Chain())
    graph = trace(net, SHAPE)
    plan = PrunePlan.from_groups(graph, {graph.groups()[1]: np.arange(8) % 2 == 0})
    full = mask(net, plan).set_train(False)
    y = full.bn2(full.conv2(full.relu(full.bn1(full.conv1(image(2, 3, 8, 8)))))).asnumpy()
    assert (y[:, 1::2] == 0).all() and (np.abs(y[:, ::2]).max(axis=(0, 2, 3)) > 0.1).all()


def test_cells_keep_their_options():
    net = randomise(networks.Options())
    small = slim(net, plan_for(net))
    assert (small.stem.padding, small.stem.has_bias, small.stem.bias.shape) == ((1, 2, 0, 1), True, (4,))
    assert (small.a.dilation, small.a.in_channels, small.a.out_channels) == ((2, 2), 4, 5)
    assert (small.dw.group, small.dw.kernel_size, small.dw.padding) == (5, (3, 5), (2, 0, 1, 3))
    assert (small.c.stride, small.c.pad_mode, small.fc.in_channels) == ((2, 2), "valid", 6)
    for path in ("bn0", "bn1", "bn2", "bn3", "bn4"):
        old, new = getattr(net, path), getattr(small, path)
        assert (new.eps, new.momentum) == (old.eps, old.momentum)
        assert new.num_features == new.gamma.shape[0] < old.num_features


@pytest.mark.parametrize("dtype", [ms.float16], ids=["float16"])
def test_half_precision_parameters(dtype):
    net = randomise(networks.Options(dtype))
    x = ms.ops.zeros(SHAPE, dtype)
    graph = trace(net, x)
    keep = {g: np.arange(g.size) % 2 == 0 for g in graph.groups() if g.blocked_by is None}
    plan = PrunePlan.from_groups(graph, keep)
    assert plan.inputs == ((SHAPE, "Float16"),)
    small = slim(net, plan)
    assert {p.name: p.dtype for p in small.get_parameters()} == {p.name: p.dtype for p in net.get_parameters()}
    assert small.a.weight.dtype == ms.float16 and small.a.weight.shape == (5, 4, 3, 3)
    x = image(3, 3, 8, 8, dtype=dtype)
    assert relative_difference(evaluate(small, x), evaluate(mask(net, plan), x)) <= 1e-2


def test_a_shared_parameter_stays_shared():
    net = randomise(networks.SharedWeight())
    small = slim(net, plan_for(net))
    assert small.a.weight is small.b.weight
    assert small.a.weight is not net.a.weight
    assert small.b.out_channels == small.b.in_channels == 4
    assert [p.name for p in small.get_parameters()] == [p.name for p in net.get_parameters()]


def test_names_order_and_requires_grad_stay():
    net = randomise(networks.Long())
    for name in ("stem.weight", "layer1.0.bn1.gamma", "layer2.1.conv2.weight"):
        net.parameters_dict()[name].requires_grad = False
    small = slim(net, plan_for(net, residual="keep"))
    assert [(p.name, p.requires_grad) for p in small.get_parameters()] == [
        (p.name, p.requires_grad) for p in net.get_parameters()]


def test_the_kept_values_are_the_networks_own():
    net = randomise(networks.Chain())
    plan = plan_for(net)
    small = slim(net, plan)
    rows, columns = plan.kept("conv2.weight", 0), plan.kept("conv2.weight", 1)
    np.testing.assert_array_equal(small.conv2.weight.asnumpy(),
                                  net.conv2.weight.asnumpy()[list(rows)][:, list(columns)])
    np.testing.assert_array_equal(small.bn2.moving_variance.asnumpy(), net.bn2.moving_variance.asnumpy()[list(rows)])
    assert plan.kept("bn2.gamma") == rows and plan.kept("conv3.bias") is None


def test_the_callers_network_is_untouched(mode):
    net = randomise(networks.Long())
    x = image(2, 3, 8, 8)
    expected = evaluate(net, x).asnumpy()
    net.layer2.set_train(True)
    before = state(net)
    plan = plan_for(net, residual="keep")
    small = slim(net, plan)
    assert same_state(before, state(net))
    assert not {id(p) for p in net.get_parameters()} & {id(p) for p in small.get_parameters()}
    assert not {id(c) for _, c in net.cells_and_names()} & {id(c) for _, c in small.cells_and_names()}
    train_steps(small, 1)
    assert same_state(before, state(net))
    np.testing.assert_array_equal(evaluate(net, x).asnumpy(), expected)


def test_an_empty_plan_gives_an_equal_copy():
    net = randomise(networks.Long())
    small = slim(net, PrunePlan())
    x = image(2, 3, 8, 8)
    np.testing.assert_array_equal(evaluate(small, x).asnumpy(), evaluate(net, x).asnumpy())
    assert small is not net and small.stem.weight is not net.stem.weight


@pytest.mark.parametrize("residual", ["keep", "couple"])
def test_slim_trains_on_as_masked_does(residual):
    """Momentum 0.9 and weight decay: after some steps every kept entry is the same in both networks."""
    net = masked(randomise(networks.Long()), residual=residual)
    ft = PrunerFtCompressAlgo()
    plan, small = ft.plan(net), ft.convert(net)
    start = {p.name: p.asnumpy().copy() for p in small.get_parameters()}
    assert np.allclose(train_steps(net, 5), train_steps(small, 5), rtol=1e-5)
    kept = {}
    for keep in plan.keeps:
        kept.setdefault(keep.parameter, {})[keep.axis] = list(keep.indices)
    full, moved = net.parameters_dict(), 0
    for p in small.get_parameters():
        values = full[p.name].asnumpy()
        for axis, indices in kept.get(p.name, {}).items():
            values = values.take(indices, axis=axis)
        np.testing.assert_allclose(p.asnumpy(), values, rtol=1e-5, atol=1e-5, err_msg=p.name)
        moved += not np.array_equal(p.asnumpy(), start[p.name])
    assert moved == len(start)
    x = image(3, 3, 8, 8, seed=4)
    assert relative_difference(evaluate(small, x), evaluate(net, x)) <= 1e-5



@pytest.mark.parametrize("residual", ["keep", "couple"])
def test_the_gradients_are_those_of_the_masked_network(residual):
    net = masked(randomise(networks.Long()), residual=residual)
    ft = PrunerFtCompressAlgo()
    plan, small = ft.plan(net), ft.convert(net)
    full, found = gradients(net), gradients(small)
    for name, gradient in found.items():
        values = full[name]
        for keep in plan.keeps:
            if keep.parameter == name:
                values = values.take(keep.indices, axis=keep.axis)
        np.testing.assert_allclose(gradient, values, rtol=1e-4, atol=1e-5, err_msg=name)
    assert list(found) == list(full)
    assert np.abs(found["layer1.0.conv2.weight"]).max() > 1e-4


def gradients(net):
    x, weights = image(4, 3, 8, 8), net.trainable_params()
    net.set_train(True)

    def forward(x):
        return (net(x) ** 2).mean()

    values = ms.grad(forward, None, weights)(x)
    return {p.name: value.asnumpy() for p, value in zip(weights, values)}


def test_a_slim_network_can_be_made_slim_again():
    net = randomise(networks.Long())
    once = slim(net, plan_for(net, 0.25, "keep"))
    twice = slim(once, plan_for(once, 0.5, "keep"))
    assert (net.layer1[0].conv1.weight.shape[0], once.layer1[0].conv1.weight.shape[0],
            twice.layer1[0].conv1.weight.shape[0]) == (6, 5, 3)


# Plans

positions = st.integers(1, 40).flatmap(lambda n: st.tuples(
    st.just(n), st.sets(st.integers(0, n - 1), min_size=1).map(lambda kept: tuple(sorted(kept)))))
names = st.text(min_size=1, max_size=12)
plans = st.builds(
    PrunePlan,
    keeps=st.lists(st.builds(lambda name, axis, case: Keep(name, axis, *case), names, st.integers(0, 3), positions),
                   max_size=5, unique_by=lambda keep: (keep.parameter, keep.axis)).map(tuple),
    grouped=st.dictionaries(names, st.integers(1, 99), max_size=3),
    zeros=st.lists(st.tuples(names, st.integers(0, 3)), max_size=4).map(tuple),
    inputs=st.lists(st.tuples(st.lists(st.integers(1, 200), max_size=4).map(tuple),
                              st.sampled_from(["Float32", "Float16", "Int32"])), max_size=2).map(tuple))


@given(plans, st.lists(st.tuples(names, st.integers(0, 4)), max_size=3))
def test_a_plan_comes_back_from_json(plan, places):
    """What is put back somewhere is what a parameter keeps."""
    kept = [(keep.size, keep.indices) for keep in plan.keeps]
    plan = replace(plan, restores=tuple(Restore(name, *kept[k % len(kept)]) for name, k in places if kept))
    again = PrunePlan.from_json(plan.to_json())
    assert again == plan
    assert again.to_json() == plan.to_json()


def test_a_plan_from_json_makes_the_same_network():
    net = randomise(networks.Options())
    plan = plan_for(net, residual="keep")
    small, again = slim(net, plan), slim(net, PrunePlan.from_json(plan.to_json()))
    x = image(2, 3, 8, 8)
    np.testing.assert_array_equal(evaluate(small, x).asnumpy(), evaluate(again, x).asnumpy())


GOOD = json.loads(PrunePlan((Keep("w", 0, 4, (1, 3)),), (Restore("c", 4, (0,)),), {"w": 2}, (("w", 0),),
                            (((1, 3), "Float32"),)).to_json())
BAD_JSON = {
    "no json": "{",
    "empty": "",
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "no format": json.dumps({k: v for k, v in GOOD.items() if k != "format"}),
    "other format": json.dumps(GOOD | {"format": 2}),
    "no keeps": json.dumps({k: v for k, v in GOOD.items() if k != "keeps"}),
    "keeps is null": json.dumps(GOOD | {"keeps": None}),
    "unknown field": json.dumps(GOOD | {"keeps": [GOOD["keeps"][0] | {"colour": "red"}]}),
    "list missing": json.dumps(GOOD | {"lists": []}),
    "zeros of one": json.dumps(GOOD | {"zeros": [["w"]]}),
    "inputs of three": json.dumps(GOOD | {"inputs": [[[1], "Float32", 3]]}),
    "indices of text": json.dumps(GOOD | {"lists": [["a"], ["b"]]}),
}


@pytest.mark.parametrize("text", BAD_JSON.values(), ids=BAD_JSON)
def test_text_that_is_no_plan_is_refused(text):
    with pytest.raises(PlanError):
        slim(randomise(networks.Chain()), PrunePlan.from_json(text))


def test_another_format_is_named():
    with pytest.raises(PlanError, match="the plan has format 2, but this version reads 1"):
        PrunePlan.from_json(BAD_JSON["other format"])


GROUP_ERRORS = {
    "blocked": ("conv3", [True, False, True, True], r"group 'conv3' may not lose channels: REACHES_OUTPUT"),
    "nothing left": ("conv1", [False] * 6, r"nothing would be left of '[\w.]+'; keep at least one channel"),
    "too few": ("conv1", [True] * 5, r"group 'conv1' has 6 channels, but got 5 values"),
    "too many": ("conv1", [False] * 7, r"group 'conv1' has 6 channels, but got 7 values"),
}


@pytest.mark.parametrize("name, stays, message", GROUP_ERRORS.values(), ids=GROUP_ERRORS)
def test_a_plan_that_cannot_be_made_is_refused(name, stays, message):
    graph = trace(networks.Chain(), SHAPE)
    with pytest.raises(PlanError, match=message):
        PrunePlan.from_groups(graph, {next(g for g in graph.groups() if g.name == name): stays})


FOREIGN = {
    "no such parameter": (Keep("ghost.weight", 0, 4, (1,)), r"slices 'ghost.weight', which the network does not have"),
    "other size": (Keep("conv1.weight", 0, 7, (1,)), r"expects 7 channels on axis 0 of 'conv1.weight', but its shape"),
    "no such axis": (Keep("conv1.weight", 4, 6, (1,)), r"on axis 4 of 'conv1.weight'"),
    "negative axis": (Keep("conv1.weight", -5, 6, (1,)), r"axis -5 of 'conv1.weight'"),
    "index too large": (Keep("conv1.weight", 0, 6, (1, 6)), "conv1.weight"),
    "negative index": (Keep("conv1.weight", 0, 6, (-1, 2)), "conv1.weight"),
    "index twice": (Keep("conv1.weight", 0, 6, (2, 2)), "conv1.weight"),
    "no index": (Keep("conv1.weight", 0, 6, ()), "conv1.weight"),
}


@pytest.mark.parametrize("keep, message", FOREIGN.values(), ids=FOREIGN)
def test_a_plan_that_does_not_fit_the_network_is_refused(keep, message):
    net = networks.Chain()
    before = state(net)
    with pytest.raises(PlanError, match=message):
        slim(net, PrunePlan((keep,)))
    assert same_state(before, state(net))


FOREIGN_CELLS = {
    "restores": PrunePlan((Keep("conv1.weight", 0, 6, (0, 1)),), restores=(Restore("ghost", 6, (0, 1)),)),
    "grouped": PrunePlan((Keep("conv1.weight", 0, 6, (0, 1)),), grouped={"ghost.weight": 3}),
}


@pytest.mark.parametrize("plan", FOREIGN_CELLS.values(), ids=FOREIGN_CELLS)
def test_a_plan_that_names_another_cell_is_refused(plan):
    with pytest.raises(PlanError, match="ghost"):
        slim(networks.Chain(), plan)


@pytest.mark.parametrize("net, plan, message", [
    (None, PrunePlan(), "takes a mindspore.nn.Cell, but got 'NoneType'"),
    (nn.ReLU(), {}, "takes a PrunePlan, but got 'dict'")], ids=["network", "plan"])
def test_wrong_types_are_refused(net, plan, message):
    with pytest.raises(TypeError, match=message):
        slim(net, plan)


# The self-check


def test_a_number_of_channels_in_the_code_is_found_and_named(mode):
    """MindIR leaves out what has no effect, so nothing blocks the channels; the self-check finds it and says where."""
    net = randomise(networks.LiteralReshape())
    with pytest.raises(ParityError) as error:
        slim(net, plan_for(net))
    message = str(error.value)
    assert message.startswith("the slim network does not run: ")
    line = next(k for k, text in enumerate(Path(networks.__file__).read_text().splitlines(), 1)
                if 'x.reshape((n, self.sizes["width"], h * w))' in text)
    assert f"(cell 'LiteralReshape', {networks.__file__}:{line})" in message
    assert message.endswith("A number of channels may be written into the network's code; add the cell to 'ignore'.")


def test_blocks_whose_length_is_in_the_code_are_removed_as_wholes(mode):
    """The second trace shows that the number of blocks of four is free, and not the place in a block."""
    net = randomise(networks.LiteralShuffle())
    small = slim(net, plan_for(net))
    assert small.conv.weight.shape == (4, 3, 3, 3)
    assert next(g for g in trace(net, SHAPE).groups() if g.name == "conv").size == 2


@pytest.mark.parametrize("pruner", [PrunerKfCompressAlgo, ChannelPruner], ids=["scop", "channel"])
def test_such_a_network_is_refused_before_anything_is_trained(pruner):
    net = randomise(networks.LiteralReshape())
    before = state(net)
    with pytest.raises(PruningError, match="LiteralReshape cannot be pruned as it is: .* The channels of 'conv' are "
                                           "concerned; add them to 'ignore' to prune the rest"):
        pruner(input_shape=SHAPE).apply(net)
    assert same_state(before, state(net))
    pruner(input_shape=SHAPE, ignore=["conv"], residual="couple").apply(net)


def test_where_a_refused_network_fails_is_looked_for_once(monkeypatch):
    """The layers that are guilty are found by halving; the cell and the line, which take a compilation, are not."""
    asked, real = [], check.failure
    monkeypatch.setattr(check, "failure", lambda *given: asked.append(1) or real(*given))
    with pytest.raises(PruningError, match=r"\(cell 'LiteralReshape', .*The channels of 'conv' are concerned"):
        ChannelPruner(input_shape=SHAPE).apply(randomise(networks.LiteralReshape()))
    assert len(asked) == 1


def test_the_first_cell_that_differs_is_named():
    net = randomise(networks.Chain())
    plan = plan_for(net)
    wrong = PrunePlan(tuple(Keep(k.parameter, k.axis, k.size, tuple(sorted(set(range(8)) - set(k.indices))))
                            if (k.parameter, k.axis) == ("conv3.weight", 1) else k for k in plan.keeps),
                      plan.restores, plan.grouped, plan.zeros, plan.inputs)
    with pytest.raises(ParityError, match=r"differs from the masked one by \S+ \(relative, allowed 1e-05\); the first "
                                          r"cell that differs is 'conv3'"):
        slim(net, wrong)
    assert slim(net, wrong, check=False).conv3.weight.shape == (4, 4, 3, 3)


def test_a_cell_with_fewer_channels_is_compared_with_those_that_are_not_masked():
    net = randomise(networks.Chain())
    plan = plan_for(net)
    small = slim(net, plan)
    small.conv1.weight.set_data(small.conv1.weight * 2)
    with pytest.raises(ParityError, match="the first cell that differs is 'conv1'"):
        check_equal(mask(net, plan), small, plan.inputs)


DIFFERENCES = {
    "equal": ([1.0, 2.0], [1.0, 2.0], 0.0),
    "absolute below one": ([0.1, 0.2], [0.1, 0.25], 0.05),
    "relative above one": ([100.0, 50.0], [100.0, 60.0], 0.1),
    "shape": ([1.0], [1.0, 1.0], float("inf")),
    "nan on one side": ([float("nan")], [1.0], float("inf")),
    "inf on the other": ([1.0], [float("inf")], float("inf")),
    "nan on both": ([float("nan"), 1.0], [float("nan"), 1.0], 0.0),
    "infinite and not a number": ([float("inf")], [float("nan")], float("inf")),
    "opposite infinities": ([float("inf")], [float("-inf")], float("inf")),
}


@pytest.mark.parametrize("left, right, expected", DIFFERENCES.values(), ids=DIFFERENCES)
def test_relative_difference(left, right, expected):
    assert relative_difference(ms.Tensor(left), ms.Tensor(right)) == pytest.approx(expected, rel=1e-6)
    pair = relative_difference((ms.Tensor([1.0]), (ms.Tensor(left),)), (ms.Tensor([1.0]), (ms.Tensor(right),)))
    assert pair == pytest.approx(expected, rel=1e-6)


def test_missing_outputs_are_an_infinite_difference():
    assert relative_difference((ms.Tensor([1.0]),), (ms.Tensor([1.0]), ms.Tensor([1.0]))) == float("inf")


# RestoreChannels


@pytest.mark.parametrize("indices", [(0,), (3,), (1, 2), (0, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("dtype", [ms.float32, ms.float16], ids=str)
def test_restored_channels_are_in_their_place(indices, dtype, mode):
    x = image(2, len(indices), 3, 3, dtype=dtype)
    y = RestoreChannels(4, indices)(x)
    assert y.dtype == dtype and y.shape == (2, 4, 3, 3)
    np.testing.assert_array_equal(y.asnumpy()[:, list(indices)], x.asnumpy())
    assert (np.delete(y.asnumpy(), indices, axis=1) == 0).all()


def test_the_gradient_of_restored_channels(mode):
    cell = RestoreChannels(5, (1, 4))
    weight = image(2, 5, 3, 3, seed=2)

    def forward(x):
        return (cell(x) * weight).sum()

    gradient = ms.grad(forward)(image(2, 2, 3, 3))
    np.testing.assert_array_equal(gradient.asnumpy(), weight.asnumpy()[:, [1, 4]])


def test_a_slim_network_has_mindspores_cells_only(tmp_path):
    net = masked(randomise(networks.Long()))
    small = PrunerFtCompressAlgo().convert(net)
    couple = PrunerFtCompressAlgo().convert(masked(randomise(networks.Long()), residual="couple"))

    def own(net):
        kinds = {type(cell) for _, cell in net.cells_and_names()}
        return {kind.__name__ for kind in kinds if kind.__module__.startswith("mindspore_gs")}

    assert own(small) == {"RestoreChannels"} and own(couple) == set()
    assert type(small) is type(couple) is networks.Long
    assert export_mindir(small, SHAPE, tmp_path / "small").is_file()


def test_the_mask_of_a_masked_network_is_that_of_its_plan():
    net = masked(randomise(networks.Long()))
    plan = PrunerFtCompressAlgo().plan(net)
    fresh = randomise(networks.Long())
    x = image(2, 3, 8, 8)
    assert relative_difference(evaluate(mask(fresh, plan), x), evaluate(net, x)) <= 1e-6


def test_convert_leaves_the_masked_network_as_it_is():
    net = masked(randomise(networks.Long()))
    before = state(net)
    PrunerFtCompressAlgo().convert(net)
    assert same_state(before, state(net))


def test_a_slim_network_with_a_layer_that_nothing_reads_is_trained_in_pynative_mode():
    class Unread(networks.Between):
        def __init__(self):
            super().__init__()
            self.unread = nn.Conv2d(8, 5, 1)

        def between(self, x):
            self.unread(x)
            return x

    ms.set_context(mode=ms.PYNATIVE_MODE)
    graph = trace(Unread(), (1, 3, 8, 8))
    group = next(g for g in graph.groups() if "conv" in g.members)
    small = slim(Unread(), PrunePlan.from_groups(graph, {group: [True] * 4 + [False] * 4}))
    weights = small.trainable_params()
    gradients = ms.grad(lambda x: small(x).sum(), None, weights)(image(2, 3, 8, 8))
    assert [g.shape for g in gradients] == [w.shape for w in weights]
    assert small.unread.weight.shape == (5, 4, 1, 1)
