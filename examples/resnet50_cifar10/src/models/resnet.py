"""ResNets with projection shortcuts; the parameter names are torchvision's with MindSpore's endings.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. The stride of a bottleneck sits on its
3x3 convolution.
"""
from __future__ import annotations

from mindspore import Tensor, nn
from mindspore.common.initializer import HeNormal


def conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Convolution without bias, padded so that stride 1 keeps the size."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, pad_mode="pad", padding=kernel // 2,
                     weight_init=HeNormal(mode="fan_out", nonlinearity="relu"))


def projection(in_channels: int, out_channels: int, stride: int) -> nn.SequentialCell | None:
    """The 1x1 shortcut, or None where the identity fits."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.SequentialCell([conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels)])


class BasicBlock(nn.Cell):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.downsample = projection(in_channels, width, stride)

    def construct(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, width, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.downsample is not None:
            x = self.downsample(x)
        return self.relu(x + y)


class Bottleneck(nn.Cell):
    """1x1, 3x3 and 1x1 convolutions; the last is four times as wide."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = conv(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.downsample = projection(in_channels, out_channels, stride)

    def construct(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, 4 * width, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if self.downsample is not None:
            x = self.downsample(x)
        return self.relu(x + y)


class ResNet(nn.Cell):
    """Stem, four stages of `blocks` blocks (64, 128, 256, 512 wide), mean over space, dense layer."""

    def __init__(self, block: type[BasicBlock] | type[Bottleneck], blocks: tuple[int, int, int, int],
                 num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = conv(3, 64, 7, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, pad_mode="same")
        self.layer1 = self._stage(block, 64, 64, 1, blocks[0])
        self.layer2 = self._stage(block, 64 * block.expansion, 128, 2, blocks[1])
        self.layer3 = self._stage(block, 128 * block.expansion, 256, 2, blocks[2])
        self.layer4 = self._stage(block, 256 * block.expansion, 512, 2, blocks[3])
        self.fc = nn.Dense(512 * block.expansion, num_classes)

    @staticmethod
    def _stage(block: type[BasicBlock] | type[Bottleneck], in_channels: int, width: int, stride: int,
               count: int) -> nn.SequentialCell:
        rest = [block(width * block.expansion, width, 1) for _ in range(count - 1)]
        return nn.SequentialCell([block(in_channels, width, stride), *rest])

    def construct(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes) logits."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def resnet18(num_classes: int = 10) -> ResNet:
    """11.2 million parameters with 10 classes."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes)


def resnet50(num_classes: int = 10) -> ResNet:
    """23.5 million parameters with 10 classes."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes)
