"""What several test files do with networks."""

import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs.slim import relative_difference

__all__ = ["evaluate", "example_network", "image", "masked", "parameter_count", "randomise", "relative_difference",
           "same_state", "state", "train_steps"]

EXAMPLE = Path(__file__).parents[1] / "examples" / "resnet50_cifar10"


def example_network(name, classes=10):
    """A network of the example: resnet18, resnet20, resnet50 or resnet56."""
    if str(EXAMPLE) not in sys.path:
        sys.path.insert(0, str(EXAMPLE))
    from src.models import build
    return build(name, classes)


def image(*shape, seed=0, dtype=ms.float32):
    """Normal random numbers."""
    return ms.Tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32)).astype(dtype)


def randomise(net, seed=0):
    """Give every BatchNorm, bias and scale values that no fresh network has; weights get their scale from fan-in."""
    random = np.random.default_rng(seed)
    for p in net.get_parameters():
        shape, kind = p.shape, p.name.rsplit(".", 1)[-1]
        if kind.endswith("variance"):
            value = random.uniform(0.5, 2.0, shape)
        elif kind == "gamma":
            value = random.uniform(0.5, 1.5, shape) * random.choice([-1, 1], shape)
        elif len(shape) < 2:
            value = random.normal(0, 0.3, shape)
        else:
            value = random.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
        p.set_data(ms.Tensor(value.astype(np.float32), p.dtype))
    return net


def masked(net, rate=0.45, shape=(1, 3, 8, 8), residual="keep", seed=3, **options):
    """A masked network: random scores, so that no test depends on which channels are good."""
    net = PrunerKfCompressAlgo(input_shape=shape, residual=residual).apply(net)
    return PrunerFtCompressAlgo(prune_rate=rate, criterion="random", seed=seed, **options).apply(net)


def evaluate(net, *inputs):
    """The output in evaluation mode."""
    net.set_train(False)
    return net(*inputs)


def train_steps(net, steps=1, shape=(4, 3, 8, 8), classes=4, seed=0, rate=0.05, clip=None):
    """A few steps of momentum with weight decay on random images. Returns the losses."""
    optimizer = nn.Momentum(net.trainable_params(), rate, 0.9, weight_decay=1e-3)
    loss_fn = nn.CrossEntropyLoss()

    def forward(x, y):
        return loss_fn(net(x), y)

    step = ms.value_and_grad(forward, None, optimizer.parameters)
    net.set_train(True)
    random, losses = np.random.default_rng(seed), []
    for _ in range(steps):
        x = ms.Tensor(random.standard_normal(shape).astype(np.float32))
        y = ms.Tensor(random.integers(0, classes, shape[0]).astype(np.int32))
        loss, gradients = step(x, y)
        optimizer(gradients if clip is None else ms.ops.clip_by_global_norm(gradients, clip))
        losses.append(float(loss.asnumpy()))
    return losses


def state(net):
    """Values, training flags and requires_grad of a network, to see later whether anything changed."""
    values = {p.name: (p.asnumpy().copy(), p.requires_grad, str(p.dtype)) for p in net.get_parameters()}
    cells = {path: (type(cell), cell.training) for path, cell in net.cells_and_names()}
    return values, cells


def same_state(before, after):
    """Whether :func:`state` gave the same twice."""
    (values, cells), (others, other_cells) = before, after
    return cells == other_cells and list(values) == list(others) and all(
        np.array_equal(value, others[name][0]) and rest == list(others[name][1:])
        for name, (value, *rest) in values.items())


def parameter_count(net):
    """Trainable numbers."""
    return sum(p.size for p in net.trainable_params())
