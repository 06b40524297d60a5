"""Criteria that look at data, against plain NumPy on a network done by hand, and with hard numbers."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import ChannelPruner, prune
from mindspore_gs.pruner.channels import channels_of
from mindspore_gs.pruner.criteria import CRITERIA
from mindspore_gs.pruner.criteria.reconstruction import Reading, eliminate
from mindspore_gs.pruner.evidence import observe
from tests import networks
from tests.helpers import image, randomise
from tests.seen import BY_DATA, KINDS, SHAPE, added, batches, free, hidden, network, seen


def test_the_fisher_criterion_is_half_of_the_mean_square():
    net = randomise(nn.SequentialCell(nn.Dense(4, 6), nn.ReLU(), nn.Dense(6, 3)))
    graph, groups = free(net, (1, 4))
    x, y = image(5, 4), np.arange(5) % 3
    evidence = observe(net, graph, groups, [(x, ms.Tensor(y, ms.int32))], kinds="fisher")
    first, second = (layer.weight.asnumpy().astype(np.float64) for layer in (net[0], net[2]))
    h = np.maximum(x.asnumpy() @ first.T + net[0].bias.asnumpy(), 0)
    p = np.exp(h @ second.T + net[2].bias.asnumpy())
    p = p / p.sum(1, keepdims=True) - np.eye(3)[y]
    gates = (p @ second) * h  # derivative of each sample's loss with respect to a factor of h
    np.testing.assert_allclose(CRITERIA["fisher"](channels_of(net, graph, groups, evidence)[0]),
                               (gates ** 2).mean(0) / 2, rtol=1e-4)


def test_apoz_hrank_and_chip_are_the_evidence():
    net, data = network(), batches()
    channels, = seen(net, data)
    maps = hidden(net, data)
    np.testing.assert_allclose(CRITERIA["apoz"](channels), (maps > 0).mean((0, 2, 3)))
    np.testing.assert_allclose(CRITERIA["hrank"](channels), np.linalg.matrix_rank(maps, tol=1e-5).mean(0))
    np.testing.assert_array_equal(CRITERIA["chip"](channels), channels.evidence("independence")[0])


def lost(rows, weight, gone, ridge):
    """What is left of the layer's output when the other channels make up for those that are gone."""
    covariance = np.cov(rows.T, bias=True) + ridge * np.eye(rows.shape[1])
    stays = np.setdiff1d(np.arange(rows.shape[1]), gone)
    inner = covariance[np.ix_(gone, gone)] - covariance[np.ix_(gone, stays)] @ np.linalg.solve(
        covariance[np.ix_(stays, stays)], covariance[np.ix_(stays, gone)])
    return sum(w @ inner @ w - ridge * w @ w for w in np.moveaxis(weight[:, gone], 1, -1).reshape(-1, len(gone)))


def test_redundancy_goes_by_what_the_kept_channels_cannot_make_up_for():
    net, data = network(), batches()
    rows = hidden(net, data).transpose(0, 2, 3, 1).reshape(-1, 4)
    weight = net[2].weight.asnumpy().astype(np.float64)
    ridge = 1e-3 * rows.var(0).mean()
    energy = sum((weight[:, c] ** 2).sum() * rows[:, c].var() for c in range(4))
    channels, = seen(net, data)
    scores, gone = CRITERIA["redundancy"](channels), []
    for channel in np.argsort(scores):
        costs = {c: lost(rows, weight, [*gone, c], ridge) for c in range(4) if c not in gone}
        assert channel == min(costs, key=costs.get)
        gone.append(channel)
    first = gone[0]
    np.testing.assert_allclose(scores[first], lost(rows, weight, [first], ridge) / energy, rtol=1e-4)


def test_many_channels_go_as_they_would_one_by_one():
    """Removals are carried out in blocks; each must cost what the exact formula says, for two layers that read."""
    random, size = np.random.default_rng(0), 150
    rows = [random.standard_normal((400, size)) @ random.standard_normal((size, size)) for _ in range(2)]
    weights = [random.standard_normal((5, size)) for _ in range(2)]
    covariances = [np.cov(x.T) + 0.1 * np.eye(size) for x in rows]
    order, costs = eliminate([Reading(w.T @ w, np.linalg.inv(c), 0.0) for w, c in zip(weights, covariances)],
                             np.ones(size))
    assert sorted(order) == list(range(size))
    totals = []
    for count in (1, 2, 63, 64, 65, 66, 130, 149):
        gone = order[:count]
        totals.append([sum(np.trace(w[:, gone] @ np.linalg.inv(np.linalg.inv(c)[np.ix_(gone, gone)]) @ w[:, gone].T)
                           for w, c in zip(weights, covariances)), costs[:count].sum()])
    np.testing.assert_allclose(*np.transpose(totals), rtol=1e-8)


def test_of_two_equal_channels_one_stays():
    net = network()
    for p in (net[0].weight, net[0].bias):
        value = p.asnumpy().copy() + (2 if p.ndim == 1 else 0)
        value[2] = value[1]
        p.set_data(ms.Tensor(value))
    order = np.argsort(CRITERIA["redundancy"](seen(net, batches())[0]))
    assert order[0] in (1, 2) and order[1] not in (1, 2)


