"""Networks that write into parameters of their own while they run: what is written is never lost."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindspore_gs import ChannelPruner, prune
from mindspore_gs.errors import PruningError
from mindspore_gs.slim import relative_difference
from tests.helpers import evaluate, image, randomise, train_steps


class Centred(nn.Cell):
    """Subtracts a running mean that it follows in training."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Dense(8, 4)
        self.mean = Parameter(ops.ones((8,)), name="mean", requires_grad=False)

    def construct(self, x):
        x = ops.relu(self.conv(x)).mean((2, 3))
        if self.training:
            x = ops.depend(x, ops.assign(self.mean, 0.5 * self.mean + 0.5 * ops.stop_gradient(x).mean(0)))
        return self.head(x - self.mean)


class CentredByMethod(Centred):
    """The same with a method of the parameter, which runs in PyNative mode only."""

    def construct(self, x):
        x = ops.relu(self.conv(x)).mean((2, 3))
        if self.training:
            self.mean.set_data(0.5 * self.mean + 0.5 * ops.stop_gradient(x).mean(0))
        return self.head(x - self.mean)


class CentredByAttribute(Centred):
    """The same with a value for the attribute."""

    def construct(self, x):
        x = ops.relu(self.conv(x)).mean((2, 3))
        if self.training:
            self.mean = 0.5 * self.mean + 0.5 * ops.stop_gradient(x).mean(0)
        return self.head(x - self.mean)


