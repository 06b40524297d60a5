"""Started by msrun, or alone: knockoff phase, masks, statistics, repair, fine-tuning; what came out goes into a file.

    python tests/trust/train_on_a_rank.py FOLDER MODE together|alone|dies

Alone, one process has the whole batch. With ``dies``, the second process ends itself in the middle of the training.
"""

import os
import signal
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

FOLDER, MODE, HOW = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
ms.set_context(mode=MODE)
ms.set_device("CPU")
RANK, RANKS = 0, 1
if HOW != "alone":
    from mindspore.communication import get_group_size, get_rank, init

    init()
    ms.set_auto_parallel_context(parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=True)
    RANK, RANKS = get_rank(), get_group_size()
ms.set_seed(1)

from mindspore_gs import (  # noqa: E402
    ChannelPruner,
    PrunerFtCompressAlgo,
    PrunerKfCompressAlgo,
    recalibrate,
    save_pruned,
)
from mindspore_gs.checkpoint import is_mask  # noqa: E402
from mindspore_gs.pruner.scop.phase import scales  # noqa: E402
from tests import networks  # noqa: E402
from tests.helpers import image, randomise  # noqa: E402

SHAPE, STEPS, BATCH = (1, 3, 8, 8), 3, 8


def batches(kind: int) -> list:
    """This process's share of each batch: images and labels."""
    found = []
    for step in range(STEPS):
        x, y = image(BATCH, *SHAPE[1:], seed=100 * kind + step), np.random.default_rng(step).integers(0, 4, BATCH)
        share = slice(RANK * BATCH // RANKS, (RANK + 1) * BATCH // RANKS)
        found.append((ms.Tensor(x.asnumpy()[share]), ms.Tensor(y[share], ms.int32)))
    return found


def all_batches(kind: int) -> list:
    """This process's batches; alone those of both, one after the other: what a mean over batches is taken over."""
    if HOW != "alone":
        return batches(kind)
    return [(x[part], y[part]) for x, y in batches(kind) for part in (slice(0, BATCH // 2), slice(BATCH // 2, BATCH))]


class Loss(nn.Cell):
    """A network with its loss."""

    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net, self.loss = net, nn.CrossEntropyLoss()

    def construct(self, x, y):
        return self.loss(self.net(x), y)


def train(net: nn.Cell, optimizer: nn.Optimizer, training: bool, kind: int) -> None:
    """Steps as Model.train makes them; BatchNorm counts a batch of its own only where ``training`` is set."""
    step = nn.TrainOneStepCell(Loss(net), optimizer)
    step.set_train(training)
    for number, (x, y) in enumerate(batches(kind)):
        if HOW == "dies" and RANK == 1 and number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        step(x, y).asnumpy()


def masks(net: nn.Cell) -> np.ndarray:
    """All masks in one row."""
    return np.concatenate([p.asnumpy().ravel() for name, p in net.parameters_dict().items() if is_mask(name)])


def weights(net: nn.Cell) -> np.ndarray:
    """All parameters in one row."""
    return np.concatenate([p.asnumpy().ravel() for p in net.get_parameters()])


found = {}
algorithm = PrunerKfCompressAlgo(input_shape=SHAPE, knockoff=networks.Generator())
net = algorithm.apply(randomise(networks.Long()))
train(net, nn.SGD(net.trainable_params(), 0.05), True, 1)
found["scales"] = np.concatenate([value.ravel() for value in scales(net).values()])
pruner = PrunerFtCompressAlgo(prune_rate=0.5)
net = pruner.apply(net)
found["masks"] = masks(net)
recalibrate(net, all_batches(2))
found["statistics"] = np.concatenate([p.asnumpy() for p in net.get_parameters() if "moving_" in p.name])
small = pruner.convert(net)
train(small, nn.Momentum(small.trainable_params(), 0.01, 0.9), False, 3)
found["fine_tuned"] = weights(small)
save_pruned(small, FOLDER / "slim.ckpt")
taylor = ChannelPruner(criterion="taylor", prune_rate=0.5, residual="keep", input_shape=SHAPE, data=all_batches(4))
found["masks_of_taylor"] = masks(taylor.apply(randomise(networks.Long())))
repaired = ChannelPruner(criterion="l1", prune_rate=0.5, residual="keep", input_shape=SHAPE, data=batches(5) * 6,
                         compensate=True).apply(randomise(networks.Long()))
found["repaired"] = weights(repaired)
np.savez(FOLDER / (f"{HOW}{RANK}.npz"), **found)
