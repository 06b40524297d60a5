"""Evidence from activations against plain NumPy: what is found, where, and what is refused."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import ChannelPruner, prune
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import Role
from mindspore_gs.pruner.channels import channels_of
from mindspore_gs.pruner.criteria import CRITERIA
from mindspore_gs.pruner.evidence import maps, mixing, observe, one_pass
from tests import networks
from tests.helpers import image, randomise, same_state, state
from tests.seen import BY_DATA, SHAPE, added, batches, free, hidden, network, seen


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_evidence_is_that_of_numpy(mode):
    ms.set_context(mode=mode)
    net, data = network(), batches()
    maps = hidden(net, data)
    rows = maps.transpose(0, 2, 3, 1).reshape(-1, 4)
    parts = added(net, maps).reshape(-1, 3, 4)
    channels, = seen(net, data)
    nuclear = [[np.linalg.svd(np.delete(m.reshape(4, -1), gone, axis=0), compute_uv=False).sum() for gone in range(4)]
               for m in maps]
    whole = [np.linalg.svd(m.reshape(4, -1), compute_uv=False).sum() for m in maps]
    expected = {"mean": rows.mean(0), "variance": rows.var(0), "zeros": (rows == 0).mean(0),
                "rank": np.linalg.matrix_rank(maps, tol=1e-5).mean(0),
                "independence": (np.array(whole)[:, None] - nuclear).mean(0), "gram": rows.T @ rows / len(rows),
                "covariance": np.cov(rows.T, bias=True),
                "contributions": sum(parts[:, o].T @ parts[:, o] for o in range(3)) / len(parts)}
    for kind, value in expected.items():
        found, = channels.evidence(kind)
        np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-5, err_msg=kind)
    assert ms.get_context("mode") == mode


def test_one_pass_for_gradients_and_activations():
    net = randomise(nn.SequentialCell(nn.Dense(4, 6), nn.ReLU(), nn.Dense(6, 3)))
    graph, groups = free(net, (1, 4))
    data = [(image(5, 4, seed=k), ms.Tensor(np.arange(5) % 3, ms.int32)) for k in range(2)]
    read = []
    both = observe(net, graph, groups, (read.append(1) or batch for batch in data),
                   kinds=("fisher", "gradient", "zeros"))
    assert len(read) == 2 and set(both) == {"fisher", "gradient", "zeros"}
    alone = observe(net, graph, groups, data)["gradient"]["0.weight"]
    np.testing.assert_allclose(both["gradient"]["0.weight"], alone, rtol=1e-5)
    single = [(x[k:k + 1], y[k:k + 1]) for x, y in data for k in range(5)]
    np.testing.assert_allclose(both["fisher"]["0.weight"], observe(net, graph, groups, single)["gradient"]["0.weight"],
                               rtol=1e-5)
    x = np.concatenate([x.asnumpy() for x, _ in data])
    hidden = x @ net[0].weight.asnumpy().T + net[0].bias.asnumpy()
    np.testing.assert_allclose(channels_of(net, graph, groups, both)[0].evidence("zeros")[0], (hidden <= 0).mean(0))


# Where channels are seen


def test_a_dense_layer_behind_a_flattened_map_has_one_feature_for_each_position():
    net = randomise(nn.SequentialCell(nn.Conv2d(2, 4, 1, has_bias=True), nn.ReLU(), nn.Flatten(), nn.Dense(64, 3)))
    data = batches()
    maps = hidden(net, data).reshape(12, 4, 16)
    channels, = seen(net, data, ("gram", "contributions", "zeros"))
    rows = maps.transpose(0, 2, 1).reshape(-1, 4)
    np.testing.assert_allclose(channels.evidence("gram")[0], rows.T @ rows / len(rows), rtol=1e-4, atol=1e-9)
    weight = net[3].weight.asnumpy().reshape(3, 4, 16)
    parts = np.einsum("ncp,ocp->noc", maps, weight).reshape(-1, 4)
    np.testing.assert_allclose(channels.evidence("contributions")[0], parts.T @ parts / 12, rtol=1e-4)
    assert channels.evidence("zeros")[0] == pytest.approx((maps == 0).mean((0, 2)))  # at the convolution itself


def test_a_convolution_in_groups_reads_a_channel_in_each_group(monkeypatch):
    monkeypatch.setattr(mixing, "FILTERS", 12)
    net = randomise(networks.Grouped())
    data = [image(3, 3, 4, 4)]
    channels = seen(net, data, ("mean", "contributions"), (1, 3, 4, 4))[0]
    relu = np.maximum(net.bn0(net.stem(data[0])).asnumpy(), 0)
    maps = relu.reshape(3, 2, 4, 4, 4)
    np.testing.assert_allclose(channels.evidence("mean")[0], maps.mean((0, 1, 3, 4)), rtol=1e-4)
    weight, total = net.g.weight.asnumpy(), np.zeros((4, 4))
    padded = np.pad(maps, ((0, 0), (0, 0), (0, 0), (1, 1), (1, 1)))
    for o in range(12):
        parts = np.array([[(padded[n, o // 6, c, i:i + 3, j:j + 3] * weight[o, c]).sum() for c in range(4)]
                          for n in range(3) for i in range(4) for j in range(4)])
        total += parts.T @ parts / len(parts)
    np.testing.assert_allclose(channels.evidence("contributions")[0], total, rtol=1e-3, atol=1e-3)


def test_a_stream_that_stays_whole_is_seen_where_the_mask_sits():
    net = randomise(networks.Identity()).set_train(False)
    data = [image(4, 3, 8, 8)]
    channels = {each.name: each for each in seen(net, data, ("zeros", "gram"), (1, 3, 8, 8), "keep")}["b"]
    assert channels.readers() == []
    x = net.relu(net.bn0(net.stem(data[0])))
    out = net.bn2(net.b(net.relu(net.bn1(net.a(x))))).asnumpy()
    np.testing.assert_allclose(channels.evidence("zeros")[0], (out <= 0).mean((0, 2, 3)), atol=1e-3)
    rows = out.transpose(0, 2, 3, 1).reshape(-1, 8)
    np.testing.assert_allclose(channels.evidence("gram")[0], rows.T @ rows / len(rows), rtol=0.6, atol=0.6)  # sampled
    power = channels.evidence("gram")[0].diagonal()
    assert np.argsort(CRITERIA["thinet"](channels)).tolist() == np.argsort(power).tolist()


def test_all_layers_that_read_a_stream_are_asked():
    net = randomise(networks.Identity())
    stream = seen(net, [image(4, 3, 8, 8)], ("covariance", "zeros"), (1, 3, 8, 8))[0]
    assert [reader.rows(Role.INPUT)[0].shape for reader in stream.readers()] == [(8, 54), (8, 4)]
    assert [len(reader.evidence("covariance")) for reader in stream.readers()] == [1, 1]
    assert len(stream.evidence("zeros")) == 1  # the dense layer behind the mean sees no map


def test_the_pass_says_how_many_batches_there_are(monkeypatch):
    def rows():
        yield from ((np.ones(4, np.float32),) for _ in range(6))

    net = randomise(nn.SequentialCell(nn.Dense(4, 6), nn.ReLU(), nn.Dense(6, 3)))
    graph, groups = free(net, (1, 4))
    shown = []
    monkeypatch.setattr(one_pass, "tracked", lambda items, text, total: shown.append((text, total)) or items)
    known = ms.dataset.NumpySlicesDataset({"x": np.ones((6, 4), np.float32)}, shuffle=False).batch(2)
    for data in ([image(2, 4)] * 3, iter([image(2, 4)] * 3), known, ms.dataset.GeneratorDataset(rows, ["x"]).batch(2)):
        observe(net, graph, groups, data, kinds="zeros")
    assert shown == [("looking at data", number) for number in (3, None, 3, None)]


# Refusals


@pytest.mark.parametrize("name", [*BY_DATA, "taylor", "fisher"])
def test_without_data_the_first_call_says_what_is_missing(name):
    with pytest.raises(ValueError, match=f"the criterion '{name}' looks at data, so it needs 'data', such as a list"):
        ChannelPruner(criterion=name, prune_rate=0.5)


def test_gradients_say_that_they_need_a_loss():
    with pytest.raises(ValueError, match="Unless the network is a classifier, give 'loss_fn', too"):
        ChannelPruner(criterion="fisher", prune_rate=0.5)
    with pytest.raises(PruningError, match="samples must lie along axis 0 of every input and of the label"):
        prune(nn.SequentialCell(nn.Dense(4, 6), nn.ReLU(), nn.Dense(6, 3)), criterion="fisher", prune_rate=0.5,
              data=[(image(2, 4), image(1, 3))], loss_fn=lambda output, label: (output - label).sum(), inputs=(1, 4))


@pytest.mark.parametrize("name", ["knockoff", "knockoff*redundancy"])
def test_knockoffs_need_their_phase(name):
    with pytest.raises(ValueError, match="needs the knockoff phase, and there is none here. Use PrunerKfCompressAlgo"):
        ChannelPruner(criterion=name, prune_rate=0.5, data=batches())
    with pytest.raises(PruningError, match="It comes from the knockoff phase: use PrunerKfCompressAlgo"):
        ChannelPruner(criterion=lambda channels: CRITERIA["knockoff"](channels), prune_rate=0.5,
                      input_shape=SHAPE).apply(network())


def test_a_criterion_of_ones_own_gets_what_it_needs():
    def spread(channels):
        return channels.evidence("variance")[0]

    spread.needs = ("variance", "mean")
    net, data = network(), batches()
    masked = ChannelPruner(criterion=spread, prune_rate=0.5, data=data, input_shape=SHAPE).apply(net)
    kept = np.sort(np.argsort(hidden(network(), data).var((0, 2, 3)))[2:])
    np.testing.assert_array_equal(np.flatnonzero(masked[0].mask.asnumpy()), kept)
    spread.needs = "colour"
    with pytest.raises(ValueError, match="no evidence of the kind 'colour'; there are kfscale, gradient"):
        ChannelPruner(criterion=spread, prune_rate=0.5, data=data)


class Hidden(nn.Cell):
    """Layers that no cell stands for."""

    def __init__(self):
        super().__init__()
        self.a = ms.Parameter(ms.Tensor(np.ones((4, 2, 1, 1), np.float32)), name="a")
        self.b = ms.Parameter(ms.Tensor(np.ones((3, 4, 1, 1), np.float32)), name="b")

    def construct(self, x):
        return ms.ops.conv2d(ms.ops.relu(ms.ops.conv2d(x, self.a)), self.b)


@pytest.mark.parametrize(("build", "data", "error", "message"), [
    (network, [image(1, 3, 4, 4)], PruningError, "cannot be run on batch 1, whose inputs and label"),
    (network, [image(*SHAPE), image(*SHAPE) * np.nan], PruningError, "found NaN among the network's inputs in batch 2"),
    (network, [image(*SHAPE) * 1e30 * 1e30], PruningError, "'2' is given has NaN or infinite numbers"),
    (network, [], ValueError, "needs at least one batch"),
    (network, ["x"], TypeError, "found a 'str' in a batch"),
    (Hidden, [image(*SHAPE)], PruningError, "nothing is known of 'a' that this criterion needs: the share of values"),
], ids=["shape", "nan", "overflow", "empty", "text", "no cell"])
@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_after_an_error_everything_is_as_it_was(build, data, error, message, mode):
    ms.set_context(mode=mode)
    net = build().set_train(True)
    before = state(net)
    with pytest.raises(error, match=message):
        ChannelPruner(criterion="apoz", prune_rate=0.5, data=data, input_shape=SHAPE).apply(net)
    assert same_state(before, state(net)) and ms.get_context("mode") == mode
    assert not any(cell._forward_hook or cell._forward_pre_hook for _, cell in net.cells_and_names())


@pytest.mark.parametrize("statistic, most", [(maps.Rank, "RANKED"), (maps.Independence, "INDEPENDENT")])
def test_samples_beyond_the_first_ones_are_left_out(statistic, most, monkeypatch):
    """A batch that is cut in the middle, and batches of which nothing is used."""
    monkeypatch.setattr(maps, most, 5)
    values = np.random.default_rng(0).standard_normal((16, 3, 4, 4))
    whole, first = statistic(3), statistic(3)
    for k in range(0, 16, 4):
        whole.add(values[k:k + 4], 1e-7)
    first.add(values[:5], 1e-7)
    assert whole.count == 5
    for kind, found in whole.result().items():
        np.testing.assert_allclose(found, first.result()[kind])
