"""Overflow is reported with its layer; gradients of the scales are right; repairs are finite whatever the data."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import amp, nn

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs.errors import PruningError
from mindspore_gs.pruner.overflow import first_not_finite
from tests import networks
from tests.helpers import evaluate, image, randomise, same_state, state

SHAPE = (1, 3, 8, 8)


def data(scale=1.0, count=2):
    images = [(scale * image(4, *SHAPE[1:], seed=k).asnumpy(), np.arange(4, dtype=np.int32)) for k in range(count)]
    return ms.dataset.GeneratorDataset([(x, y) for x, y in images], ["x", "y"], shuffle=False)


def trained(net, algorithm, scale, rate=1e-3, **options):
    optimizer = nn.SGD(net.trainable_params(), rate)
    model = ms.Model(net, nn.CrossEntropyLoss(), optimizer, **options)
    model.train(2, data(scale), algorithm.callbacks(), dataset_sink_mode=False)


@pytest.mark.parametrize("algorithm", [PrunerKfCompressAlgo(input_shape=SHAPE),
                                       ChannelPruner(prune_rate=0.5, input_shape=SHAPE)], ids=["knockoff", "masked"])
def test_an_overflow_in_half_precision_names_the_layer(algorithm, mode):
    net = algorithm.apply(randomise(networks.Long()))
    with pytest.raises(PruningError, match=r"^the training is not finite in step 2: the (output of 'stem|parameter ')"):
        trained(net, algorithm, 3e4, amp_level="O2", loss_scale_manager=None)


def test_a_divergence_names_the_parameter_or_the_layer():
    algorithm = ChannelPruner(prune_rate=0.5, input_shape=SHAPE)
    net = algorithm.apply(randomise(networks.Long()))
    with pytest.raises(PruningError, match="(parameter '.*' has numbers|output of '.*' is the first) .*Lower"):
        trained(net, algorithm, 1.0, rate=3e38)


def test_a_finite_training_is_left_alone():
    algorithm = ChannelPruner(prune_rate=0.5, input_shape=SHAPE)
    trained(algorithm.apply(randomise(networks.Long())), algorithm, 1.0, amp_level="O2", loss_scale_manager=None)


def test_the_network_that_is_looked_at_stays(mode):
    net = randomise(networks.Long())
    amp.auto_mixed_precision(net, "O2", ms.float16)
    net.set_train(True)
    before, expected = state(net), evaluate(net, image(*SHAPE)).asnumpy()
    net.set_train(True)
    assert first_not_finite(net, image(2, *SHAPE[1:])) is None
    found = first_not_finite(net, 1e6 * image(2, *SHAPE[1:]))
    assert found.startswith("the output of 'stem") and "float16" in found
    assert first_not_finite(net, image(*SHAPE) * np.inf) == "the inputs themselves are not finite"
    assert same_state(before, state(net)) and np.array_equal(evaluate(net, image(*SHAPE)).asnumpy(), expected)


def test_what_comes_in_a_dict_is_looked_at(mode):
    class Named(nn.Cell):
        """A root that is no cell, in a dict."""

        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def construct(self, x):
            return {"root": (self.act(x) - 10).sqrt()}

    assert first_not_finite(Named(), image(1, 3)) == "a layer that is no cell of its own makes the output not finite"


@pytest.mark.slow
def test_gradients_of_the_scales(mode):
    """Against central differences of the loss, for the mixture b * real + (1 - b) * knockoff at b = 1/2."""
    net = PrunerKfCompressAlgo(input_shape=SHAPE, knockoff=networks.Generator()).apply(randomise(networks.Long()))
    net.set_train(True)
    x, y = image(6, *SHAPE[1:]), ms.Tensor(np.arange(6) % 4, ms.int32)
    loss_fn, scales = nn.CrossEntropyLoss(), [p for p in net.trainable_params() if p.name.endswith("kfscale")]

    def forward(x, y):
        return loss_fn(net(x), y)

    gradients = ms.value_and_grad(forward, None, ms.ParameterTuple(scales))(x, y)[1]
    agreement = []
    for scale, gradient in zip(scales, gradients):
        analytic, numeric = gradient.asnumpy().ravel(), []
        start = scale.asnumpy().copy()
        for channel in range(len(analytic)):
            losses = []
            for step in (1e-2, -1e-2):
                moved = start.copy()
                moved.ravel()[channel] += step
                scale.set_data(ms.Tensor(moved))
                losses.append(float(forward(x, y).asnumpy()))
            numeric.append((losses[0] - losses[1]) / 2e-2)
        scale.set_data(ms.Tensor(start))
        if np.linalg.norm(numeric) > 1e-4 and np.linalg.norm(analytic) > 0:
            agreement.append(float(np.dot(analytic, numeric) / np.linalg.norm(analytic) / np.linalg.norm(numeric)))
    assert len(agreement) >= 3 and min(agreement) > 0.7, agreement


DEGENERATE = {
    "one image": [image(1, *SHAPE[1:])],
    "black images": [ms.ops.zeros((8, 3, 8, 8))] * 4,
}
MORE = {
    "the same image again": [image(1, *SHAPE[1:])] * 40,
    "one grey level": [ms.ops.ones((8, 3, 8, 8))] * 4,
    "two channels that are equal": [ms.ops.concat((x, x[:, :1], x[:, :1]), 1) for x in (image(8, 1, 8, 8, seed=k)
                                                                                        for k in range(4))],
}


@pytest.mark.parametrize("batches", [*DEGENERATE.values(), *(pytest.param(each, marks=pytest.mark.slow)
                                                             for each in MORE.values())], ids=[*DEGENERATE, *MORE])
def test_a_repair_with_data_that_say_little(batches):
    """Gram matrices without full rank: the repaired network is finite, and not much worse than without repair."""
    def masked(**options):
        return ChannelPruner(prune_rate=0.5, input_shape=SHAPE, **options).apply(randomise(networks.Long()))

    dense = evaluate(randomise(networks.Long()), batches[0]).asnumpy()
    plain, repaired = masked(), masked(data=batches, compensate=True)
    error = [np.linalg.norm(evaluate(net, batches[0]).asnumpy() - dense) for net in (plain, repaired)]
    assert np.isfinite(error).all() and error[1] <= 1.25 * error[0] + 1e-4
    assert all(np.isfinite(p.asnumpy()).all() for p in repaired.get_parameters())
    PrunerFtCompressAlgo().convert(repaired)


def test_a_repair_with_dead_channels():
    """A channel that is zero for all data: its row and column of the Gram matrix are zero."""
    net = randomise(networks.Long())
    for norm in (net.bn0, net.layer1[0].bn1):
        for parameter in (norm.gamma, norm.beta):
            value = parameter.asnumpy().copy()
            value[::2] = 0
            parameter.set_data(ms.Tensor(value))
    batches = [image(8, *SHAPE[1:], seed=k) for k in range(8)]
    repaired = ChannelPruner(prune_rate=0.4, input_shape=SHAPE, data=batches, compensate=True).apply(net)
    assert all(np.isfinite(p.asnumpy()).all() for p in repaired.get_parameters())
    PrunerFtCompressAlgo().convert(repaired)
