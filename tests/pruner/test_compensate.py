"""compensate(): who reads removed channels gets the weights that make up for them best."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo, prune
from mindspore_gs._cells import copy_network, in_mode, parameters_by_name
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import trace
from mindspore_gs.masks import Masks
from mindspore_gs.norms import batch_norm
from mindspore_gs.pruner.compensation import compensate, targets
from mindspore_gs.pruner.compensation.consumers import Moved
from mindspore_gs.pruner.compensation.passes import Place, find_stream
from mindspore_gs.pruner.compensation.patches import Layer
from mindspore_gs.pruner.compensation.ridge import Rows
from mindspore_gs.pruner.compensation.statistics import Statistics, moments, set_where, vector
from mindspore_gs.pruner.evidence import observe
from tests import networks
from tests.helpers import evaluate, image, randomise, relative_difference, same_state, state

BATCHES = [image(32, 3, 8, 8, seed=k) for k in range(2)]
RANDOM = np.random.default_rng(0)


def pruned(net, rate=0.4, residual="couple", shape=(1, 3, 8, 8), **options):
    pruner = ChannelPruner(prune_rate=rate, residual=residual, input_shape=shape, **options)
    return pruner, pruner.apply(net)


def data(*shape):
    return RANDOM.standard_normal(shape)


@pytest.mark.parametrize("number", [5, 200], ids=["fewer rows than columns", "more rows than columns"])
@pytest.mark.parametrize("intercept", [True, False])
def test_the_solution_is_that_of_the_normal_equations(number, intercept):
    x, r = (data(number, 7) + 2).astype(np.float32).astype(np.float64), data(number, 3)
    rows = Rows(7, 3)
    for part in np.array_split(np.arange(number), 3):
        rows.add(x[part], r[part])
    change, c = rows.solve(intercept, strength=0.1)
    centre = x.mean(0) if intercept else np.zeros(7)
    shift = r.mean(0) if intercept else np.zeros(3)
    gram = (x - centre).T @ (x - centre)
    expected = np.linalg.solve(gram + 0.1 * np.trace(gram) / 7 * np.eye(7), (x - centre).T @ (r - shift)).T
    np.testing.assert_allclose(change, expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(c, shift - expected @ centre, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(rows.error(change, c), ((r - x @ change.T - c) ** 2).mean(0), rtol=1e-8)
    np.testing.assert_allclose(rows.error(), (r ** 2).mean(0), rtol=1e-8)


@pytest.mark.parametrize("number", [2, 50])
def test_a_singular_matrix_has_a_solution(number):
    x = np.repeat(data(number, 1), 4, axis=1)
    x[:, 3] = 0
    rows = Rows(4, 1)
    rows.add(x, 3 * x[:, :1] + 1)
    change, c = rows.solve(intercept=True)
    assert rows.error(change, c)[0] < 1e-4 * rows.error()[0]
    np.testing.assert_allclose(change[0, :3], change[0, 0], rtol=1e-4)
    assert change[0, 3] == 0


def test_columns_that_never_change_get_no_weight():
    rows = Rows(2, 1)
    rows.add(np.ones((9, 2)), np.full((9, 1), 5.0))
    change, c = rows.solve(intercept=True)
    assert not change.any() and c[0] == 5.0


CONVOLUTIONS = {
    "same": nn.Conv2d(4, 6, 3, 2, has_bias=False),
    "valid": nn.Conv2d(4, 6, (2, 3), pad_mode="valid"),
    "asymmetric": nn.Conv2d(4, 6, 3, pad_mode="pad", padding=(1, 2, 0, 3), dilation=2),
    "grouped": nn.Conv2d(4, 6, 3, (1, 2), pad_mode="pad", padding=1, group=2),
    "1x1": nn.Conv2d(4, 6, 1, 2),
    "one axis": nn.Conv1d(4, 6, 3, 2, pad_mode="pad", padding=2, dilation=2),
    "one axis, grouped": nn.Conv1d(4, 6, 4, group=2),
    "three axes": nn.Conv3d(4, 6, (2, 3, 1), (1, 2, 3), pad_mode="pad", padding=(1, 0, 2, 1, 0, 3)),
    "three axes, same": nn.Conv3d(4, 6, 3, 2),
    "dense": nn.Dense(4, 6, has_bias=False),
    "mint": ms.mint.nn.Linear(4, 6, bias=False),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_patches_times_weights_are_the_output(kind):
    cell = CONVOLUTIONS[kind]
    layer = Layer.of(cell)
    x = image(2, 5, 4) if layer.dense else image(2, 4, 9, 7, 5) if len(layer.kernel) == 3 else \
        image(2, 4, *(9, 7)[:len(layer.kernel)])
    y = cell(x).asnumpy()
    size = layer.size(y)
    positions = np.tile(np.arange(int(np.prod(size))), (2, 1))
    parts = np.split(layer.rows(x.asnumpy(), positions, size), layer.groups, axis=1)
    weights = np.split(cell.weight.asnumpy(), layer.groups)
    products = [part.reshape(len(part), -1) @ w.reshape(len(w), -1).T for part, w in zip(parts, weights)]
    np.testing.assert_allclose(np.concatenate(products, axis=1), layer.outputs(y, positions), rtol=1e-4, atol=1e-5)


def twins(last, norm=False):
    """A network whose first layer makes each of its four channels twice, so that half of them say everything."""
    net = randomise(nn.SequentialCell(nn.Conv2d(3, 8, 3, has_bias=True), nn.ReLU(), last,
                                      *([nn.BatchNorm2d(5)] if norm else [])))
    for parameter in (net[0].weight, net[0].bias):
        values = parameter.asnumpy()
        values[4:] = values[:4]
        parameter.set_data(ms.Tensor(values))
    return net


@pytest.mark.parametrize(("kind", "shape"), [(nn.Conv1d, (9,)), (nn.Conv3d, (2, 3, 4))], ids=["one axis", "three"])
def test_convolutions_along_one_axis_and_three(kind, shape):
    """Half of the channels say what the other half does, so that nothing is lost; what each adds is what it adds."""
    net = randomise(nn.SequentialCell(kind(3, 8, 3, has_bias=True), nn.ReLU(), kind(8, 5, 3, has_bias=True)))
    for parameter in (net[0].weight, net[0].bias):
        values = parameter.asnumpy()
        values[4:] = values[:4]
        parameter.set_data(ms.Tensor(values))
    batches = [image(16, 3, *shape, seed=k) for k in range(2)]
    expected = evaluate(net, batches[0])
    graph = trace(net, (1, 3, *shape))
    found, = observe(net, graph, graph.groups()[:1], batches, kinds="contributions")["contributions"].values()
    np.testing.assert_allclose(found, added_by_each(net, batches), rtol=1e-3, atol=1e-4 * found.max())
    masks = Masks.attach(net, graph, graph.groups()[:1])
    masks.set({graph.groups()[0]: [True] * 4 + [False] * 4})
    assert relative_difference(evaluate(net, batches[0]), expected) > 0.1
    assert [layer.name for layer in compensate(net, batches).layers] == ["2"]
    assert relative_difference(evaluate(net, batches[0]), expected) < 0.02


def added_by_each(net, batches):
    """Products of what each channel adds to the outputs of the last layer, over its positions, summed over outputs."""
    total, count = np.zeros((8, 8)), 0
    for batch in batches:
        given = net[1](net[0](batch)).asnumpy()
        alone = [np.where((np.arange(8) == c).reshape(1, 8, *[1] * (given.ndim - 2)), given, 0) for c in range(8)]
        zero = net[2](ms.Tensor(0 * given)).asnumpy()
        added = np.stack([(net[2](ms.Tensor(x)).asnumpy() - zero).ravel() for x in alone])
        total += added @ added.T
        count += zero[:, 0].size
    return total / count


@pytest.mark.parametrize("norm", [False, True], ids=["bias", "BatchNorm"])
def test_what_the_other_channels_know_is_restored(norm, mode):
    net = twins(nn.Conv2d(8, 5, 3, has_bias=not norm), norm)
    expected = evaluate(net, BATCHES[0]).asnumpy()
    graph = trace(net, (1, 3, 8, 8))
    masks = Masks.attach(net, graph, graph.groups()[:1])
    masks.set({graph.groups()[0]: [True] * 4 + [False] * 4})
    before = relative_difference(evaluate(net, BATCHES[0]), ms.Tensor(expected))
    found = compensate(net, BATCHES)
    after = relative_difference(evaluate(net, BATCHES[0]), ms.Tensor(expected))
    assert before > 0.1 and after < 0.02
    assert [layer.name for layer in found.layers] == ["2"] and not found.skipped
    assert found.layers[0].before > 0.05 and found.layers[0].after < 1e-4


CASES = [
    (networks.Identity, "couple", {"a": "output", "b": "stream", "fc": "output"}, set()),
    (networks.Identity, "inner", {"b": "stream"}, set()),
    (networks.Projection, "keep", {"b": "stream", "fc": "output"}, set()),
    (networks.Projection, "couple", {"short.0": "output", "a": "output", "b": "stream", "fc": "output"}, set()),
    (networks.Depthwise, "couple", {"pw": "output", "fc": "output"}, set()),
    (networks.Grouped, "couple", {"g": "output", "last": "output"}, set()),
    (networks.Gate, "couple", {"main": "output", "reduce": "output", "last": "output"}, set()),
    (networks.Branches, "couple", {"a": "output", "b": "output", "last": "output"}, set()),
    (networks.Flattened, "inner", {"conv": "output", "fc1": "output", "fc2": "output"}, set()),
    (networks.Twice, "couple", {"mid": "output", "last": "output"}, {"conv"}),
]
# With "inner" the last layer of Identity reads no channel that went, and no weights of it are better on other samples.
SLOW = (networks.Gate, networks.Branches, networks.Flattened)


@pytest.mark.parametrize(("kind", "residual", "targets", "skipped"), [
    pytest.param(*case, id=f"{case[0].__name__}-{case[1]}", marks=[pytest.mark.slow] if case[0] in SLOW else [])
    for case in CASES])
def test_every_reader_comes_closer_and_the_slim_network_is_equal(kind, residual, targets, skipped):
    pruner, net = pruned(randomise(kind()), residual=residual)
    dense = Masks(net).detached()
    keeps = {group: keep.tolist() for group, keep in Masks(net).read().items()}
    before = np.abs((evaluate(net, BATCHES[0]) - evaluate(dense, BATCHES[0])).asnumpy()).mean()
    found = compensate(net, BATCHES)
    assert {layer.name: layer.target for layer in found.layers} == targets
    assert found.skipped.keys() == skipped
    assert all(layer.after < layer.before for layer in found.layers)
    after = np.abs((evaluate(net, BATCHES[0]) - evaluate(dense, BATCHES[0])).asnumpy()).mean()
    assert after < before
    assert {group: keep.tolist() for group, keep in Masks(net).read().items()} == keeps
    small = pruner.convert(net)
    assert relative_difference(evaluate(small, BATCHES[1]), evaluate(net, BATCHES[1])) < 1e-5


def test_a_weight_of_two_layers_stays():
    _, net = pruned(randomise(networks.SharedWeight()))
    before = net.a.weight.asnumpy().copy()
    found = compensate(net, BATCHES)
    assert found.skipped["a"] == "its weight belongs to no cell, or to several"
    assert "mid" in [layer.name for layer in found.layers]
    np.testing.assert_array_equal(net.a.weight.asnumpy(), before)


def test_training_mode_computes_what_evaluation_mode_does():
    _, net = pruned(randomise(networks.Identity()), residual="inner")
    compensate(net, BATCHES[:1])
    expected = evaluate(net, BATCHES[0]).asnumpy()
    free = copy_network(net)
    for norm in (net.bn0, net.bn1):  # nothing in front of them has changed; they keep their statistics
        norm.use_batch_statistics = False
    net.set_train(True)
    assert relative_difference(net(BATCHES[0]), ms.Tensor(expected)) < 1e-4
    assert relative_difference(evaluate(free, BATCHES[0]), ms.Tensor(expected)) == 0


def test_a_residual_sum_is_found_by_what_arrives_there():
    net = randomise(networks.Identity())
    net.set_train(False)
    generator = np.random.default_rng(0)
    before = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        assert find_stream(net, (BATCHES[0],), "bn2", generator) == Place("relu", 2)
        assert find_stream(net, (BATCHES[0],), "bn1", generator) is None
    finally:
        ms.set_context(mode=before)


def test_nothing_but_weights_and_norms_of_readers_changes():
    _, net = pruned(randomise(networks.Identity()), residual="inner")
    before, flags = state(net)
    compensate(net, BATCHES)
    after, now = state(net)
    changed = {name for name, (value, *_) in before.items() if not np.array_equal(value, after[name][0])}
    assert changed == {"b.weight", "bn2.moving_mean", "bn2.moving_variance", "bn2.gamma", "bn2.beta"}
    assert flags == now
    removed = ~next(iter(Masks(net).read().values()))
    np.testing.assert_array_equal(after["b.weight"][0][:, removed], before["b.weight"][0][:, removed])


def test_one_image_and_wide_layers():
    pruner, net = pruned(randomise(nn.SequentialCell(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(),
                                                     nn.Conv2d(16, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
                                                     nn.Flatten(), nn.Dense(8 * 64, 4))))
    found = compensate(net, [image(1, 3, 8, 8)])
    assert [layer.name for layer in found.layers] == ["3"] and found.layers[0].after < found.layers[0].before
    assert list(found.skipped) == ["7"] and "1 positions are too few" in found.skipped["7"]
    pruner.convert(net)


def test_gamma_and_beta_under_a_mask_are_the_parameters_themselves():
    """Those of mint's BatchNorms read as products with the masks. (Their operator does not run on a CPU.)"""
    net = randomise(nn.SequentialCell(nn.Conv2d(3, 8, 3), ms.mint.nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1)))
    graph = trace(net, (1, 3, 8, 8))
    Masks.attach(net, graph, graph.groups()[:1])
    norm = batch_norm(net[1])
    assert not isinstance(net[1].weight, ms.Parameter)
    for role, name in (("gamma", "1.weight"), ("beta", "1.bias")):
        assert vector(norm, role) is parameters_by_name(net)[name]
    set_where(vector(norm, "gamma"), np.full(8, 7.0), np.arange(8) < 2)
    assert net[1].weight.asnumpy()[:2].tolist() == [7.0, 7.0] and 7.0 not in net[1].weight.asnumpy()[2:]


