"""Run by the simulator: two training steps of SLB, of JointRD, with a teacher and of the training phases, both modes.

    python ../shared/portability/sim.py run Ascend tests/portability/learning_steps.py Ascend

As training_steps.py: every number is garbage, and what is shown is that each step compiles, finds kernels and launches.
"""

import sys
from collections.abc import Callable, Iterator

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.common.dtype import QuantDtype

from mindspore_gs import ChannelPruner, SlbQuantAwareTraining
from mindspore_gs.distill import DistillLoss, JointRD, program
from mindspore_gs.pruner import channel
from mindspore_gs.pruner.phases import GroupLasso, GrowingPenalty, Slimming, SoftPruning, phase
from tests.portability.training_steps import Network


def without_comparisons() -> None:
    """What compares numbers would refuse the garbage."""
    channel.try_out = phase.check_trainable = lambda *arguments: None
    channel.check_finite = lambda *arguments: None
    program._check = lambda *arguments: None


class Shortcut(nn.Cell):
    """A network with an identity shortcut."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)
        self.relu, self.head = nn.ReLU(), nn.Dense(8, 10)

    def construct(self, x):
        """(N, 3, H, W) -> (N, 10)."""
        x = self.stem(x)
        return self.head(self.relu(x + self.norm(self.conv(x))).mean((2, 3)))


def batch() -> tuple[ms.Tensor, ms.Tensor]:
    """Four images and their classes."""
    return ms.Tensor(np.random.randn(4, 3, 16, 16).astype(np.float32)), ms.Tensor(np.arange(4).astype(np.int32))


def losses() -> Iterator[tuple[str, nn.Cell, nn.Cell, Callable]]:
    """Name, a network with its loss, its optimizer, and what happens behind each step."""
    task = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    for bits, kind in ((1, QuantDtype.INT1), (4, QuantDtype.INT4)):
        slb = SlbQuantAwareTraining(quant_dtype=kind, enable_act_quant=True, dense=True, epoch_size=4)
        net = slb.apply(Network())
        slb.set_epoch(net, 2)
        yield f"slb {bits}", nn.WithLossCell(net, task), nn.Momentum(net.trainable_params(), 0.01, 0.9), int
    joint = JointRD(Shortcut(), task, (1, 3, 16, 16), kl=0.5, dirac=True)
    joint.at(0.1)
    yield "jointrd", joint, nn.Momentum(joint.trainable_params(), 0.01, 0.9), int
    taught = DistillLoss(Network(), task, Network())
    yield "teacher", taught, nn.Momentum(taught.trainable_params(), 0.01, 0.9), int
    net = Network()
    soft = SoftPruning(net, ChannelPruner(prune_rate=0.5, criterion="random", input_shape=(1, 3, 16, 16)))
    yield "soft", nn.WithLossCell(net, task), nn.Momentum(net.trainable_params(), 0.01, 0.9), soft.prune
    for name, kind, options in (("slimming", Slimming, {}), ("group_lasso", GroupLasso, {"proximal": True}),
                                ("growing", GrowingPenalty, {"proximal": True})):
        net = Network()
        found = kind(net, ChannelPruner(prune_rate=0.5, input_shape=(1, 3, 16, 16)), **options)
        yield name, nn.WithLossCell(net, task), found.add_to(nn.Momentum(net.trainable_params(), 0.01, 0.9)), int


def main(device: str) -> None:
    """Two steps each."""
    ms.set_device(device)
    without_comparisons()
    for label, mode in (("GRAPH", ms.GRAPH_MODE), ("PYNATIVE", ms.PYNATIVE_MODE)):
        ms.set_context(mode=mode)
        for name, loss, optimizer, behind in losses():
            step = nn.TrainOneStepCell(loss, optimizer).set_train()
            for _ in range(2):
                step(*batch()).asnumpy()
                behind()
            print("passed", device, label, name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
