"""Toy networks for couplings that are easily got wrong; each is a stem, something in the middle, and a last layer."""

import mindspore as ms
import numpy as np
from mindspore import mint, nn, ops

from tests.networks import Between, conv3


class SplitAndGate(Between):
    """Two halves, one gates the other; whether the code counts parts or channels cannot be seen."""

    def __init__(self):
        super().__init__(4)

    def between(self, x):
        value, gate = ops.chunk(x, 2, axis=1)
        return value * ops.sigmoid(gate)


class TwoParts(Between):
    """Two halves, one gates the other; the code counts parts."""

    def __init__(self):
        super().__init__(4)
        self.split = ops.Split(1, 2)

    def between(self, x):
        value, gate = self.split(x)
        return value * ops.sigmoid(gate)


class Chunks(Between):
    """Two halves of mint's chunk, which counts parts; the second is multiplied by the first one's own convolution."""

    def __init__(self):
        super().__init__(4)
        self.unit, self.bn_unit = conv3(4, 4), nn.BatchNorm2d(4)

    def between(self, x):
        first, second = mint.chunk(x, 2, 1)
        return self.bn_unit(self.unit(first)) * second


class ChannelsInParts(Between):
    """Two halves of mint's split, which counts channels."""

    def __init__(self):
        super().__init__(4)

    def between(self, x):
        first, second = mint.split(x, 4, 1)
        return first + second


class StandardisedConv(nn.Conv2d):
    """A convolution that standardises its weight (BiT)."""

    def construct(self, x):
        weight = self.weight
        mean = weight.mean((1, 2, 3), keep_dims=True)
        return self.conv2d(x, (weight - mean) / ops.sqrt(((weight - mean) ** 2).mean((1, 2, 3), True) + 1e-10))


class Standardised(Between):
    """A weight that is computed."""

    def __init__(self):
        super().__init__(5)
        self.unit, self.bn_unit = StandardisedConv(8, 5, 3), nn.BatchNorm2d(5)

    def between(self, x):
        return self.relu(self.bn_unit(self.unit(self.relu(x))))


class NeighbourGate(Between):
    """ECA: the channels lie where the gate's convolution has its places."""

    def __init__(self):
        super().__init__()
        self.unit = nn.Conv1d(1, 1, 3)

    def between(self, x):
        gate = ops.sigmoid(self.unit(x.mean((2, 3)).expand_dims(1)))
        return x * gate.swapaxes(1, 2).expand_dims(3)


class TokenMixing(Between):
    """A dense layer over places (MLP-Mixer); the channels lie along another axis."""

    def __init__(self):
        super().__init__()
        self.unit = nn.Dense(64, 64)

    def between(self, x):
        return self.relu(self.unit(x.flatten(start_dim=2))).reshape(x.shape)


class Experts(Between):
    """Two convolutions in one parameter, taken out by index."""

    def __init__(self):
        super().__init__(5)
        self.stacked = ms.Parameter(ms.Tensor(np.ones((2, 5, 8, 1, 1), np.float32)), name="stacked")

    def between(self, x):
        return ops.conv2d(x, self.stacked[0]) + ops.conv2d(self.relu(x), self.stacked[1])


class ExpertsOfPlaces(Between):
    """The dense layers of all experts in one parameter; here each row of the image has one."""

    def __init__(self):
        super().__init__(5)
        self.stacked = ms.Parameter(ms.Tensor(np.ones((8, 8, 5), np.float32)), name="stacked")

    def between(self, x):
        return ops.matmul(x.transpose((0, 2, 3, 1)), self.stacked).transpose((0, 3, 1, 2))


class TransposedWeight(Between):
    """The weight of a dense layer of the user's own is transposed first."""

    def __init__(self):
        super().__init__(5)
        self.weight = ms.Parameter(ms.Tensor(np.ones((5, 8), np.float32)), name="weight")

    def between(self, x):
        return ops.matmul(x.transpose((0, 2, 3, 1)), self.weight.T).transpose((0, 3, 1, 2))


