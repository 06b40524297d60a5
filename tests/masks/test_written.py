"""Networks that write into parameters of their own while they run: what is written is never lost."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindspore_gs import ChannelPruner, prune
from mindspore_gs.errors import PruningError
from mindspore_gs.slim import relative_difference


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