class SpectralNorm(nn.Cell):
    """Its second layer is divided by its spectral norm, for which it follows two vectors of one column."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Dense(8, 4)
        random = np.random.default_rng(0)
        self.weight = Parameter(Tensor(random.standard_normal((1, 8)), ms.float32), name="weight")
        self.u = Parameter(Tensor(np.ones((1, 1)), ms.float32), name="u", requires_grad=False)
        self.v = Parameter(Tensor(random.standard_normal((8, 1)), ms.float32), name="v", requires_grad=False)

    def construct(self, x):
        x = ops.relu(self.conv(x)).mean((2, 3))
        u, v = self.u, self.v
        if self.training:
            v = ops.matmul(self.weight.T, u)
            v = v / ops.norm(v)
            v = ops.stop_gradient(ops.depend(v, ops.assign(self.v, v)))
        norm = ops.matmul(u.T, ops.matmul(self.weight, v))
        return self.head(x), (self.weight / norm).sum()


class OwnNorm(nn.Cell):
    """A BatchNorm that is written out; what it writes need not be masked, for gamma and beta are."""

    def __init__(self, channels):
        super().__init__()
        self.gamma, self.beta = (Parameter(ops.ones((channels,)), name=name) for name in ("gamma", "beta"))
        self.mean, self.variance = (Parameter(ops.ones((channels,)), name=name, requires_grad=False)
                                    for name in ("mean", "variance"))

    def write(self, mean, variance):
        return ops.assign(self.mean, mean), ops.assign(self.variance, variance)

    def construct(self, x):
        mean, variance = self.mean, self.variance
        if self.training:
            mean = x.mean((0, 2, 3))
            variance = ops.square(x - mean.reshape(1, -1, 1, 1)).mean((0, 2, 3))
            now = ops.stop_gradient(mean), ops.stop_gradient(variance)
            x = ops.depend(x, self.write(0.5 * (self.mean + now[0]), 0.5 * (self.variance + now[1])))
        x = (x - mean.reshape(1, -1, 1, 1)) / ops.sqrt(variance.reshape(1, -1, 1, 1) + 1e-5)
        return x * self.gamma.reshape(1, -1, 1, 1) + self.beta.reshape(1, -1, 1, 1)


class OwnNormByMethod(OwnNorm):
    """The same with a method of the parameters."""

    def write(self, mean, variance):
        self.mean.set_data(mean)
        self.variance.set_data(variance)


class OwnNorms(nn.Cell):
    def __init__(self, kind=OwnNorm):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), kind(8), nn.Dense(8, 4)

    def construct(self, x):
        return self.head(ops.relu(self.norm(self.conv(x))).mean((2, 3)))


@pytest.mark.parametrize("kind, mode", [(OwnNorm, ms.GRAPH_MODE), (OwnNorm, ms.PYNATIVE_MODE),
                                        (OwnNormByMethod, ms.PYNATIVE_MODE)])
def test_an_own_norm_is_masked_by_what_nothing_writes_into(kind, mode):
    ms.set_context(mode=mode)
    x, shape = image(8, 3, 8, 8), (2, 3, 8, 8)
    net, pruner = randomise(OwnNorms(kind)), ChannelPruner(prune_rate=0.5, input_shape=shape)
    masked = pruner.apply(net)
    small = pruner.convert(masked)
    before = small.norm.mean.asnumpy().copy()
    losses = [train_steps(each, 2, shape=x.shape, rate=0.01) for each in (masked, small)]
    again = pruner.convert(masked)
    assert np.allclose(*losses, rtol=1e-4) and np.abs(small.norm.mean.asnumpy() - before).max() > 0.01
    assert relative_difference(evaluate(again, x), evaluate(masked, x)) < 1e-5
    assert all(np.allclose(a.asnumpy(), b.asnumpy(), atol=1e-4)
               for a, b in zip(small.get_parameters(), again.get_parameters()))
    ms.set_context(mode=ms.PYNATIVE_MODE)


@pytest.mark.parametrize("kind", [Centred, CentredByMethod])
def test_masks_that_would_lose_what_is_written_are_refused(kind):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    net = kind()
    with pytest.raises(PruningError, match=r"writes into 'mean' while it runs.*add 'conv' to 'ignore'.*prune\(net"):
        ChannelPruner(prune_rate=0.5, input_shape=(2, 3, 8, 8)).apply(net)
    assert type(net) is kind
    assert prune(net, prune_rate=0.5, inputs=(2, 3, 8, 8)).mean.shape[0] == 4


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
def test_the_value_of_an_attribute_reaches_a_masked_parameter(mode):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    pruner = ChannelPruner(prune_rate=0.5, input_shape=(2, 3, 8, 8))
    masked = pruner.apply(CentredByAttribute())
    small = pruner.convert(masked)
    ms.set_context(mode=mode)
    x = Tensor(np.random.default_rng(1).standard_normal((2, 3, 8, 8)), ms.float32)
    for net in (masked, small):
        net.set_train(True)(x)
    stays = masked.conv.weight.asnumpy().any((1, 2, 3))
    raw = {parameter.name: parameter.asnumpy() for parameter in masked.get_parameters()}["mean"]
    assert np.abs(raw[stays] - 1).max() > 0.1 and np.allclose(raw[stays], small.mean.asnumpy(), atol=1e-6)
    assert relative_difference(small.set_train(False)(x), masked.set_train(False)(x)) < 1e-6
    ms.set_context(mode=ms.PYNATIVE_MODE)


def test_a_single_channel_that_is_written_needs_no_mask():
    ms.set_context(mode=ms.PYNATIVE_MODE)
    net = SpectralNorm()
    pruner = ChannelPruner(prune_rate=0.5, input_shape=(2, 3, 8, 8))
    masked = pruner.apply(net)
    before = net.v.asnumpy().copy()
    masked.set_train(True)(ops.ones((2, 3, 8, 8)))
    assert np.abs(net.v.asnumpy() - before).max() > 0.01
    small = pruner.convert(masked)
    assert small.conv.weight.shape[0] == 4
    x = Tensor(np.random.default_rng(1).standard_normal((2, 3, 8, 8)), ms.float32)
    assert all(relative_difference(a, b) < 1e-6
               for a, b in zip(small.set_train(False)(x), masked.set_train(False)(x)))
