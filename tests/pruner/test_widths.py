"""A target instead of a rate: paths, the search along them, the whole algorithm, latency with a clock of our own."""

import logging
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo, engines, summary
from mindspore_gs._cells import copy_network
from mindspore_gs.cost import CostModel
from mindspore_gs.errors import PruningError, TargetError
from mindspore_gs.graph import trace
from mindspore_gs.pruner.allocation import Options
from mindspore_gs.pruner.residual import prunable_groups
from mindspore_gs.pruner.select import number_kept
from mindspore_gs.pruner.widths import (
    CLOSE,
    Target,
    global_path,
    layer_path,
    meet,
    meet_latency,
    meet_least_error,
    numbers_kept,
)
from tests import networks
from tests.helpers import evaluate, example_network, image, randomise, relative_difference, same_state, state

SHAPE = (1, 3, 8, 8)


# Paths


@settings(deadline=None)
@given(some.lists(some.integers(1, 40), min_size=1, max_size=4), some.integers(1, 9), some.integers(1, 9))
def test_the_stops_of_the_layer_path_are_the_uniform_rates(sizes, round_to, least):
    path = layer_path(sizes, [None] * len(sizes), round_to, least)
    bounds = [0.0, *np.unique(path.keys).tolist(), 1.0]
    for stop, low, high in zip(path.stops(), bounds, bounds[1:]):
        rate = (low + high) / 2
        assert path.after(stop).tolist() == [number_kept(size, rate, round_to, least) for size in sizes]


def test_a_group_with_a_rate_of_its_own_is_not_on_the_path():
    path = layer_path([4, 6], [3, None], 1, 1)
    assert set(path.groups.tolist()) == {1}
    assert path.after(0).tolist() == [3, 6] and path.after(5).tolist() == [3, 1]


def order(path):
    """(group, channels that it keeps) in the order of removal."""
    return list(zip(path.groups.tolist(), path.kept.tolist()))


def test_the_global_path_follows_score_per_cost():
    scores = [np.array([0.1, 4.0, 1.9]), np.array([6.0, 3.0, 3.0])]  # means 2 and 4: 0.05 2 0.95, and 1.5 0.75 0.75
    equal = global_path(scores, np.array([5, 5]), [None, None], 1, 1)
    assert order(equal) == [(0, 2), (1, 2), (1, 1), (0, 1)]
    np.testing.assert_allclose(equal.keys, [0.05, 0.75, 0.75, 0.95])
    dear = global_path(scores, np.array([10, 90]), [None, None], 1, 1)  # costs 0.2 and 1.8 of their mean
    assert order(dear) == [(0, 2), (1, 2), (1, 1), (0, 1)]
    np.testing.assert_allclose(dear.keys, [0.25, 0.75 / 1.8, 0.75 / 1.8, 4.75])


def test_of_the_bad_channels_the_expensive_ones_go_first():
    path = global_path([np.array([-1.0, 1.0]), np.array([-1.0, 1.0])], np.array([10, 30]), [None, None], 1, 1)
    assert order(path) == [(1, 1), (0, 1)]
    np.testing.assert_allclose(path.keys, [-1.5, -0.5])


@settings(deadline=None)
@given(some.lists(some.lists(some.floats(-9, 9), min_size=1, max_size=20), min_size=1, max_size=4),
       some.integers(1, 9), some.integers(1, 9))
def test_a_global_path_never_gives_channels_back_and_keeps_the_minimum(scores, round_to, least):
    scores = [np.array(score) for score in scores]
    path = global_path(scores, np.arange(1.0, len(scores) + 1), [None] * len(scores), round_to, least)
    kept = np.stack([path.after(count) for count in range(len(path.keys) + 1)])
    assert (np.diff(kept, axis=0).sum(axis=1) < 0).all() and (np.diff(kept, axis=0) <= 0).all()
    assert kept[0].tolist() == [len(score) for score in scores]
    assert kept[-1].tolist() == [number_kept(len(score), 1 - 1e-9, round_to, least) for score in scores]


# Along a path


@cache
def cost_model(name="resnet20", residual="keep", size=32):
    graph = trace(example_network(name), (1, 3, size, size))
    return CostModel(graph, [g for g in prunable_groups(graph, residual) if g.blocked_by is None])


def solved(model, kind, share, scope="layer", round_to=1, least=1):
    """Channels that each group keeps, and the share that is left."""
    random = np.random.default_rng(0)
    scores = [random.normal(0.5, 1, size) for size in model.sizes]
    kept = numbers_kept(Target(kind, share), scope, model, scores, [None] * len(scores), round_to, least, None)
    cost = {"macs": model.macs, "params": model.params}[kind]
    return kept, cost(kept) / cost(model.sizes)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("kind", ["macs", "params"])