@pytest.mark.slow
def test_half_precision():
    pruner, net = pruned(randomise(networks.Options(ms.float16)), residual="inner")
    found = compensate(net, [x.astype(ms.float16) for x in BATCHES])
    assert found.layers and all(layer.after < layer.before for layer in found.layers)
    assert net.b.weight.dtype == ms.float16
    pruner.convert(net)


@pytest.mark.slow
def test_the_same_data_gives_the_same_weights():
    nets = [pruned(randomise(networks.Identity()))[1] for _ in range(2)]
    for net in nets:
        compensate(net, BATCHES)
    values = [{name: value for name, (value, *_) in state(net)[0].items()} for net in nets]
    assert all(np.array_equal(value, values[1][name]) for name, value in values[0].items())


def test_statistics_that_are_not_those_of_the_data_stay_so():
    """An untrained network: statistics measured anew would make another network of it, a billion times as loud."""
    net = randomise(networks.Identity())
    for name in ("bn0", "bn1", "bn2"):
        norm = getattr(net, name)
        norm.moving_variance.set_data(ms.Tensor(np.full(norm.num_features, 1e6, np.float32)))
        norm.beta.set_data(ms.Tensor(np.zeros(norm.num_features, np.float32)))
    expected = evaluate(net, BATCHES[0]).asnumpy()
    _, net = pruned(net)
    before = np.abs(evaluate(net, BATCHES[0]).asnumpy() - expected).mean()
    found = compensate(net, BATCHES)
    after = np.abs(evaluate(net, BATCHES[0]).asnumpy() - expected).mean()
    assert after < before and found.layers
    assert all(layer.after < layer.before < 100 for layer in found.layers)


