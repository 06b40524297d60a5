"""Weights that are computed before they are used: what may be sliced, and what is masked in their place."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo, export_mindir, load_mindir
from mindspore_gs.cost import layer_macs
from mindspore_gs.graph import trace
from mindspore_gs.slim import fold_batch_norm
from tests.helpers import evaluate, image, randomise, relative_difference, train_steps

SHAPE = (2, 3, 8, 8)


class Own(nn.Cell):
    """A convolution whose weight is computed."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Conv2d(inputs, outputs, 3).weight
        self.gain = Parameter(ops.ones((outputs, 1, 1, 1)), name="gain")
        some = np.arange(9 * inputs * outputs).reshape(outputs, inputs, 3, 3) % 4 > 0
        self.mask = Parameter(Tensor(some, ms.float32), name="mask", requires_grad=False)
        self.mean = ops.ReduceMean(True)

    def construct(self, x):
        return ops.conv2d(x, self.computed(self.weight), None, 1, "pad", 1)


class Standardised(Own):
    def computed(self, weight):
        weight = weight - self.mean(weight, (1, 2, 3))
        return weight / ops.sqrt(self.mean(ops.square(weight), (1, 2, 3)) + 1e-5)


class WithoutEpsilon(Own):
    """Its gradient has no value where a filter is zero, so the gain is masked in its place."""

    def computed(self, weight):
        weight = weight - self.mean(weight, (1, 2, 3))
        return weight * ops.rsqrt(self.mean(ops.square(weight), (1, 2, 3))) * self.gain


class Loud(Own):
    """Nothing makes it zero."""

    def computed(self, weight):
        return weight * ops.rsqrt(self.mean(ops.square(weight), (1, 2, 3)))


class OverFilters(Own):
    def computed(self, weight):
        return weight - self.mean(weight, (0,))


class Scaled(Own):
    def computed(self, weight):
        return weight * 0.5 * self.gain


class Sparse(Own):
    def computed(self, weight):
        return weight * self.mask


class Norm(Own):
    """All of it counts: a spectral norm, roughly."""

    def computed(self, weight):
        return weight / self.mean(ops.square(weight), (0, 1, 2, 3))


class Projection(nn.Cell):
    """``x @ w.T`` with a normalised w."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.v, self.g = nn.Dense(inputs, outputs).weight, Parameter(ops.ones((outputs, 1)), name="g")

    def construct(self, x):
        return ops.matmul(x, (self.g * self.v / ops.sqrt(ops.square(self.v).sum(1, keepdims=True))).T)


class Net(nn.Cell):
    def __init__(self, kind, norm=False):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3), kind(8, 8), nn.Conv2d(8, 8, 3)
        self.norm, self.head = nn.BatchNorm2d(8) if norm else nn.ReLU(), nn.Dense(8, 4)

    def construct(self, x):
        x = ops.relu(self.norm(self.b(ops.relu(self.a(x)))))
        return self.head(ops.relu(self.c(x)).mean((2, 3)))


class Projected(nn.Cell):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(3, 8, 3), Projection(8, 8), nn.Dense(8, 4)

    def construct(self, x):
        return self.head(ops.relu(self.b(ops.relu(self.a(x)).mean((2, 3)))))


def found(net):
    """What is known of the groups of a and b: None where it is free, and what masks silence."""
    graph = trace(net, SHAPE)
    groups = {group.members[0]: group for group in graph.groups()}
    reasons = [group.blocked_by and group.blocked_by.reason.name for group in (groups["a"], groups["b"])]
    return (*reasons, {part.parameter for part in graph.silencers(groups["b"])})


@pytest.mark.parametrize("kind, norm, inputs, outputs, silenced", [
    (Standardised, False, "MIXES_CHANNELS", None, {"b.weight"}),
    (Standardised, True, "MIXES_CHANNELS", None, {"norm.gamma", "norm.beta"}),
    (WithoutEpsilon, False, "MIXES_CHANNELS", None, {"b.gain"}),
    (WithoutEpsilon, True, "MIXES_CHANNELS", None, {"norm.gamma", "norm.beta"}),
    (Loud, False, "MIXES_CHANNELS", "NOT_ZERO", set()),
    (Loud, True, "MIXES_CHANNELS", None, {"norm.gamma", "norm.beta"}),
    (OverFilters, True, None, "MIXES_CHANNELS", {"norm.gamma", "norm.beta"}),
    (Scaled, False, None, None, {"b.weight"}),
    (Sparse, False, None, None, {"b.weight"}),
    (Norm, True, "MIXES_CHANNELS", "MIXES_CHANNELS", {"norm.gamma", "norm.beta"}),
])
def test_what_may_be_sliced_and_what_is_masked(kind, norm, inputs, outputs, silenced):
    assert found(Net(kind, norm)) == (inputs, outputs, silenced)


def test_a_weight_that_is_computed_and_swapped_is_one_of_a_dense_layer():
    assert found(Projected()) == ("MIXES_CHANNELS", None, {"b.g"})


@pytest.mark.parametrize("kind, norm, mode", [(WithoutEpsilon, False, ms.GRAPH_MODE), (Sparse, False, ms.PYNATIVE_MODE),
                                              (Loud, True, ms.GRAPH_MODE)])
def test_the_masked_network_is_the_slim_one_behind_training_and_in_the_file(kind, norm, mode, tmp_path):
    ms.set_context(mode=mode)
    pruner, x = ChannelPruner(prune_rate=0.5, input_shape=SHAPE), image(*SHAPE)
    masked = pruner.apply(randomise(Net(kind, norm)))
    small = pruner.convert(masked)
    assert small.b.weight.shape[0] == 4 and relative_difference(evaluate(small, x), evaluate(masked, x)) < 1e-5
    losses = [train_steps(each, 2, rate=0.01) for each in (masked, small)]
    again = pruner.convert(masked)
    assert np.isfinite(losses).all() and np.allclose(*losses, rtol=1e-4)
    assert all(np.allclose(p.asnumpy(), q.asnumpy(), atol=1e-5) for p, q in zip(small.get_parameters(),
                                                                                again.get_parameters()))
    export_mindir(again, SHAPE, str(tmp_path / "small"))
    assert relative_difference(load_mindir(str(tmp_path / "small.mindir"))(x), evaluate(masked, x)) < 1e-5


def test_scop_puts_no_knockoffs_behind_a_computed_weight_and_masks_its_batch_norm():
    net = PrunerKfCompressAlgo(input_shape=SHAPE, residual="couple").apply(randomise(Net(Sparse, norm=True)))
    assert type(net.b) is Sparse
    train_steps(net, 1, shape=(16, 3, 8, 8))
    pruner, x = PrunerFtCompressAlgo(prune_rate=0.5), image(*SHAPE)
    masked = pruner.apply(net)
    small = pruner.convert(masked)
    assert small.b.weight.shape == small.b.mask.shape == (4, 4, 3, 3)
    assert relative_difference(evaluate(small, x), evaluate(masked, x)) < 1e-5


def test_a_computed_weight_counts_and_is_not_folded_into():
    net = randomise(Net(Standardised, norm=True))
    assert layer_macs(trace(net, SHAPE).graph)["b.weight"] == 64 * 8 * 8 * 9
    assert type(fold_batch_norm(net, SHAPE).norm) is nn.BatchNorm2d
