"""The networks that can be measured, by name."""

import mindspore as ms
from mindspore import nn
from src.models import NETWORKS, build
from src.models.resnet import Bottleneck, ResNet, conv

from benchmarks.recipes import recipe
from benchmarks.zoo import build as build_recipe

HELP = (f"{', '.join(NETWORKS)}, resnet152, chainN (N convolutions in a row, with residual sums), "
        "or mindcv:NAME")

STAGE = 50  # links in one container of a chain: MindSpore refuses to compile a container of about 500 cells


def network(name: str, classes: int = 10, seed: int = 0) -> nn.Cell:
    """A fresh network.

    Args:
        name: one of the example's networks, ``resnet152``, ``chainN`` such as ``chain1000``, or ``mindcv:NAME`` (needs
            mindcv; the number of classes is 10).
        classes: number of classes.
        seed: of the weights.

    Raises:
        ValueError: there is no such network.
    """
    ms.set_seed(seed)
    if name in NETWORKS:
        return build(name, classes)
    if name == "resnet152":
        return ResNet(Bottleneck, (3, 8, 36, 3), classes)
    if name.startswith("mindcv:"):
        return build_recipe(recipe(name.removeprefix("mindcv:")), seed)
    number = name.removeprefix("chain")
    if name.startswith("chain") and number.isdecimal():
        return Chain(int(number), classes)
    raise ValueError(f"the network is {name!r}, but must be {HELP}.")


class Link(nn.Cell):
    """Two convolutions and a residual sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = conv(width, width, 3)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width, gamma_init=0.1)  # or the signal would overflow behind hundreds of sums
        self.relu = nn.ReLU()

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """(N, width, H, W) -> (N, width, H, W)."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(x + self.bn2(self.conv2(y)))


class Chain(nn.Cell):
    """``convolutions`` convolutions: two at the start, then pairs, each with a residual sum; mean; dense layer.

    Raises:
        ValueError: ``convolutions`` is odd or less than 4.
    """

    def __init__(self, convolutions: int, classes: int = 10, width: int = 16) -> None:
        super().__init__()
        if convolutions < 4 or convolutions % 2:
            raise ValueError(f"a chain must have an even number of at least 4 convolutions, but got {convolutions}.")
        self.stem = nn.SequentialCell(conv(3, width, 3, 2), nn.BatchNorm2d(width), nn.ReLU(),
                                      conv(width, width, 3, 2), nn.BatchNorm2d(width), nn.ReLU())
        links = [Link(width) for _ in range((convolutions - 2) // 2)]
        stages = [nn.SequentialCell(links[k:k + STAGE]) for k in range(0, len(links), STAGE)]
        self.links = nn.SequentialCell(stages)
        self.head = nn.Dense(width, classes)

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """(N, 3, H, W) -> (N, classes)."""
        return self.head(self.links(self.stem(x)).mean((2, 3)))
