"""scope="error": the exact knapsack, costs that multiply, errors that are measured, and the whole way."""

import itertools

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from mindspore import nn

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo, prune, summary
from mindspore_gs._cells import copy_network
from mindspore_gs.cost import CostModel
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import trace
from mindspore_gs.masks import Masks
from mindspore_gs.pruner import allocation
from mindspore_gs.pruner.allocation import Options, least_error
from mindspore_gs.pruner.channels import channels_of
from mindspore_gs.pruner.compensation import compensate
from mindspore_gs.pruner.criteria import CRITERIA
from mindspore_gs.pruner.knapsack import knapsack
from mindspore_gs.pruner.prices import Cheaper
from mindspore_gs.pruner.reconstruction import error_curves
from mindspore_gs.pruner.select import best
from mindspore_gs.pruner.widths import Target, numbers_kept
from tests import networks
from tests.helpers import evaluate, example_network, image, randomise, relative_difference, same_state, state

SHAPE = (1, 3, 8, 8)
BATCHES = [image(32, *SHAPE[1:], seed=k) for k in range(2)]


# The knapsack


@settings(deadline=None, max_examples=200)
@given(some.lists(some.lists(some.tuples(some.integers(0, 30), some.integers(-5, 30)), min_size=1, max_size=6),
                  min_size=1, max_size=4), some.floats(0, 1))
def test_the_knapsack_is_that_of_all_combinations(groups, share):
    errors = [np.array([error for error, _ in group], dtype=float) for group in groups]
    costs = [np.array([cost for _, cost in group]) for group in groups]
    low, high = (sum(int(getattr(cost, name)()) for cost in costs) for name in ("min", "max"))
    budget = low + share * (high - low)
    chosen = knapsack(errors, costs, budget)
    assert sum(cost[k] for cost, k in zip(costs, chosen)) <= budget
    least = min(sum(e[k] for e, k in zip(errors, each)) for each in itertools.product(*(range(len(c)) for c in costs))
                if sum(c[k] for c, k in zip(costs, each)) <= budget)
    assert sum(error[k] for error, k in zip(errors, chosen)) == least


def test_a_choice_that_no_multiplier_finds():
    """Errors over costs are no convex curve: the Lagrangian alone would take 0 or 2."""
    errors, costs = [np.array([0.0, 8.0, 10.0])], [np.array([10, 5, 0])]
    assert knapsack(errors, costs, 7) == [1]


def test_a_budget_below_everything_is_an_error():
    with pytest.raises(ValueError, match="the cheapest options cost 3.0, more than the budget 2"):
        knapsack([np.zeros(2)], [np.array([3, 4])], 2)


# Widths with a cost that multiplies


def chain(sizes, positions):
    """MACs of a chain of layers between 3 inputs and 5 outputs."""
    def cost(kept):
        kept = np.asarray(kept)
        ends = (np.full((*kept.shape[:-1], 1), number) for number in (3, 5))
        widths = np.concatenate((next(ends), kept, next(ends)), axis=-1)
        return (widths[..., 1:] * widths[..., :-1] * positions).sum(axis=-1)
    return cost


def instance(seed):
    """Options, cost and budget of a random chain."""
    random = np.random.default_rng(seed)
    sizes = random.integers(4, 10, random.integers(2, 5)).tolist()
    curves = [(np.arange(1, size + 1), np.append(np.sort(random.random(size - 1))[::-1], 0.0)) for size in sizes]
    cost = chain(sizes, random.integers(1, 20, len(sizes) + 1))
    return Options.of(sizes, curves, [None] * len(sizes), 1, 1), cost, random.uniform(0.2, 0.9) * cost(np.array(sizes))


def brute_force(options, cost, budget):
    """Least sum of errors of all widths within the budget, and the widths."""
    found = [(sum(e[w.tolist().index(k)] for e, w, k in zip(options.errors, options.widths, kept)), kept)
             for kept in itertools.product(*(widths.tolist() for widths in options.widths))
             if cost(np.array(kept)) <= budget]
    return min(found)


@pytest.mark.parametrize("combinations", [0, allocation.ALL], ids=["linearised", "every one"])
@pytest.mark.parametrize("seed", range(12))
def test_the_widths_are_those_of_brute_force(seed, combinations, monkeypatch):
    monkeypatch.setattr(allocation, "ALL", combinations)
    options, cost, budget = instance(seed)
    kept = least_error(options, cost, budget)
    assert tuple(kept.tolist()) == brute_force(options, cost, budget)[1]
    assert cost(kept) <= budget


def test_a_single_linearisation_would_not_do():
    """What the rounds and the exchanges are for: the first knapsack, around uniform widths, misses the best widths."""
    missed = 0
    for seed in range(12):
        search = allocation._Search(*instance(seed))
        now = search._uniform()
        here = search.cost([now])[0]
        first = knapsack(search.options.errors, [each - here for each in search._alone(now)], search.budget - here)
        missed += first != search.every_one()
    assert missed >= 6