@pytest.mark.parametrize("residual", ["keep", "couple"])
def test_resnet20_meets_every_target(residual, kind, scope):
    model = cost_model(residual=residual)
    for share in (0.9, 0.75, 0.6, 0.5, 0.4, 0.25, 0.15):
        kept, left = solved(model, kind, share, scope)
        assert abs(left - share) <= CLOSE
        assert min(kept) >= 1


def test_a_uniform_rate_where_one_is_near():
    kept, left = solved(cost_model(), "macs", 0.5)
    assert kept == [number_kept(size, 0.4) for size in cost_model().sizes]
    assert left == 20_305_216 / 40_551_040


def test_where_uniform_steps_are_too_coarse_they_are_broken():
    """No uniform rate leaves between 0.482 and 0.534; one of the layers of 16 channels keeps what the others lose."""
    model = cost_model(residual="couple")
    kept, left = solved(model, "macs", 0.5)
    coarse = [number_kept(size, 6 / 16 - 1e-9) for size in model.sizes]
    fine = [number_kept(size, 0.39) for size in model.sizes]
    assert all(low <= count <= high for low, count, high in zip(fine, kept, coarse))
    assert {count for size, count in zip(model.sizes, kept) if size == 16} == {10, 11}
    assert abs(left - 0.5) < 0.002


def test_a_step_that_leads_away_closes_its_group_and_others_go_on():
    """Uniform rates leave 0.92 and, once all three groups have lost half of their channels, 0.5."""
    path = layer_path([2, 2, 10], [None] * 3, 1, 1)

    def share(kept):
        return float(kept @ [0.2, 0.2, 0.02])

    np.testing.assert_allclose([share(path.after(stop)) for stop in path.stops()[4:7]], [0.92, 0.5, 0.48])
    assert meet(path, share, Target("macs", 0.7)).tolist() == [1, 2, 5]
    assert meet(path, share, Target("macs", 0.505)).tolist() == [1, 1, 5]
    with pytest.raises(PruningError, match=r"from 0.420 to 1.000, and the nearest to the target is 0.820"):
        meet(path, share, Target("macs", 0.79))


@pytest.mark.parametrize("share, round_to, least, low", [
    (0.2, 1, 16, "0.524"), (0.1, 32, 1, "0.7"), (0.001, 1, 1, "0.0")])
def test_what_cannot_be_met_says_what_can(share, round_to, least, low):
    with pytest.raises(PruningError, match=rf"leaves {share} of the MACs within 0.02; what is left is from {low}\d* to "
                                           rf"1\.000, and the nearest to the target is {low}\d*\. Change 'target', "):
        solved(cost_model(), "macs", share, round_to=round_to, least=least)


def test_resnet50_has_a_finer_path():
    model = cost_model("resnet50")
    for scope in ("layer", "global"):
        _, left = solved(model, "macs", 0.5, scope)
        assert abs(left - 0.5) < 0.002


# The algorithm


@cache
def _knockoff(residual="keep", width=4):
    return PrunerKfCompressAlgo(input_shape=SHAPE, residual=residual).apply(randomise(networks.Long(width=width)))


def knockoff(residual="keep", width=4):
    net = copy_network(_knockoff(residual, width))
    random = np.random.default_rng(0)
    for parameter in net.trainable_params():
        parameter.set_data(type(parameter)(random.uniform(0, 1, parameter.shape).astype(np.float32)))
    return net


@pytest.mark.parametrize("options, residual", [
    ({"target": {"macs": 0.5}, "criterion": "l1"}, "keep"),
    ({"target": {"macs": 0.6}, "criterion": "random", "scope": "global", "min_channels": 3}, "couple"),
    ({"target": {"params": 0.5}, "criterion": "scop"}, "couple"),
    ({"target": {"params": 0.55}, "criterion": "scop", "scope": "global"}, "keep"),
    ({"target": {"macs": 0.5}, "criterion": lambda channels: -np.arange(channels.size)}, "keep"),
], ids=["l1-keep", "random-global-couple", "scop-params-couple", "scop-global-keep", "own"])
def test_the_slim_network_has_what_was_asked_for(options, residual):
    ft = PrunerFtCompressAlgo(options)
    net = ft.apply(knockoff(residual))
    small = ft.convert(net)
    report = summary(networks.Long(width=4), small, SHAPE)
    kind, share = next(iter(options["target"].items()))
    assert abs({"macs": report.macs_ratio, "params": report.params_ratio}[kind] - share) <= 0.02
    assert relative_difference(evaluate(small, image(*SHAPE)), evaluate(net, image(*SHAPE))) < 1e-5
    assert min(row.channels[0] for row in report.rows) >= options.get("min_channels", 1)


