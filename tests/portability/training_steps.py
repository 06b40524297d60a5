"""Run by the simulator: two training steps of the knockoff, the masked and the slim network, both modes.

    python ../shared/portability/sim.py run GPU tests/portability/training_steps.py GPU

What comes out of the simulator is garbage in every number; what it shows is that each step compiles, that every
operator has a kernel on the device, and that the kernels launch.
"""

import sys

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs.masks import Masks
from mindspore_gs.pruner.scop import scop_pruner
from mindspore_gs.slim.slimming import slice_network


class Block(nn.Cell):
    """A residual block with a projection on its shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, "pad", 1)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, "pad", 1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.project = nn.SequentialCell(nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def construct(self, x):
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.project(x))


class Network(nn.Cell):
    """Stem, two blocks, pooling, classifier."""

    def __init__(self):
        super().__init__()
        self.stem = nn.SequentialCell(nn.Conv2d(3, 8, 3, 1, "pad", 1), nn.BatchNorm2d(8), nn.ReLU())
        self.blocks = nn.SequentialCell(Block(8, 16, 2), Block(16, 16, 1))
        self.head = nn.Dense(16, 10)

    def construct(self, x):
        """(N, 3, H, W) -> (N, 10)."""
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def train(name: str, net: nn.Cell) -> None:
    """Two steps with Momentum."""
    x = ms.Tensor(np.random.randn(4, 3, 16, 16).astype(np.float32))
    labels = ms.Tensor(np.arange(4).astype(np.int32))
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    step = nn.TrainOneStepCell(nn.WithLossCell(net, loss), nn.Momentum(net.trainable_params(), 0.01, 0.9))
    step.set_train()
    for _ in range(2):
        step(x, labels).asnumpy()
    print("passed", name, flush=True)


def networks(residual: str) -> dict[str, nn.Cell]:
    """The three networks, made without the comparisons of numbers, which are garbage in the simulator."""
    scop_pruner.try_out = lambda *arguments: None
    scop_pruner._examples = lambda *arguments: None
    def knockoff() -> nn.Cell:
        return PrunerKfCompressAlgo(residual=residual, input_shape=(1, 3, 16, 16)).apply(Network())

    algorithm = PrunerFtCompressAlgo(prune_rate=0.5, criterion="l1")
    masked = algorithm.apply(knockoff())
    slim = slice_network(Masks(masked).detached(), algorithm.plan(masked))
    return {"knockoff": knockoff(), "masked": masked, "slim": slim}


def main(device: str) -> None:
    """Every network, both residual policies, both modes."""
    ms.set_device(device)
    for label, mode in (("GRAPH", ms.GRAPH_MODE), ("PYNATIVE", ms.PYNATIVE_MODE)):
        ms.set_context(mode=mode)
        for residual in ("keep", "couple"):
            for name, net in networks(residual).items():
                train(f"{device} {label} {residual} {name}", net)


if __name__ == "__main__":
    main(sys.argv[1])