def test_moments_of_the_dense_network_are_met():
    """A BatchNorm behind a layer that keeps its weights puts out the mean and the variance that it had."""
    net = randomise(networks.Identity())
    seen = []
    net.bn1.register_forward_hook(lambda cell, given, output: seen.append(output.asnumpy()))
    with in_mode(ms.PYNATIVE_MODE):
        evaluate(net, BATCHES[0])
    moved = Moved("bn1", np.arange(6) < 4, 0)
    dense = moments(copy_network(net), ["bn1"], [(BATCHES[0],)])
    net.a.weight.set_data(2.5 * net.a.weight.value() + 0.1)
    with in_mode(ms.PYNATIVE_MODE):
        Statistics(net, [moved], dense).measure([(BATCHES[0],)])
        evaluate(net, BATCHES[0])
    for kind in (np.mean, np.std):
        old, new = (kind(values, axis=(0, 2, 3)) for values in (seen[0], seen[-1]))
        np.testing.assert_allclose(new[:4], old[:4], rtol=1e-3, atol=1e-4)
        assert not np.allclose(new[4:], old[4:], rtol=0.05)


def test_the_ridge_is_the_one_that_other_samples_like_best():
    """Few samples of noise: with the least ridge the layer would learn the noise by heart."""
    _, net = pruned(randomise(nn.SequentialCell(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 8, 3, has_bias=True))))
    found = compensate(net, [image(16, 3, 4, 4)])
    work = [layer for layer in found.layers if layer.name == "2"]
    assert work and work[0].after < work[0].before