def kept(net):
    return {path: int(cell.stays.sum()) for path, cell in net.cells_and_names() if hasattr(cell, "stays")}


def test_layers_with_a_rate_of_their_own_have_it():
    ft = PrunerFtCompressAlgo(target={"macs": 0.7}, criterion="l1", rates={"layer1.*": 0.25}, ignore=["layer2.0.conv1"])
    net = ft.apply(knockoff())
    numbers = kept(net)
    assert (numbers["layer1.0.conv1"], numbers["layer1.0.conv2"], numbers["layer2.0.conv1"]) == (18, 24, 32)
    assert abs(summary(networks.Long(width=4), ft.convert(net), SHAPE).macs_ratio - 0.7) <= 0.02


@pytest.mark.parametrize("options, message", [
    ({"ignore": ["layer2.*"]}, "from 0.541 to 1.000"), ({"rates": {"*": 0.1}}, r"from (0\.8\d+) to \1"),
    ({"ignore": ["*"]}, "from 1.000 to 1.000")], ids=["ignore", "rates", "everything ignored"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_target_out_of_reach_changes_nothing(options, message, scope):
    net = knockoff()
    before = state(net)
    with pytest.raises(PruningError, match=message):
        PrunerFtCompressAlgo(target={"macs": 0.3}, criterion="l1", scope=scope, **options).apply(net)
    assert same_state(before, state(net))


# Validation


FT = "For 'PrunerFtCompressAlgo', "
MESSAGES = [
    ({"target": 0.5}, TypeError, FT + "the 'target' must be 'dict',  but got 'float'."),
    ({"target": {}}, ValueError, FT + "the 'target' must have exactly one key of ('macs', 'params', 'latency'), such "
     "as {'macs': 0.5}, but got {}."),
    ({"target": {"flops": 0.5}}, ValueError, FT + "the 'target' must have exactly one key of ('macs', 'params', "
     "'latency'), such as {'macs': 0.5}, but got {'flops': 0.5}."),
    ({"target": {"macs": 0.5, "params": 0.5}}, ValueError, FT + "the 'target' must have exactly one key of ('macs', "
     "'params', 'latency'), such as {'macs': 0.5}, but got {'macs': 0.5, 'params': 0.5}."),
    ({"target": {"macs": 1}}, TypeError, FT + "the 'target['macs']' must be 'float',  but got 'int'."),
    ({"target": {"latency": 1.0}}, ValueError, FT + "the 'target['latency']' must be in range of (0.0, 1.0), but got "
     "1.0 with type 'float'."),
    ({"target": {"params": float("nan")}}, ValueError, FT + "the 'target['params']' must be in range of (0.0, 1.0), "
     "but got nan with type 'float'."),
    ({"target": {"macs": 0.5}, "prune_rate": 0.0}, ValueError, FT + "'prune_rate' and 'target' exclude each other, but "
     "got both; give one."),
    ({"scope": "all"}, ValueError, FT + "the 'scope' must be one of ('layer', 'global', 'isomorphic', 'error'), but "
     "got 'all'."),
    ({"scope": "global", "prune_rate": 0.5}, ValueError, FT + "the 'scope' 'global' needs a 'target', such as "
     "{'macs': 0.5}, but got none."),
]


@pytest.mark.parametrize("config, error, message", MESSAGES, ids=[str(config) for config, _, _ in MESSAGES])
def test_validation_messages(config, error, message):
    for arguments, options in (((config,), {}), ((), config)):
        with pytest.raises(error) as raised:
            PrunerFtCompressAlgo(*arguments, **options)
        assert str(raised.value) == message


def test_no_rate_beside_a_target():
    ft = PrunerFtCompressAlgo(target={"macs": 0.5})
    with pytest.raises(ValueError, match="'prune_rate' and 'target' exclude each other"):
        ft.set_prune_rate(0.5)
    assert PrunerFtCompressAlgo(prune_rate=0.5, target=None)._config.prune_rate == 0.5


# Latency


def searched(measure, share, size=100):
    """Search the path of one group of ``size`` channels, whose MACs are its channels; also says what was measured."""
    path, asked = layer_path([size], [None], 1, 1), []

    def noted(kept):
        asked.append(kept[0] / size)
        return measure(asked[-1])

    found = meet_latency(path, lambda kept: kept[0] / size, noted, Target("latency", share))
    return found[0] / size, asked


@pytest.mark.parametrize("measure, share, most", [
    (lambda macs: macs, 0.5, 1), (lambda macs: 0.3 + 0.7 * macs, 0.6, 4), (lambda macs: 0.2 + 0.8 * macs ** 2, 0.4, 4),
    (lambda macs: macs ** 0.3, 0.5, 5)], ids=["equal", "line", "parabola", "root"])
def test_few_candidates_are_measured(measure, share, most):
    found, asked = searched(measure, share)
    assert abs(measure(found) - share) <= 0.02
    assert asked[-1] == found and asked[0] == share and len(asked) <= most


def test_a_wrong_measurement_does_not_end_the_search():
    """The third candidate is measured as slower than the dense network, as on a busy machine."""
    results = []

    def measure(macs):
        results.append(1.007 if len(results) == 2 else 0.3 + 0.7 * macs)
        return results[-1]

    found, asked = searched(measure, 0.75)
    assert len(asked) == len(set(asked)) == len(results) > 3
    assert found == asked[np.argmin(np.abs(np.array(results) - 0.75))]


def test_the_nearest_is_taken_with_a_warning_where_the_latency_jumps(caplog):
    with caplog.at_level(logging.WARNING, "mindspore_gs"):
        found, asked = searched(lambda macs: 0.8 if macs > 0.45 else 0.3, 0.5)
    assert found <= 0.45 and len(asked) <= 8
    assert (f"none of {len(asked)} candidates has 0.5 of the dense network's latency within 0.02; the nearest has "
            f"0.300 with {found:.3f} of the MACs, and is taken.") in caplog.text


@pytest.mark.parametrize("measure", [lambda macs: 0.7 + 0.3 * macs, lambda macs: 1.1], ids=["too slow", "never faster"])
def test_a_latency_out_of_reach(measure):
    with pytest.raises(PruningError, match=r"has 0.5 of the dense network's latency within 0.02; the nearest has "
                                           r"(0.7|1.1)\d+ .*Set a higher target"):
        searched(measure, 0.5)


@pytest.mark.parametrize("scope, residual", [("layer", "keep"), ("global", "couple")])
def test_slim_candidates_are_exported_and_run_against_the_dense_network(scope, residual, monkeypatch):
    """The clock is the size of the MindIR file; the true one is called too, and must give two times."""
    measured, clock = [], engines._in_turns

    def fake(load, files, inputs):
        times = clock(load, files, inputs)
        assert len(times) == 2 and min(times) > 0 and inputs[0].shape == SHAPE
        measured.append([file.stat().st_size for file in files])
        return measured[-1]

    monkeypatch.setattr(engines, "_in_turns", fake)
    monkeypatch.setattr(engines, "RUNS", 3)
    net = knockoff(residual)
    dense = evaluate(net, image(*SHAPE))
    ft = PrunerFtCompressAlgo(target={"latency": 0.6}, criterion="l1", scope=scope)
    net = ft.apply(net)
    assert 1 <= len(measured) <= 8 and len({size for size, _ in measured}) == 1
    assert abs(measured[-1][1] / measured[-1][0] - 0.6) <= 0.02
    assert relative_difference(evaluate(ft.convert(net), image(*SHAPE)), evaluate(net, image(*SHAPE))) < 1e-5
    assert relative_difference(evaluate(net, image(*SHAPE)), dense) > 1e-3


def product_of_widths(kept):
    """A layer from 6 channels to 8, as a share."""
    return float(np.prod(kept)) / 48


@pytest.mark.parametrize("share", [0.35, 0.45, 0.65])
def test_widths_beside_the_path_where_single_channels_are_coarse(share):
    """Uniform rates miss each of these by more than 0.02, and some pair of widths does not."""
    path = layer_path([6, 8], [None, None], 1, 1)
    with pytest.raises(TargetError):
        meet(path, product_of_widths, Target("macs", share))
    kept = meet(path, product_of_widths, Target("macs", share), aside=True)
    assert abs(product_of_widths(kept) - share) <= 0.02


def test_least_error_takes_what_is_near_the_target_where_the_best_leaves_less():
    curve = np.array([0.9, 0.5, 0.4, 0.3, 0.2, 0.0])
    options = Options.of([6, 8], [(np.arange(1, 7), curve), (np.arange(1, 9), np.zeros(8))], [None, None], 1, 1)

    def cost(kept):
        return np.asarray(kept).prod(axis=-1)

    found = meet_least_error(options, cost, Target("macs", 0.6), aside=True)
    assert abs(cost(found) / 48 - 0.6) <= 0.02
