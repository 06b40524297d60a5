"""Evidence from data, and the criteria that read it, against plain NumPy and finite differences."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo, prune
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import trace
from mindspore_gs.pruner.channels import channels_of
from mindspore_gs.pruner.criteria import CRITERIA
from mindspore_gs.pruner.evidence import observe
from tests.helpers import image, randomise, same_state, state


def network():
    return randomise(nn.SequentialCell(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(),
                                       nn.Conv2d(6, 5, 3, has_bias=True), nn.ReLU(), nn.Flatten(), nn.Dense(5 * 36, 4)))


def batches(count=3):
    return [(image(4, 3, 6, 6) * (k + 1), ms.Tensor(np.arange(4) % (k + 2), ms.int32)) for k in range(count)]


def loss_of(net, batch):
    return float(ops.cross_entropy(net(batch[0]), batch[1]).asnumpy())


def by_differences(net, parameters, channel, batch, step=1e-2):
    """The gradient of a gate: the loss when what makes the channel is a little larger, and a little smaller."""
    found = []
    for sign in (1, -1):
        old = [p.asnumpy().copy() for p in parameters]
        for p, value in zip(parameters, old):
            changed = value.copy()
            changed[channel] *= 1 + sign * step
            p.set_data(ms.Tensor(changed))
        found.append(loss_of(net, batch))
        for p, value in zip(parameters, old):
            p.set_data(ms.Tensor(value))
    return (found[0] - found[1]) / (2 * step)


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_the_gradient_of_a_gate_is_that_of_finite_differences(mode):
    ms.set_context(mode=mode)
    net, data = network().set_train(False), batches()
    graph = trace(net, (1, 3, 6, 6))
    groups = [group for group in graph.groups() if group.blocked_by is None]
    found = observe(net, graph, groups, data)["gradient"]
    assert set(found) == {"0.weight", "3.weight"}
    for weight, makers in (("0.weight", [net[1].gamma, net[1].beta]), ("3.weight", [net[3].weight, net[3].bias])):
        expected = [np.mean([by_differences(net, makers, channel, batch) ** 2 for batch in data])
                    for channel in range(len(found[weight]))]
        np.testing.assert_allclose(found[weight], expected, rtol=0.05, atol=1e-5)


def test_the_network_stays_as_it_is():
    net = network().set_train(True)
    net[3].weight.requires_grad = False
    before = state(net)
    graph = trace(net, (1, 3, 6, 6))
    observe(net, graph, graph.groups()[:1], batches(1))
    assert same_state(before, state(net)) and net.training and not net[3].weight.requires_grad


def test_taylor_prunes_what_the_loss_does_not_feel():
    net = network()
    gamma = net[1].gamma.asnumpy().copy()
    gamma[[1, 4]], beta = 1e-4, net[1].beta.asnumpy().copy()
    beta[[1, 4]] = 1e-4
    net[1].gamma.set_data(ms.Tensor(gamma))
    net[1].beta.set_data(ms.Tensor(beta))
    small = prune(net, criterion="taylor", prune_rate=0.34, data=iter(batches()), inputs=(1, 3, 6, 6))
    np.testing.assert_array_equal(small[1].gamma.asnumpy(), np.delete(gamma, [1, 4]))


def test_labels_of_mindspores_own_data_sets():
    """Cifar10Dataset and MnistDataset give uint32."""
    scores = []
    for kind in (np.int32, np.uint32, np.uint8):
        pruner = ChannelPruner(criterion="taylor", prune_rate=0.5, input_shape=(1, 3, 6, 6),
                               data=[(x, y.asnumpy().astype(kind)) for x, y in batches(1)])
        pruner.apply(network())
        scores.append(np.concatenate([found.scores for found in pruner.rankings]))
    assert np.array_equal(scores[0], scores[1]) and np.array_equal(scores[0], scores[2])


def test_a_loss_of_the_users():
    net = network()
    seen = []

    def loss(output, label):
        seen.append(1)
        return ((output - label) ** 2).mean()

    data = [(image(2, 3, 6, 6), image(2, 4))]
    prune(net, criterion="taylor", prune_rate=0.5, data=data, loss_fn=loss, inputs=(1, 3, 6, 6))
    assert seen
    with pytest.raises(PruningError, match="the default loss is cross entropy.*Give 'loss_fn'"):
        prune(net, criterion="taylor", prune_rate=0.5, data=data, inputs=(1, 3, 6, 6))


def test_after_the_knockoff_phase_the_gradients_are_those_of_the_network():
    net = network()
    expected = ChannelPruner(criterion="taylor", prune_rate=0.5, data=batches(), residual="keep",
                             input_shape=(1, 3, 6, 6)).apply(network())
    kf = PrunerKfCompressAlgo({"input_shape": (1, 3, 6, 6)}).apply(net)
    masked = PrunerFtCompressAlgo(criterion="taylor", prune_rate=0.5, data=batches()).apply(kf)
    assert masked[0].training == expected[0].training
    np.testing.assert_array_equal(masked[3].weight.asnumpy() == 0, expected[3].weight.asnumpy() == 0)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({}, ValueError, "the criterion 'taylor' looks at data, so it needs 'data'"),
    ({"data": [image(1, 3, 6, 6)]}, TypeError, "needs batches of the network's inputs and the label, but got one"),
    ({"data": []}, ValueError, "needs at least one batch"),
    ({"data": [(np.zeros((0, 3, 6, 6), np.float32), np.zeros(0, np.int32))]}, PruningError,
     r"found no samples in batch 1, which has the shapes \(0, 3, 6, 6\), \(0,\); leave it out"),
    ({"data": [(image(1, 4, 6, 6), ms.Tensor([0]))]}, PruningError, "cannot be run on batch 1, whose inputs and label"),
    ({"data": [(image(1, 3, 6, 6) * np.nan, ms.Tensor([0]))]}, PruningError,
     r"observe\(\) found NaN among the network's inputs in batch 1; leave these samples out\."),
    ({"data": [(image(1, 3, 6, 6) * np.inf, ms.Tensor([0]))]}, PruningError, "the gradients of .* are not finite"),
    ({"data": [(np.zeros((2, 3, 6, 6)), np.array([0, 1]))]}, PruningError,
     r"have the shapes \(2, 3, 6, 6\), \(2,\) and the types float64, int64: "),
    ({"data": (image(2, 3, 6, 6), ms.Tensor([0, 1]))}, TypeError, r"a single batch goes into a list: \[\(x, label\)\]"),
    ({"data": iter(batches(1)), "compensate": True}, ValueError, "an iterator can be read only once; give a list"),
    ({"data": batches(1), "loss_fn": 3}, TypeError, "the 'loss_fn' must be a function of the network's output"),
], ids=["no data", "no label", "empty", "no samples", "wrong shape",
        "nan", "infinite", "double", "tuple", "iterator", "no function"])
def test_bad_data(options, error, message):
    net = network()
    before = state(net)
    with pytest.raises(error, match=message):
        prune(net, criterion="taylor", prune_rate=0.5, inputs=(1, 3, 6, 6), **options)
    assert same_state(before, state(net))


# Criteria of weights alone


def channels_in(net, shape):
    graph = trace(net, shape)
    return channels_of(net, graph, [group for group in graph.groups() if group.blocked_by is None])


def test_fpgm_is_the_sum_of_distances():
    net = network()
    rows = net[0].weight.asnumpy().reshape(6, -1).astype(np.float64)
    expected = [sum(np.sqrt(((a - b) ** 2).sum()) for b in rows) for a in rows]
    np.testing.assert_allclose(CRITERIA["fpgm"](channels_in(net, (1, 3, 6, 6))[0]), expected, rtol=1e-6)


def test_bn_gamma_is_the_magnitude_of_gamma_and_of_the_filter_without_one():
    net = network()
    first, second = channels_in(net, (1, 3, 6, 6))
    np.testing.assert_allclose(CRITERIA["bn_gamma"](first), np.abs(net[1].gamma.asnumpy()))
    norm = np.linalg.norm(net[3].weight.asnumpy().reshape(5, -1).astype(np.float64), axis=1)
    np.testing.assert_allclose(CRITERIA["bn_gamma"](second), norm / norm.mean())