def test_dead_channels_do_no_harm():
    """The rows of the layer behind have columns that are zero, and its Gram matrix is singular."""
    net = randomise(networks.Identity())
    net.bn1.gamma.set_data(ms.Tensor(np.array([1, 1, 0, 0, 1, 1], np.float32)))
    net.bn1.beta.set_data(ms.Tensor(np.array([0, 0.1, 0, -1, 0.2, 0], np.float32)))
    pruner, net = pruned(net, residual="inner", rate=0.2)
    found = compensate(net, BATCHES)
    assert [layer.name for layer in found.layers][:1] == ["b"] and found.layers[0].after < found.layers[0].before
    assert all(np.isfinite(p.asnumpy()).all() for p in net.get_parameters())
    pruner.convert(net)


def test_a_network_for_one_size_of_batch():
    """The search for residual sums takes a few samples of the batch, where the network takes them."""
    class Fixed(networks.Identity):
        def construct(self, x):
            return super().construct(x.reshape(32, 3, 8, 8))

    _, net = pruned(randomise(Fixed()), residual="inner", shape=(32, 3, 8, 8))
    assert ("b", "stream") in [(layer.name, layer.target) for layer in compensate(net, BATCHES).layers]


def test_a_layer_with_too_many_weights_takes_fewer_places(monkeypatch):
    """Its rows are fewer than its columns, and a layer for which one place of each sample is too much stays."""
    _, net = pruned(randomise(networks.Identity()), residual="inner")
    monkeypatch.setattr(targets, "ENTRIES", 36 * 36 - 1)  # b has 4 channels of 9 weights, and 64 samples
    found = compensate(net, BATCHES)
    assert found.skipped == {"b": "36 weights for each of its channels are too many to solve for"}
    _, net = pruned(randomise(networks.Identity()), residual="inner")
    assert targets.wanted_positions(36, 16) == 2
    found = compensate(net, [image(16, 3, 8, 8)])
    assert [layer.name for layer in found.layers][:1] == ["b"] and found.layers[0].after < found.layers[0].before


