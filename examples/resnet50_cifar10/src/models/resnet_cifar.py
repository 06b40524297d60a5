"""CIFAR ResNets with parameter-free shortcuts (option A).

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
"""
from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import HeNormal

WIDTHS = (16, 32, 64)


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """3x3 convolution, padding 1, no bias, He initialisation."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, pad_mode="pad", padding=1,
                     weight_init=HeNormal(mode="fan_out", nonlinearity="relu"))


class BasicBlock(nn.Cell):
    """Two 3x3 convolutions; between stages the shortcut takes every second pixel and pads channels with zeros."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.shrinks = stride != 1
        zeros = out_channels // 4
        self.pad = ops.Pad(((0, 0), (zeros, zeros), (0, 0), (0, 0)))

    def construct(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.shrinks:
            # the gradient of x[:, :, ::2, ::2] fails in PyNative mode
            x = self.pad(ops.strided_slice(x, (0, 0, 0, 0), x.shape, (1, 1, 2, 2)))
        return self.relu(x + y)


class CifarResNet(nn.Cell):
    """`6 * blocks + 2` layers for (N, 3, 32, 32) images: three stages of `blocks` blocks, 16, 32 and 64 wide."""

    def __init__(self, blocks: int, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = conv3x3(3, WIDTHS[0])
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU()
        self.layer1 = self._stage(WIDTHS[0], WIDTHS[0], 1, blocks)
        self.layer2 = self._stage(WIDTHS[0], WIDTHS[1], 2, blocks)
        self.layer3 = self._stage(WIDTHS[1], WIDTHS[2], 2, blocks)
        self.linear = nn.Dense(WIDTHS[2], num_classes)

    @staticmethod
    def _stage(in_channels: int, width: int, stride: int, blocks: int) -> nn.SequentialCell:
        rest = [BasicBlock(width, width, 1) for _ in range(blocks - 1)]
        return nn.SequentialCell([BasicBlock(in_channels, width, stride), *rest])

    def construct(self, x: Tensor) -> Tensor:
        """(N, 3, 32, 32) -> (N, num_classes) logits."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def resnet20(num_classes: int = 10) -> CifarResNet:
    """0.27 million parameters, 41 million MACs at 32x32."""
    return CifarResNet(3, num_classes)


def resnet56(num_classes: int = 10) -> CifarResNet:
    """0.86 million parameters, 125 million MACs at 32x32."""
    return CifarResNet(9, num_classes)
