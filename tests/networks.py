"""Toy networks. In a file, because Graph mode reads the source; each shows one way in which channels depend."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops


def conv3(inputs, outputs, stride=1, **options):
    """3x3 convolution that keeps the size at stride 1."""
    return nn.Conv2d(inputs, outputs, 3, stride, pad_mode="pad", padding=1, **options)


class Chain(nn.Cell):
    """Three convolutions in a row."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = conv3(3, 6), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = conv3(6, 8), nn.BatchNorm2d(8)
        self.conv3 = conv3(8, 4, has_bias=True)
        self.relu = nn.ReLU()

    def construct(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.conv3(x)


class Identity(nn.Cell):
    """A residual block with an identity shortcut."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn0 = conv3(3, 8), nn.BatchNorm2d(8)
        self.a, self.bn1 = conv3(8, 6), nn.BatchNorm2d(6)
        self.b, self.bn2 = conv3(6, 8), nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.fc = nn.Dense(8, 4)

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        y = self.relu(self.bn1(self.a(x)))
        y = self.bn2(self.b(y))
        x = self.relu(x + y)
        return self.fc(x.mean((2, 3)))


class Projection(nn.Cell):
    """A residual block with a projection on the shortcut."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn0 = conv3(3, 6), nn.BatchNorm2d(6)
        self.a, self.bn1 = conv3(6, 5, 2), nn.BatchNorm2d(5)
        self.b, self.bn2 = conv3(5, 8), nn.BatchNorm2d(8)
        self.short = nn.SequentialCell(nn.Conv2d(6, 8, 1, 2), nn.BatchNorm2d(8))
        self.relu = nn.ReLU()
        self.fc = nn.Dense(8, 4)

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        y = self.relu(self.bn1(self.a(x)))
        y = self.bn2(self.b(y))
        x = self.relu(self.short(x) + y)
        return self.fc(x.mean((2, 3)))


class OptionA(nn.Cell):
    """A residual block whose shortcut takes every second pixel and pads two zero channels on each side."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn0 = conv3(3, 4), nn.BatchNorm2d(4)
        self.a, self.bn1 = conv3(4, 6, 2), nn.BatchNorm2d(6)
        self.b, self.bn2 = conv3(6, 8), nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.fc = nn.Dense(8, 4)

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        y = self.relu(self.bn1(self.a(x)))
        y = self.bn2(self.b(y))
        x = ops.strided_slice(x, (0, 0, 0, 0), x.shape, (1, 1, 2, 2))
        x = self.relu(ops.pad(x, (0, 0, 0, 0, 2, 2)) + y)
        return self.fc(x.mean((2, 3)))


class Depthwise(nn.Cell):
    """A depthwise separable convolution; with ``multiplier`` outputs for each input channel."""

    def __init__(self, multiplier=1):
        super().__init__()
        wide = 6 * multiplier
        self.stem, self.bn0 = conv3(3, 6), nn.BatchNorm2d(6)
        self.dw, self.bn1 = conv3(6, wide, group=6), nn.BatchNorm2d(wide)
        self.pw, self.bn2 = nn.Conv2d(wide, 8, 1), nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.fc = nn.Dense(8, 4)

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        x = self.relu(self.bn1(self.dw(x)))
        x = self.relu(self.bn2(self.pw(x)))
        return self.fc(x.mean((2, 3)))


class Grouped(nn.Cell):
    """A convolution in two groups."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn0 = conv3(3, 8), nn.BatchNorm2d(8)
        self.g, self.bn1 = conv3(8, 12, group=2), nn.BatchNorm2d(12)
        self.last = nn.Conv2d(12, 4, 1)
        self.relu = nn.ReLU()

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        return self.last(self.relu(self.bn1(self.g(x))))


class OneChannel(nn.Cell):
    """Grey images, and a bottleneck of one channel: a convolution of one channel is no depthwise one."""

    def __init__(self):
        super().__init__()
        self.a, self.bn1 = conv3(1, 6), nn.BatchNorm2d(6)
        self.b, self.bn2 = conv3(6, 1), nn.BatchNorm2d(1)
        self.c, self.bn3 = conv3(1, 6), nn.BatchNorm2d(6)
        self.last = nn.Conv2d(6, 2, 1)
        self.relu = nn.ReLU()

    def construct(self, x):
        x = self.relu(self.bn1(self.a(x)))
        x = self.relu(self.bn2(self.b(x)))
        x = self.relu(self.bn3(self.c(x)))
        return self.last(x)


class Flattened(nn.Cell):
    """Channels and pixels in one axis in front of a dense layer."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn0 = conv3(3, 6), nn.BatchNorm2d(6)
        self.conv, self.bn = conv3(6, 4, 2), nn.BatchNorm2d(4)
        self.relu, self.flatten = nn.ReLU(), nn.Flatten()
        self.fc1, self.fc2 = nn.Dense(4 * 16, 10), nn.Dense(10, 3)

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        x = self.relu(self.bn(self.conv(x)))
        return self.fc2(self.relu(self.fc1(self.flatten(x))))


class Gate(nn.Cell):
    """Squeeze and excitation."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn0 = conv3(3, 6), nn.BatchNorm2d(6)
        self.main, self.bn = conv3(6, 8), nn.BatchNorm2d(8)
        self.reduce = nn.Conv2d(8, 2, 1, has_bias=True)
        self.expand = nn.Conv2d(2, 8, 1, has_bias=True)
        self.last = nn.Conv2d(8, 4, 1)
        self.relu, self.sigmoid = nn.ReLU(), nn.Sigmoid()

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        x = self.relu(self.bn(self.main(x)))
        gate = self.sigmoid(self.expand(self.relu(self.reduce(x.mean((2, 3), True)))))
        return self.last(x * gate)


class Branches(nn.Cell):
    """Two branches, concatenated."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn0 = conv3(3, 6), nn.BatchNorm2d(6)
        self.a, self.bn1 = conv3(6, 4), nn.BatchNorm2d(4)
        self.b, self.bn2 = conv3(6, 5), nn.BatchNorm2d(5)
        self.last = nn.Conv2d(9, 4, 1)
        self.relu = nn.ReLU()

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        x = ops.concat((self.relu(self.bn1(self.a(x))), self.relu(self.bn2(self.b(x)))), 1)
        return self.last(x)


class Between(nn.Cell):
    """Stem, convolution, BatchNorm, then an operation between it and the last convolution."""

    def __init__(self, last=8):
        super().__init__()
        self.stem, self.bn0 = conv3(3, 6), nn.BatchNorm2d(6)
        self.conv, self.bn = conv3(6, 8), nn.BatchNorm2d(8)
        self.last = nn.Conv2d(last, 4, 1)
        self.relu = nn.ReLU()

    def between(self, x):
        """The operation; the identity here."""
        return x

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        return self.last(self.between(self.bn(self.conv(x))))


class SigmoidBetween(Between):
    """Sigmoid: a masked channel is one half."""

    def between(self, x):
        return ops.sigmoid(x)


class SigmoidThenRelu(Between):
    """What is not zero stays not zero."""

    def between(self, x):
        return ops.relu(ops.sigmoid(x))


class PlusOne(Between):
    """Adding a number makes a masked channel one."""

    def between(self, x):
        return x + 1.0


class TimesTwo(Between):
    """Multiplying by a number keeps zero."""

    def between(self, x):
        return x * 2.0


class BorderBetween(Between):
    """A border of zeros in space: each channel has its own."""

    def between(self, x):
        return ops.max_pool2d(ops.pad(x, (1, 1, 1, 1)), 3, 1)


class ChannelMean(Between):
    """The mean over all channels is added."""

    def between(self, x):
        return x + x.mean(1, True)


class SoftmaxBetween(Between):
    """Softmax over channels: no rule."""

    def between(self, x):
        return ops.softmax(x, 1)


class CumsumBetween(Between):
    """A running sum over channels: no rule."""

    def between(self, x):
        return ops.cumsum(x, 1)


class LiteralReshape(Between):
    """The number of channels is in a dict; MindIR leaves both reshapes out, which do nothing."""

    def __init__(self):
        super().__init__()
        self.sizes = {"width": 8}

    def between(self, x):
        n, c, h, w = x.shape
        return x.reshape((n, self.sizes["width"], h * w)).reshape((n, c, h, w))


class LiteralShuffle(Between):
    """The length of the blocks of a shuffle is written into the code, their number is not."""

    def between(self, x):
        n, c, h, w = x.shape
        return x.reshape((n, -1, 4, h, w)).transpose((0, 2, 1, 3, 4)).reshape((n, c, h, w))


class Shuffle(Between):
    """Channel shuffle in two groups, its sizes taken from the tensor."""

    def between(self, x):
        n, c, h, w = x.shape
        return x.reshape((n, 2, c // 2, h, w)).transpose((0, 2, 1, 3, 4)).reshape((n, c, h, w))


class HalfOfChannels(Between):
    """Takes the first four channels by number."""

    def __init__(self):
        super().__init__(last=4)

    def between(self, x):
        return x[:, :4]


class PReluBetween(Between):
    """A slope for each channel."""

    def __init__(self):
        super().__init__()
        self.prelu = nn.PReLU(8)

    def between(self, x):
        return self.prelu(x)


class ScaleShift(Between):
    """Own parameters of shape (1, C, 1, 1)."""

    def __init__(self):
        super().__init__()
        self.scale = ms.Parameter(ms.Tensor(np.linspace(0.5, 2, 8, dtype=np.float32).reshape(1, 8, 1, 1)))

    def between(self, x):
        return self.relu(x * self.scale)


class Shift(Between):
    """A parameter that is added lets a masked channel come back."""

    def __init__(self):
        super().__init__()
        self.shift = ms.Parameter(ms.Tensor(np.linspace(0.5, 2, 8, dtype=np.float32).reshape(1, 8, 1, 1)))

    def between(self, x):
        return self.relu(x + self.shift)


class SecondNorm(Between):
    """A second BatchNorm behind the activation lets a masked channel come back."""

    def __init__(self):
        super().__init__()
        self.again = nn.BatchNorm2d(8)

    def between(self, x):
        return self.relu(self.again(self.relu(x)))


class Twice(nn.Cell):
    """One convolution and BatchNorm, called twice."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn0 = conv3(3, 8), nn.BatchNorm2d(8)
        self.conv, self.bn = conv3(8, 8), nn.BatchNorm2d(8)
        self.mid, self.bn2 = conv3(8, 6), nn.BatchNorm2d(6)
        self.last = nn.Conv2d(6, 4, 1)
        self.relu = nn.ReLU()

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        x = self.relu(self.bn(self.conv(x)))
        x = self.relu(self.bn(self.conv(x)))
        return self.last(self.relu(self.bn2(self.mid(x))))


class SharedWeight(nn.Cell):
    """Two convolutions, each with its BatchNorm, that hold one weight."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn0 = conv3(3, 8), nn.BatchNorm2d(8)
        self.a, self.bn1 = conv3(8, 8), nn.BatchNorm2d(8)
        self.b, self.bn2 = conv3(8, 8), nn.BatchNorm2d(8)
        self.b.weight = self.a.weight
        self.mid, self.bn3 = conv3(8, 6), nn.BatchNorm2d(6)
        self.last = nn.Conv2d(6, 4, 1)
        self.relu = nn.ReLU()

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        x = self.relu(self.bn1(self.a(x)))
        x = self.relu(self.bn2(self.b(x)))
        return self.last(self.relu(self.bn3(self.mid(x))))


class Options(nn.Cell):
    """Biases, dilation, depthwise, strides, asymmetric padding, odd eps and momentum, all in one residual network."""

    def __init__(self, dtype=ms.float32):
        super().__init__()
        same = {"dtype": dtype}
        self.stem = nn.Conv2d(3, 8, 3, pad_mode="pad", padding=(1, 2, 0, 1), has_bias=True, **same)
        self.bn0 = nn.BatchNorm2d(8, eps=1e-3, momentum=0.7, **same)
        self.a = nn.Conv2d(8, 10, 3, pad_mode="pad", padding=2, dilation=2, has_bias=True, **same)
        self.bn1 = nn.BatchNorm2d(10, eps=3e-4, momentum=0.99, **same)
        self.dw = nn.Conv2d(10, 10, (3, 5), pad_mode="pad", padding=(2, 0, 1, 3), group=10, has_bias=True, **same)
        self.bn2 = nn.BatchNorm2d(10, eps=0.02, momentum=0.5, **same)
        self.b = nn.Conv2d(10, 8, 3, pad_mode="same", has_bias=True, **same)
        self.bn3 = nn.BatchNorm2d(8, eps=0.1, **same)
        self.c = nn.Conv2d(8, 12, 3, 2, pad_mode="valid", **same)
        self.bn4 = nn.BatchNorm2d(12, **same)
        self.relu = nn.ReLU()
        self.fc = nn.Dense(12, 4, **same)

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        y = self.relu(self.bn1(self.a(x)))
        y = self.relu(self.bn2(self.dw(y)))
        x = self.relu(x + self.bn3(self.b(y)))
        return self.fc(self.relu(self.bn4(self.c(x))).mean((2, 3)))


class TwoInputs(nn.Cell):
    """Two images in, a tuple with a tuple in it out."""

    def __init__(self):
        super().__init__()
        self.left, self.bn1 = conv3(3, 6), nn.BatchNorm2d(6)
        self.right, self.bn2 = conv3(2, 6), nn.BatchNorm2d(6)
        self.conv, self.bn3 = conv3(12, 8), nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.fc = nn.Dense(8, 4)
        self.aux = nn.Conv2d(8, 2, 1)

    def construct(self, x, y):
        x = self.relu(self.bn1(self.left(x)))
        y = self.relu(self.bn2(self.right(y)))
        x = self.relu(self.bn3(self.conv(ops.concat((x, y), 1))))
        return self.fc(x.mean((2, 3))), (self.aux(x), x.mean((1, 2, 3)))


class NoConvolution(nn.Cell):
    """Dense layers only."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Dense(12, 8), nn.Dense(8, 2)
        self.relu = nn.ReLU()

    def construct(self, x):
        return self.fc2(self.relu(self.fc1(x)))


class Long(nn.Cell):
    """A residual network for training tests: stem, identity block, projection block."""

    def __init__(self, classes=4, width=1):
        super().__init__()
        first, last = 8 * width, 12 * width
        self.stem, self.bn0 = conv3(3, first), nn.BatchNorm2d(first)
        self.layer1 = nn.SequentialCell([Block(first, 6 * width, first, 1)])
        self.layer2 = nn.SequentialCell([Block(first, 8 * width, last, 2), Block(last, 10 * width, last, 1)])
        self.relu = nn.ReLU()
        self.fc = nn.Dense(last, classes)

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        x = self.layer2(self.layer1(x))
        return self.fc(x.mean((2, 3)))


class Block(nn.Cell):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs, middle, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = conv3(inputs, middle, stride), nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = conv3(middle, outputs), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.SequentialCell([nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)])

    def construct(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.downsample is not None:
            x = self.downsample(x)
        return self.relu(x + y)


class Generator(nn.Cell):
    """Makes knockoffs: mirrored images."""

    def __init__(self):
        super().__init__()
        self.gain = ms.Parameter(ms.Tensor(np.ones((1,), np.float32)), name="gain")

    def construct(self, x):
        return self.gain * x[:, :, :, ::-1]


class Ranked(nn.Cell):
    """The best candidates by scores whose order one rounding changes."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16)
        self.score, self.box = nn.Conv2d(16, 1, 1), nn.Conv2d(16, 4, 1)

    def construct(self, x):
        x = ops.relu(self.bn(self.conv(x)))
        best, index = ops.topk(ops.sin(1e6 * self.score(x)).reshape(x.shape[0], -1), 20, -1)
        boxes = self.box(x).reshape(x.shape[0], 4, -1).transpose(0, 2, 1)
        return best, ops.gather_elements(boxes, 1, ops.tile(index.astype(ms.int32).expand_dims(-1), (1, 1, 4)))