def test_the_dense_network_runs_in_parts_where_memory_is_short(monkeypatch):
    nets = [pruned(randomise(networks.Projection()))[1] for _ in range(2)]
    compensate(nets[0], BATCHES)
    monkeypatch.setattr(targets, "HELD", 1)
    found = compensate(nets[1], BATCHES)
    assert [layer.name for layer in found.layers] == ["short.0", "a", "b", "fc"]
    difference = relative_difference(evaluate(nets[0], BATCHES[0]), evaluate(nets[1], BATCHES[0]))
    assert difference < 0.1  # other positions are drawn


def test_batches_of_images_of_different_sizes():
    _, net = pruned(randomise(networks.Identity()), residual="inner")
    found = compensate(net, [image(32, 3, 8, 8), image(24, 3, 12, 6, seed=1)])
    assert [layer.name for layer in found.layers][:1] == ["b"] and found.layers[0].after < found.layers[0].before


@pytest.mark.parametrize("where", ["stem.weight", "data"])
def test_numbers_that_are_not_finite_are_refused_and_nothing_changes(where):
    _, net = pruned(randomise(networks.Identity()), residual="inner")
    x = image(16, 3, 8, 8).asnumpy().copy()
    if where == "data":
        x[0, 0, 0, 0] = np.inf
    else:
        net.stem.weight.set_data(ms.Tensor(np.full(net.stem.weight.shape, 1e38, np.float32)))
    before = {name: p.asnumpy().copy() for name, p in net.parameters_and_names()}
    with pytest.raises(PruningError, match="is given or returns has NaN or inf|found infinite numbers .* in batch 2"):
        compensate(net, [BATCHES[0], x])
    assert all(np.array_equal(p.asnumpy(), before[name]) for name, p in net.parameters_and_names())