def test_many_groups_of_many_channels_are_within_the_budget_and_better_than_uniform():
    random = np.random.default_rng(1)
    sizes = random.choice([64, 128, 256], 24).tolist()
    curves = [(np.array([1, n // 2, n]), np.array([1.0, 0.2, 0.0]) * random.uniform(0.1, 2)) for n in sizes]
    options = Options.of(sizes, curves, [None] * len(sizes), 1, 1)
    cost = chain(sizes, random.integers(1, 20, len(sizes) + 1))
    budget = 0.5 * cost(np.array(sizes))
    kept = least_error(options, cost, budget)
    search = allocation._Search(options, cost, budget)
    places = [widths.tolist().index(number) for widths, number in zip(options.widths, kept)]
    assert 0.99 * budget < cost(kept) <= budget
    assert options.error(places) < 0.75 * options.error(search._uniform())


def test_between_measured_widths_the_error_is_a_line_and_never_falls_with_fewer_channels():
    options = Options.of([8], [(np.array([2, 4, 6, 8]), np.array([1.0, 0.4, 0.6, 0.0]))], [None], 2, 2)
    assert options.widths[0].tolist() == [8, 6, 4, 2]
    np.testing.assert_allclose(options.errors[0], [0, 0.6, 0.6, 1.0], atol=1e-8)
    assert (np.diff(options.errors[0]) > 0).all()
    assert Options.of([8], [None], [5], 1, 1).widths[0].tolist() == [5]


# Errors that are measured


def traced(net, residual="couple", shape=SHAPE):
    graph = trace(net, shape)
    groups = [group for group in graph.groups(residual) if group.blocked_by is None]
    return graph, groups, [CRITERIA["l1"](channels) for channels in channels_of(net, graph, groups)]


def measured(net, data, fixed=None, rounding=(1, 1), **options):
    graph, groups, scores = traced(net)
    return error_curves(net, graph, groups, scores, data, fixed or [None] * len(groups), rounding, **options)


@pytest.fixture(scope="module")
def plain():
    """No BatchNorm: a network whose error can be worked out by hand."""
    return randomise(nn.SequentialCell(nn.Conv2d(3, 4, 3, has_bias=True), nn.ReLU(), nn.Conv2d(4, 3, 1),
                                       nn.ReLU(), nn.Conv2d(3, 2, 1)))


def test_the_error_is_that_of_the_output_on_samples_that_are_held_out(plain):
    before = state(plain)
    curves = measured(plain, BATCHES)
    assert same_state(before, state(plain))
    graph, groups, scores = traced(plain)
    assert [widths.tolist() for widths, _ in curves] == [[1, 2, 3, 4], [1, 2, 3]]
    masked = copy_network(plain)
    masks = Masks.attach(masked, graph, groups)
    x = BATCHES[1][16:]                                   # the last quarter of 64 samples
    whole = evaluate(plain, x).asnumpy().astype(np.float64)
    for group, score, (widths, errors) in zip(groups, scores, curves):
        for width, error in zip(widths, errors):
            masks.set({group: best(score, width)})
            away = ((evaluate(masked, x).asnumpy() - whole) ** 2).sum() / ((whole - whole.mean()) ** 2).sum()
            assert error == pytest.approx(away, rel=1e-5, abs=1e-12)
        masks.set({group: np.ones(group.size, dtype=bool)})
        assert errors[-1] == 0.0 and errors[0] > 0.05


def test_with_compensation_it_is_the_error_after_the_repair(plain):
    bare, repaired = (measured(plain, BATCHES, [None, 3], compensated=kind)[0][1] for kind in (False, True))
    graph, groups, scores = traced(plain)
    masked = copy_network(plain)
    Masks.attach(masked, graph, groups).set({groups[0]: best(scores[0], 2)})
    compensate(masked, [BATCHES[0], BATCHES[1][:16]])
    whole, x = (evaluate(plain, BATCHES[1][16:]).asnumpy().astype(np.float64), BATCHES[1][16:])
    away = ((evaluate(masked, x).asnumpy() - whole) ** 2).sum() / ((whole - whole.mean()) ** 2).sum()
    assert repaired[1] == pytest.approx(away, rel=1e-4)
    assert (repaired[:-1] < bare[:-1]).all()


def test_statistics_that_are_wrong_do_not_count():
    """A channel that is nearly constant moves the mean of the next BatchNorm, and nothing else."""
    net = nn.SequentialCell(nn.Conv2d(3, 2, 1, has_bias=True), nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.ReLU(),
                            nn.Conv2d(4, 2, 1))
    randomise(net)
    net[0].weight.set_data(ms.Tensor(np.array([[0.001] * 3, [1.0, -2.0, 1.0]], np.float32).reshape(2, 3, 1, 1)))
    net[0].bias.set_data(ms.Tensor([5.0, 0.0], ms.float32))
    graph, groups, scores = traced(net)
    for data, error in ((BATCHES, 1e-3), ([image(8, *SHAPE[1:])], None)):
        curve = error_curves(net, graph, groups, scores, data, [None] * len(groups), (1, 1))[0]
        assert curve[0].tolist() == [1, 2]
        assert curve[1][0] < error if error else curve[1][0] > 0.05   # two held-out samples: the old statistics stay


def test_a_few_widths_of_large_groups_and_none_of_fixed_ones():
    net = nn.SequentialCell(nn.Conv2d(3, 64, 1), nn.ReLU(), nn.Conv2d(64, 6, 1), nn.ReLU(), nn.Conv2d(6, 2, 1))
    curves = measured(net, BATCHES[:1], fixed=[None, 4], rounding=(8, 4))
    assert curves[0][0].tolist() == [8, 16, 24, 32, 40, 48, 56, 64] and curves[1] is None


def test_data_that_do_not_fit_are_refused():
    net = networks.Chain()
    with pytest.raises(PruningError, match=r"Chain cannot be run on a batch whose inputs have the shapes \(1, 5, 8"):
        measured(net, [image(4, 5, 8, 8)])
    with pytest.raises(ValueError, match="the scope 'error' needs at least one batch, but 'data' is empty"):
        measured(net, [])
    with pytest.raises(ValueError, match="needs at least two samples"):
        measured(net, [image(*SHAPE)], compensated=True)
    net.conv3.weight.set_data(ms.ops.zeros_like(net.conv3.weight))
    net.conv3.bias.set_data(ms.ops.zeros_like(net.conv3.bias))
    with pytest.raises(PruningError, match="the output of Chain is the same number everywhere"):
        measured(net, BATCHES)


# The whole way


@pytest.mark.parametrize("compensated", [False, True], ids=["plain", "compensated"])
def test_a_small_network_gets_the_widths_of_brute_force(compensated, plain):
    options = {"target": {"macs": 0.5}, "scope": "error", "data": BATCHES, "compensate": compensated}
    pruner = ChannelPruner(input_shape=SHAPE, **options)
    masked = pruner.apply(copy_network(plain))
    small = pruner.convert(masked)
    graph, groups, _ = traced(plain)                       # 4 and 3 channels, one layer between them
    curves, model = measured(plain, BATCHES, compensated=compensated), CostModel(graph, groups)
    every = {kept: sum(errors[widths.tolist().index(k)] for k, (widths, errors) in zip(kept, curves))
             for kept in itertools.product(range(1, 5), range(1, 4)) if model.macs(kept) <= 0.52 * model.macs([4, 3])}
    found = (small[0].weight.shape[0], small[2].weight.shape[0])
    assert every[found] == pytest.approx(min(every.values()), rel=1e-6)
    assert 0.48 <= summary(plain, small, SHAPE).macs_ratio <= 0.52
    assert relative_difference(evaluate(small, image(*SHAPE)), evaluate(masked, image(*SHAPE))) < 1e-5
    assert (pruner.compensation is not None) == compensated


def test_batch_norms_and_both_modes(mode):
    net = randomise(networks.Identity())
    pruner = ChannelPruner(input_shape=SHAPE, target={"params": 0.5}, scope="error", data=BATCHES)
    masked = pruner.apply(net)
    small = pruner.convert(masked)
    assert abs(summary(networks.Identity(), small, SHAPE).params_ratio - 0.5) <= 0.01
    assert relative_difference(evaluate(small, image(*SHAPE)), evaluate(masked, image(*SHAPE))) < 1e-5


@pytest.mark.parametrize("kind", ["macs", "params"])
@pytest.mark.parametrize("residual", ["keep", "couple"])
def test_every_target_is_met_within_a_hundredth(residual, kind):
    """Couplings of a true network, errors that are made up."""
    graph = trace(example_network("resnet20"), (1, 3, 32, 32))
    groups = [group for group in graph.groups(residual) if group.blocked_by is None]
    model, random = CostModel(graph, groups), np.random.default_rng(0)
    curves = [(np.array([1, n // 2, n]), np.array([1.0, random.uniform(0, 1), 0.0])) for n in model.sizes]
    for share in (0.9, 0.6, 0.5, 0.25):
        kept = numbers_kept(Target(kind, share), "error", model, [], [None] * len(groups), 1, 1, None, (), curves)
        left = getattr(model, kind)(kept) / getattr(model, kind)(model.sizes)
        assert share - 0.01 <= left <= share


def test_coarse_widths_come_within_two_hundredths_or_say_what_is_possible():
    model = CostModel(*traced(randomise(networks.Chain()))[:2])
    curves = [(np.array([1, n]), np.array([1.0, 0.0])) for n in model.sizes]
    reached = sorted({int(model.macs([a, b])) / int(model.macs([6, 8])) for a in (4, 6) for b in (4, 8)})
    for share, error in ((reached[1] + 0.015, None), (reached[1] - 0.015, None), (reached[1] + 0.03, PruningError)):
        arguments = (Target("macs", share), "error", model, [], [None] * 2, 4, 1, None, (), curves)
        if error is None:
            assert int(model.macs(numbers_kept(*arguments))) / int(model.macs([6, 8])) == reached[1]
        else:
            with pytest.raises(error, match=rf"what is left is from {reached[0]:.3f} to 1.000, and the nearest"):
                numbers_kept(*arguments)


def test_a_target_out_of_reach_and_no_group_at_all():
    net = randomise(networks.Chain())
    nothing = {"ignore": ["conv1", "conv2"], "target": {"macs": 0.99}}
    for options in ({"min_channels": 5, "target": {"macs": 0.1}}, nothing):
        with pytest.raises(PruningError, match="found no choice of channels|no layer has channels"):
            ChannelPruner(scope="error", data=BATCHES, input_shape=SHAPE, **options).apply(copy_network(net))


def test_rates_and_the_knockoff_phase_go_with_it():
    net = PrunerKfCompressAlgo(input_shape=SHAPE, residual="couple").apply(randomise(networks.Identity()))
    ft = PrunerFtCompressAlgo(target={"params": 0.47}, scope="error", data=BATCHES, criterion="l1", rates={"a": 0.5})
    small = ft.convert(ft.apply(net))
    assert small.a.weight.shape[0] == 3
    assert abs(summary(networks.Identity(), small, SHAPE).params_ratio - 0.47) <= 0.01


@pytest.mark.parametrize("options, message", [
    ({}, "the scope 'error' measures errors, so it needs 'data', such as a list of batches of training images"),
    ({"data": iter(BATCHES), "compensate": True}, "an iterator can be read only once"),
], ids=["no data", "iterator"])
def test_refusals_before_anything_is_done(options, message):
    with pytest.raises(ValueError, match=f"For 'ChannelPruner', .*{message}"):
        ChannelPruner(target={"macs": 0.5}, scope="error", **options)


def test_an_iterator_will_do_where_it_is_read_once(plain):
    small = prune(plain, target={"macs": 0.5}, scope="error", data=iter(BATCHES), inputs=SHAPE)
    assert abs(summary(plain, small, SHAPE).macs_ratio - 0.5) <= 0.02


# Latency, with a clock of our own


def test_the_latency_that_is_foretold_is_met_by_the_widths_of_least_error():
    sizes = [8, 8, 8]
    random = np.random.default_rng(2)
    curves = [(np.arange(1, 9), np.append(np.sort(random.random(7))[::-1], 0.0)) for _ in sizes]
    options, asked = Options.of(sizes, curves, [None] * 3, 1, 1), []

    def clock(kept):
        asked.append(np.asarray(kept).tolist())
        return 0.2 + float(np.asarray(kept) @ [0.06, 0.03, 0.01])

    kept = numbers_kept(Target("latency", 0.6), "error", CostModel(*traced(net_of(sizes))[:2]), [], [None] * 3, 1, 1,
                        clock, (), curves)
    assert asked[:3] == [[4, 8, 8], [8, 4, 8], [8, 8, 4]] and len(asked) <= 3 + 8
    assert abs(clock(kept) - 0.6) <= 0.02
    error, _ = brute_force(options, clock, clock(kept) + 1e-9)
    own = sum(e[w.tolist().index(k)] for e, w, k in zip(options.errors, options.widths, kept))
    assert own == pytest.approx(error)


def net_of(sizes):
    layers = [nn.Conv2d(a, b, 1) for a, b in zip([3, *sizes], [*sizes, 2])]
    return nn.SequentialCell(*itertools.chain(*((layer, nn.ReLU()) for layer in layers[:-1])), layers[-1])


def test_a_group_whose_half_saves_nothing_stays_wide():
    curves = [(np.array([1, 8]), np.array([0.1, 0.0]))] * 2
    cheaper = Cheaper.measured(Options.of([8, 8], curves, [None, None], 1, 1), lambda kept: 0.5 + kept[0] / 16)
    assert all(cheaper.after(count)[1] == 8 for count in (0, 50, 100, 200))
    assert cheaper.after(0).tolist() == [8, 8] and cheaper.after(200).tolist() == [1, 8]
    assert cheaper.share(np.array([4, 8])) == pytest.approx(0.75)