def test_thinet_removes_what_adds_least_together():
    net, data = network(), batches()
    parts = added(net, hidden(net, data)).reshape(-1, 4)
    channels, = seen(net, data)
    gone = []
    for channel in np.argsort(CRITERIA["thinet"](channels)):
        costs = {c: (parts[:, [*gone, c]].sum(1) ** 2).sum() for c in range(4) if c not in gone}
        assert channel == min(costs, key=costs.get)
        gone.append(channel)


def test_lasso_is_the_order_in_which_proximal_gradient_finds_channels():
    net, data = network(), batches()
    parts = added(net, hidden(net, data)).reshape(-1, 4)
    products = parts.T @ parts / (parts ** 2).sum()
    step, entered = 1 / np.linalg.eigvalsh(products)[-1], np.zeros(4)
    beta = np.zeros(4)
    for strength in np.abs(products.sum(0)).max() * np.geomspace(1, 1e-4, 60)[1:]:
        for _ in range(3000):
            moved = beta + step * (products @ (1 - beta))
            beta = np.sign(moved) * np.maximum(np.abs(moved) - step * strength, 0)
        entered = np.where((entered == 0) & (beta != 0), strength, entered)
    scores = CRITERIA["lasso"](seen(net, data)[0])
    assert len(set(entered)) > 1
    np.testing.assert_allclose(scores, entered, rtol=1e-3)


def test_greedy_norms_leave_out_the_kernels_of_channels_that_are_gone():
    net = randomise(networks.Chain())
    masked = ChannelPruner(criterion="l2_greedy", prune_rate=0.5, input_shape=(1, 3, 8, 8)).apply(net)
    first, second = (layer.weight.asnumpy().astype(np.float64) for layer in (masked.conv1, masked.conv2))
    stays = np.sort(np.argsort(np.linalg.norm(first.reshape(6, -1), axis=1))[3:])
    np.testing.assert_array_equal(np.flatnonzero(masked.conv1.stays), stays)
    norms = np.linalg.norm(second[:, stays].reshape(8, -1), axis=1)
    np.testing.assert_array_equal(np.flatnonzero(masked.conv2.stays), np.sort(np.argsort(norms)[4:]))
    independent = np.argsort(np.linalg.norm(second.reshape(8, -1), axis=1))[4:]
    assert set(independent) != set(np.flatnonzero(masked.conv2.stays))


@pytest.mark.parametrize(("build", "residual"), [
    (networks.Projection, "couple"), (networks.OptionA, "keep"), (networks.Depthwise, "couple"),
    (networks.Grouped, "couple"), (networks.Flattened, "couple")], ids=lambda value: getattr(value, "__name__", value))
def test_every_criterion_scores_every_group(build, residual):
    net = randomise(build())
    kinds = ("zeros", "rank", "independence", "covariance", "gram", "contributions")
    for channels in seen(net, [image(2, 3, 8, 8)], kinds, (1, 3, 8, 8), residual):
        for name in BY_DATA:
            scores = CRITERIA[name](channels)
            assert scores.shape == (channels.size,) and np.isfinite(scores).all() and np.ptp(scores) > 0, name
            if name in ("redundancy", "thinet", "lasso"):
                assert len(set(scores.tolist())) == channels.size  # an order, without ties


# Hard numbers


@pytest.mark.parametrize("name", BY_DATA)
@pytest.mark.parametrize("case", ["dead", "all dead", "one image", "half"])
def test_a_dead_channel_goes_first(name, case):
    net = network()
    value = net[0].weight.asnumpy().copy()
    bias = net[0].bias.asnumpy().copy()
    gone = slice(None) if case == "all dead" else 2
    bias += 1  # the others are alive
    value[gone], bias[gone] = 0, -1
    net[0].weight.set_data(ms.Tensor(value))
    net[0].bias.set_data(ms.Tensor(bias))
    kind = ms.float16 if case == "half" else ms.float32
    net.to_float(kind) if case == "half" else None
    data = [x.astype(kind) for x in batches(1, 1 if case == "one image" else 4)]
    small = prune(net, criterion=name, prune_rate=0.25, data=data, inputs=SHAPE)
    assert small[0].weight.shape == (3, 2, 1, 1)
    if case != "all dead":
        np.testing.assert_array_equal(small[0].weight.asnumpy(), np.delete(value, 2, axis=0))


def test_parameters_in_half_precision():
    net = network()
    for p in net.get_parameters():
        p.set_dtype(ms.float16)
    channels, = seen(net, [x.astype(ms.float16) for x in batches()])
    exact, = seen(network(), batches())
    for kind in KINDS:
        np.testing.assert_allclose(channels.evidence(kind)[0], exact.evidence(kind)[0], rtol=0.05, atol=0.05,
                                   err_msg=kind)


def test_more_channels_than_positions():
    """Rank-deficient: 32 channels, one image of four positions."""
    net = randomise(nn.SequentialCell(nn.Conv2d(2, 32, 1, has_bias=True), nn.Conv2d(32, 3, 1)))
    channels, = seen(net, [image(1, 2, 2, 2)], shape=(1, 2, 2, 2))
    assert np.linalg.matrix_rank(channels.evidence("covariance")[0], tol=1e-6) <= 3
    for name in BY_DATA:
        assert np.isfinite(CRITERIA[name](channels)).all(), name
    scores = CRITERIA["redundancy"](channels)
    assert (np.sort(scores)[:28] < 1e-2 * scores.max()).all()  # four channels make up for all others