def test_no_more_samples_than_asked_for():
    taken = []

    def batches():
        for batch in BATCHES * 4:
            taken.append(batch)
            yield batch

    _, net = pruned(randomise(networks.Identity()))
    compensate(net, batches(), samples=64)
    assert len(taken) == 2


@pytest.mark.parametrize(("arguments", "error", "message"), [
    (((1, 3, 8, 8),), TypeError, r"compensate\(\) got the shape \(1, 3, 8, 8\)"),
    (([],), ValueError, "at least one batch"),
    ((BATCHES, 0), ValueError, "'samples' must be an int of at least 1, but got 0"),
    (([image(2, 5, 8, 8)],), PruningError, r"cannot be run on a batch whose inputs have the shapes \(2, 5, 8, 8\)"),
], ids=["shape", "no batch", "no samples", "wrong channels"])
def test_wrong_arguments(arguments, error, message):
    _, net = pruned(randomise(networks.Identity()))
    before = state(net)
    with pytest.raises(error, match=message):
        compensate(net, *arguments)
    assert same_state(before, state(net))


def test_a_network_without_masks():
    with pytest.raises(PruningError, match="has no knockoff or masked layers"):
        compensate(networks.Identity(), BATCHES)


def test_in_one_call_the_network_stays_and_the_small_one_comes_closer():
    net = randomise(networks.Identity())
    before, expected = state(net), evaluate(net, BATCHES[0])
    options = {"target": {"macs": 0.47}, "inputs": (1, 3, 8, 8), "residual": "inner", "data": BATCHES}
    plain, repaired = (prune(net, compensate=wanted, **options) for wanted in (False, True))
    assert same_state(before, state(net))
    errors = [np.abs((evaluate(small, BATCHES[0]) - expected).asnumpy()).mean() for small in (plain, repaired)]
    assert errors[1] < 0.8 * errors[0]
    assert [p.shape for p in plain.get_parameters()] == [p.shape for p in repaired.get_parameters()]


def test_scop_repairs_too():
    net = PrunerKfCompressAlgo(input_shape=(1, 3, 8, 8)).apply(randomise(networks.Identity()))
    with pytest.raises(PruningError, match="cannot be run on a batch"):
        PrunerFtCompressAlgo(prune_rate=0.4, data=[image(2, 5, 8, 8)], compensate=True).apply(net)
    algorithm = PrunerFtCompressAlgo(prune_rate=0.4, data=BATCHES, compensate=True)
    algorithm.apply(net)  # which is a knockoff network still
    assert [(layer.name, layer.target) for layer in algorithm.compensation.layers] == [("b", "stream"),
                                                                                             ("fc", "output")]
    algorithm.convert(net)


def test_data_that_does_not_fit_leaves_the_network_as_it_was():
    net = randomise(networks.Identity())
    before = state(net)
    with pytest.raises(PruningError, match="cannot be run on a batch"):
        ChannelPruner(prune_rate=0.4, input_shape=(1, 3, 8, 8), data=[image(2, 5, 8, 8)], compensate=True).apply(net)
    assert same_state(before, state(net))


def test_options_that_do_not_go_together():
    with pytest.raises(ValueError, match="'compensate' needs 'data'"):
        ChannelPruner(compensate=True)
    with pytest.raises(TypeError, match=r"ChannelPruner\(\) got one tensor of shape"):
        ChannelPruner(data=BATCHES[0], compensate=True)
    with pytest.raises(TypeError, match="'compensate' must be 'bool'"):
        ChannelPruner(data=BATCHES, compensate=1)