class Halves(Between):
    """ShuffleNet's unit: even and odd channels go two ways."""

    def __init__(self):
        super().__init__(8)
        self.unit, self.bn_unit = conv3(4, 4), nn.BatchNorm2d(4)

    def between(self, x):
        n, c, h, w = x.shape
        x = x.reshape((n * c // 2, 2, h * w)).transpose((1, 0, 2)).reshape((2, -1, c // 2, h, w))
        return ops.concat((x[0], self.relu(self.bn_unit(self.unit(x[1])))), 1)


class ShuffledHalves(Between):
    """ShuffleNet's unit twice: behind the first shuffle a channel has two places, and one half goes on by itself."""

    def __init__(self):
        super().__init__(16)
        self.wide = nn.Conv2d(8, 16, 1)
        self.first, self.second = nn.Conv2d(8, 8, 1, has_bias=True), nn.Conv2d(8, 8, 1, has_bias=True)

    def between(self, x):
        x = self.wide(x)
        for unit in (self.first, self.second):
            n, c, h, w = x.shape
            x = ops.concat((x[:, :c // 2], unit(x[:, c // 2:])), 1)
            x = x.reshape((n, 2, c // 2, h, w)).transpose((0, 2, 1, 3, 4)).reshape((n, -1, h, w))
        return x


class PixelShuffle(Between):
    """Four channels become one of twice the size."""

    def __init__(self):
        super().__init__(2)

    def between(self, x):
        return ops.pixel_shuffle(x, 2)


class SpaceToDepth(Between):
    """One channel becomes four of half the size."""

    def __init__(self):
        super().__init__(32)
        self.unfold = ops.SpaceToDepth(2)

    def between(self, x):
        return self.unfold(x)


class Selected(Between):
    """SKNet: branches stacked, weighted by a softmax over the branches, summed."""

    def __init__(self):
        super().__init__()
        self.other, self.bn_other = conv3(6, 8), nn.BatchNorm2d(8)
        self.reduce = nn.Conv2d(8, 3, 1)
        self.expand = nn.Conv2d(3, 16, 1, has_bias=True)

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        both = ops.stack((self.relu(self.bn(self.conv(x))), self.relu(self.bn_other(self.other(x)))), axis=1)
        weight = self.expand(self.relu(self.reduce(both.sum(1).mean((2, 3), True))))
        weight = ops.softmax(weight.reshape((x.shape[0], 2, -1, 1, 1)), 1)
        return self.last((both * weight).sum(1))


class SideBySide(Between):
    """SKNet as it is often ported: branches and their weights are concatenated along an axis of their own."""

    def __init__(self):
        super().__init__()
        self.other, self.bn_other = conv3(6, 8), nn.BatchNorm2d(8)
        self.reduce = nn.Dense(8, 3)
        self.first, self.second = nn.Dense(3, 8), nn.Dense(3, 8)

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        both = [self.relu(self.bn(self.conv(x))), self.relu(self.bn_other(self.other(x)))]
        both = ops.concat([branch.expand_dims(1) for branch in both], 1)
        squeezed = self.reduce(both.sum(1).mean((2, 3)))
        weights = ops.concat([self.first(squeezed).expand_dims(1), self.second(squeezed).expand_dims(1)], 1)
        weights = ops.softmax(weights, 1).expand_dims(3).expand_dims(4)
        return self.last(ops.amax(both * weights, 1))


class Taller(Between):
    """Two maps above each other, averaged over the height of both."""

    def __init__(self):
        super().__init__()
        self.other, self.bn_other = conv3(6, 8), nn.BatchNorm2d(8)

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        return self.last(ops.concat((self.bn(self.conv(x)), self.bn_other(self.other(x))), 2).mean((2, 3), True))


class Repeated(Between):
    """The channels twice in a row, and each channel twice."""

    def __init__(self):
        super().__init__(32)

    def between(self, x):
        return ops.concat((ops.tile(x, (1, 2, 1, 1)), ops.repeat_interleave(x, 2, 1)), 1)


class Upsampled(Between):
    """A transposed convolution with bias and BatchNorm, then a resize."""

    def __init__(self):
        super().__init__(5)
        self.up = nn.Conv2dTranspose(8, 5, 4, stride=2, pad_mode="pad", padding=1, has_bias=True)
        self.bn_up = nn.BatchNorm2d(5)

    def between(self, x):
        x = self.relu(self.bn_up(self.up(self.relu(x))))
        return ops.interpolate(x, size=(8, 8), mode="bilinear", align_corners=True)


class GroupNormBetween(Between):
    """Statistics over the channels of each group."""

    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(2, 8)

    def between(self, x):
        return self.norm(x)


class LayerNormBetween(Between):
    """Statistics over all channels, in the layout of a transformer."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm((8,))

    def between(self, x):
        return self.norm(x.transpose((0, 2, 3, 1))).transpose((0, 3, 1, 2))


class WithoutRule(Between):
    """An operator without a rule."""

    def between(self, x):
        return ops.bessel_j0(x)


class PickedChannels(Between):
    """Channels picked by number."""

    def __init__(self):
        super().__init__(3)
        self.places = ms.Tensor([5, 1, 2], ms.int32)

    def between(self, x):
        return ops.gather(x, self.places, 1)


class DenseBlock(nn.Cell):
    """DenseNet: a BatchNorm of its own behind each concatenation, input kept."""

    def __init__(self):
        super().__init__()
        self.stem = conv3(3, 4)
        self.bn1, self.conv1 = nn.BatchNorm2d(4), conv3(4, 3)
        self.bn2, self.conv2 = nn.BatchNorm2d(7), conv3(7, 3)
        self.bn3, self.last = nn.BatchNorm2d(10), nn.Conv2d(10, 4, 1)
        self.relu = nn.ReLU()

    def construct(self, x):
        x = self.stem(x)
        x = ops.concat((x, self.conv1(self.relu(self.bn1(x)))), 1)
        x = ops.concat((x, self.conv2(self.relu(self.bn2(x)))), 1)
        return self.last(self.relu(self.bn3(x)))


class WithInput(nn.Cell):
    """A convolution's output beside the network's input, whose channels stay."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = conv3(3, 6), nn.BatchNorm2d(6)
        self.last = conv3(9, 4)
        self.relu = nn.ReLU()

    def construct(self, x):
        return self.last(ops.concat((x, self.relu(self.bn(self.conv(x)))), 1))


class Attention(nn.Cell):
    """One head over the places of an image, and a hidden layer behind it."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn = conv3(3, 6), nn.BatchNorm2d(6)
        self.query, self.key, self.value = nn.Dense(6, 4), nn.Dense(6, 4), nn.Dense(6, 6)
        self.hidden, self.out = nn.Dense(6, 10), nn.Dense(10, 4)
        self.relu, self.product = nn.ReLU(), ops.BatchMatMul()

    def construct(self, x):
        x = self.relu(self.bn(self.stem(x)))
        n, c, h, w = x.shape
        x = x.reshape((n, c, h * w)).transpose((0, 2, 1))
        scores = ops.softmax(self.product(self.query(x), self.key(x).transpose((0, 2, 1))), -1)
        return self.out(self.relu(self.hidden(self.product(scores, self.value(x))))).mean(1)


class InContainers(nn.Cell):
    """Cells in a list inside a sequence, one of them called through the list."""

    def __init__(self):
        super().__init__()
        self.stages = nn.CellList([nn.SequentialCell(conv3(3, 6), nn.BatchNorm2d(6), nn.ReLU()),
                                   nn.SequentialCell(nn.CellList([conv3(6, 8)])[0], nn.BatchNorm2d(8))])
        self.head = nn.Conv2d(8, 4, 1)

    def construct(self, x):
        for stage in self.stages:
            x = stage(x)
        return self.head(x)


class InDictionary(nn.Cell):
    """Cells in a dictionary."""

    def __init__(self):
        super().__init__()
        self.parts = nn.CellDict({"conv": conv3(3, 6), "bn": nn.BatchNorm2d(6), "second": conv3(6, 8),
                                  "bn2": nn.BatchNorm2d(8), "head": nn.Conv2d(8, 4, 1)})
        self.relu = nn.ReLU()

    def construct(self, x):
        x = self.relu(self.parts["bn"](self.parts["conv"](x)))
        return self.parts["head"](self.relu(self.parts["bn2"](self.parts["second"](x))))


class AuxiliaryHead(nn.Cell):
    """A second classifier that exists in training only."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn = conv3(3, 6), nn.BatchNorm2d(6)
        self.aux, self.head = nn.Conv2d(6, 4, 1), nn.Conv2d(6, 4, 1)
        self.relu, self.dropout = nn.ReLU(), nn.Dropout(p=0.5)

    def construct(self, x):
        x = self.relu(self.bn(self.stem(x)))
        if self.training:
            return self.head(self.dropout(x)), self.aux(x)
        return self.head(x)
