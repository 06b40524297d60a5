"""What the tests of training phases have in common: networks that are penalised, and the penalties in plain NumPy."""

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.dataset import GeneratorDataset

from mindspore_gs import ChannelPruner
from tests import networks
from tests.helpers import randomise

GAMMAS = {"alone": ["bn1.gamma"], "stream": ["bn0.gamma", "bn2.gamma"]}  # of networks.Identity
FILTERS = {"alone": ["a.weight"], "stream": ["stem.weight", "b.weight"]}
MADE = {"alone": ["a.weight", "bn1.gamma", "bn1.beta"],
        "stream": ["stem.weight", "b.weight", "bn0.gamma", "bn0.beta", "bn2.gamma", "bn2.beta"]}


def residual(seed=0):
    """A residual block: the layers stem and b share the channels of the stream, a has its own."""
    return randomise(networks.Identity(), seed)


def pruner(criterion="l2", rate=0.4, **options):
    return ChannelPruner(criterion=criterion, prune_rate=rate, input_shape=(1, 3, 8, 8), **options)


def values(net):
    return {p.name: p.asnumpy().astype(np.float64) for p in net.get_parameters()}


def gradients(optimizer, seed=5):
    """A random gradient for each parameter of an optimizer."""
    random = np.random.default_rng(seed)
    return tuple(ms.Tensor(random.normal(0, 1, p.shape).astype(np.float32)) for p in optimizer.parameters)


def norms(found, names):
    """Norm of each channel over several parameters whose first axis is the channels."""
    return np.sqrt(sum((found[name].reshape(len(found[name]), -1) ** 2).sum(axis=1) for name in names))


def spread(vector, like):
    return vector.reshape((-1,) + (1,) * (like.ndim - 1))


def dataset(count=16, batch=8, seed=0):
    """Images whose class is the sign pattern of two of their means."""
    random = np.random.default_rng(seed)
    images = random.standard_normal((count, 3, 8, 8)).astype(np.float32)
    labels = (2 * (images[:, 0].mean((1, 2)) > 0) + (images[:, 1].mean((1, 2)) > 0)).astype(np.int32)
    rows = list(zip(images + np.float32(0.3) * labels[:, None, None, None].astype(np.float32), labels))
    return GeneratorDataset(rows, ["image", "label"], shuffle=False).batch(batch)


def fit(net, optimizer, epochs=1, callbacks=None, rows=None, **options):
    """Model.train on the images."""
    model = ms.Model(net, nn.CrossEntropyLoss(), optimizer, **options)
    model.train(epochs, rows or dataset(), callbacks or [], dataset_sink_mode=False)


def loop(net, optimizer, epochs=1, after_epoch=None, rows=None, jit=False):
    """A training loop of one's own."""
    loss_fn = nn.CrossEntropyLoss()

    def forward(x, y):
        return loss_fn(net(x), y)

    found = ms.value_and_grad(forward, None, optimizer.parameters)

    def step(x, y):
        loss, grads = found(x, y)
        optimizer(grads)
        return loss

    step = ms.jit(step) if jit else step
    net.set_train()
    for _ in range(epochs):
        for x, y in (rows or dataset()).create_tuple_iterator(do_copy=True):
            step(x, y)
        if after_epoch is not None:
            after_epoch()
