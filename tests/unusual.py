"""Networks whose graph does not show at first sight what goes together: branches, loops, hidden layers, broadcasts."""

from collections import namedtuple

import mindspore as ms
import numpy as np
from mindspore import lazy_inline, nn, ops

from tests.networks import Between, conv3


class StatisticInBranch(nn.Cell):
    """A branch that is taken for large activations computes something over all channels."""

    def __init__(self):
        super().__init__()
        self.a, self.bn_a = conv3(3, 8), nn.BatchNorm2d(8)
        self.d, self.bn_d = conv3(8, 6), nn.BatchNorm2d(6)
        self.head = nn.Dense(6, 4)

    def construct(self, x, limit):
        x = ops.relu(self.bn_a(self.a(x)))
        total = ops.zeros((1,), ms.float32)
        if limit > 0:
            total = x.max((0, 2, 3)).mean().reshape(1)
        return self.head(ops.relu(self.bn_d(self.d(x))).mean((2, 3))) / (1 + total)


class ConvolutionInBranch(nn.Cell):
    """Each branch has a convolution of its own."""

    def __init__(self):
        super().__init__()
        self.a, self.bn_a = conv3(3, 8), nn.BatchNorm2d(8)
        self.b, self.c = conv3(8, 6), nn.Conv2d(8, 6, 1)
        self.head = nn.Conv2d(6, 4, 1)

    def construct(self, x, limit):
        x = ops.relu(self.bn_a(self.a(x)))
        x = ops.relu(self.b(x)) if limit > 0 else self.c(x)
        return self.head(x)


class SigmoidInBranch(nn.Cell):
    """In one of the branches a masked channel is one half."""

    def __init__(self):
        super().__init__()
        self.a, self.bn_a = conv3(3, 8), nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 4, 1)

    def construct(self, x, limit):
        x = ops.relu(self.bn_a(self.a(x)))
        if limit > 0:
            x = ops.sigmoid(x)
        return self.head(x)


class ConvolutionInLoop(nn.Cell):
    """A convolution that is called as often as data says, with a bottleneck inside."""

    def __init__(self):
        super().__init__()
        self.a, self.bn_a = conv3(3, 8), nn.BatchNorm2d(8)
        self.narrow, self.wide = nn.Conv2d(8, 5, 1), nn.Conv2d(5, 8, 1)
        self.head = nn.Conv2d(8, 4, 1)

    def construct(self, x, times):
        x = ops.relu(self.bn_a(self.a(x)))
        while times < 3:
            x = self.wide(ops.relu(self.narrow(x)))
            times = times + 1
        return self.head(x)


class LazyBlock(nn.Cell):
    """A residual block that MindIR keeps as a function."""

    @lazy_inline
    def __init__(self):
        super().__init__()
        self.a, self.bn_a = conv3(8, 6), nn.BatchNorm2d(6)
        self.b, self.bn_b = conv3(6, 8), nn.BatchNorm2d(8)

    def construct(self, x):
        return ops.relu(x + self.bn_b(self.b(ops.relu(self.bn_a(self.a(x))))))


class LazyBlocks(nn.Cell):
    """Two of them."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn = conv3(3, 8), nn.BatchNorm2d(8)
        self.blocks = nn.CellList([LazyBlock(), LazyBlock()])
        self.head = nn.Dense(8, 4)

    def construct(self, x):
        x = ops.relu(self.bn(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class EmbeddingInEvaluation(nn.Cell):
    """Logits in training, the features that they come from in evaluation."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn, self.conv = conv3(3, 6), nn.BatchNorm2d(6), nn.Conv2d(6, 8, 1)
        self.head = nn.Dense(8, 5)

    def construct(self, x):
        x = ops.relu(self.conv(ops.relu(self.bn(self.stem(x))))).mean((2, 3))
        return self.head(x) if self.training else x


class FeaturesInTraining(nn.Cell):
    """The features as well in training; no layer is for training only."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn, self.conv = conv3(3, 6), nn.BatchNorm2d(6), nn.Conv2d(6, 8, 1)
        self.head = nn.Conv2d(8, 5, 1)

    def construct(self, x):
        x = ops.relu(self.conv(ops.relu(self.bn(self.stem(x)))))
        y = self.head(x)
        if self.training:
            return y, x
        return y


class IdleInTraining(nn.Cell):
    """A layer with BatchNorm that training computes and does not use, as in a detector of which one map is taken."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn, self.head = conv3(3, 6), nn.BatchNorm2d(6), nn.Conv2d(6, 5, 1)
        self.conv, self.conv_bn, self.last = conv3(6, 8), nn.BatchNorm2d(8), nn.Conv2d(8, 5, 1)

    def both(self, x):
        x = ops.relu(self.bn(self.stem(x)))
        return self.head(x), self.last(ops.relu(self.conv_bn(self.conv(x))))

    def construct(self, x):
        first, second = self.both(x)
        if self.training:
            return first
        return first + second


class ThrownAway(nn.Cell):
    """A head of two layers that nothing reads."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn, self.head = conv3(3, 8), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)
        self.hidden, self.fc = nn.Dense(8, 6), nn.Dense(6, 5)

    def construct(self, x):
        x = ops.relu(self.bn(self.stem(x)))
        self.fc(ops.relu(self.hidden(x.mean((2, 3)))))
        return self.head(x)


class LastSumThrownAway(nn.Cell):
    """WaveNet: what goes from layer to layer is added once more behind the last one, and nothing reads that."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = conv3(3, 8), nn.Conv2d(6, 4, 1)
        self.layers, self.back = (nn.CellList([nn.Conv2d(a, b, 1) for _ in range(2)]) for a, b in ((8, 6), (6, 8)))

    def construct(self, x):
        x, total = self.stem(x), 0
        for layer, back in zip(self.layers, self.back):
            y = ops.relu(layer(x))
            total = total + y
            x = x + back(y)
        return self.head(total)


class ThrownAwayInEvaluation(ThrownAway):
    """The same, returned in training."""

    def construct(self, x):
        x = ops.relu(self.bn(self.stem(x)))
        extra = self.fc(ops.relu(self.hidden(x.mean((2, 3)))))
        y = (self.head(x),)
        if self.training:
            y += (extra,)
        return y


class Observed(nn.Cell):
    """The largest activation of each channel, remembered in training only."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn, self.head = conv3(3, 8), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)
        self.largest = ms.Parameter(ms.Tensor(np.zeros(8, np.float32)), name="largest", requires_grad=False)

    def construct(self, x):
        x = ops.relu(self.bn(self.stem(x)))
        if self.training:
            ops.assign(self.largest, ops.maximum(self.largest, x.max((0, 2, 3))))
        return self.head(x)


class WrittenInPlace(Between):
    """One is added in place to what the next layer reads."""

    def between(self, x):
        y = x * 2
        y.add_(1)
        return y


class SpatialGate(Between):
    """A map of one channel multiplies all channels."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Conv2d(8, 1, 3, pad_mode="same")

    def between(self, x):
        return ops.relu(x) * ops.sigmoid(self.gate(ops.relu(x)))


class SpatialSum(Between):
    """A map of one channel is added to all channels."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(8, 1, 3, pad_mode="same")

    def between(self, x):
        return ops.relu(x) + self.one(ops.relu(x))


class Scaled(nn.Cell):
    """A parameter of any shape multiplies a branch of a residual block, from the left or from the right."""

    def __init__(self, shape, from_left):
        super().__init__()
        self.stem, self.bn0 = conv3(3, 8), nn.BatchNorm2d(8)
        self.conv, self.bn = conv3(8, 8), nn.BatchNorm2d(8)
        values = np.linspace(0.5, 2, int(np.prod(shape))).reshape(shape)
        self.scale = ms.Parameter(ms.Tensor(values.astype(np.float32)), name="scale")
        self.head, self.from_left = nn.Dense(8, 4), from_left

    def construct(self, x):
        x = ops.relu(self.bn0(self.stem(x)))
        y = self.bn(self.conv(x))
        x = x + (self.scale * y if self.from_left else y * self.scale)
        return self.head(ops.relu(x).mean((2, 3)))


class PlusScalar(Between):
    """A parameter that is one number is added to all channels."""

    def __init__(self):
        super().__init__()
        self.shift = ms.Parameter(ms.Tensor(0.7, ms.float32), name="shift")

    def between(self, x):
        return x + self.shift


class FrozenNorm(nn.Cell):
    """BatchNorm out of four vectors."""

    def __init__(self, size):
        super().__init__()
        random = np.random.default_rng(size)
        for name in ("scale", "shift", "mean", "spread"):
            values = random.uniform(0.5, 2, size).astype(np.float32)
            setattr(self, name, ms.Parameter(ms.Tensor(values), name=name, requires_grad=False))

    def construct(self, x):
        factor = self.scale * ops.rsqrt(self.spread + 1e-5)
        return x * factor.reshape(1, -1, 1, 1) + (self.shift - self.mean * factor).reshape(1, -1, 1, 1)


class FrozenNorms(nn.Cell):
    """Two convolutions, each with a frozen BatchNorm."""

    def __init__(self):
        super().__init__()
        self.a, self.norm_a = conv3(3, 8), FrozenNorm(8)
        self.b, self.norm_b = conv3(8, 6, has_bias=True), FrozenNorm(6)
        self.head = nn.Dense(6, 4)

    def construct(self, x):
        x = ops.relu(self.norm_a(self.a(x)))
        return self.head(ops.relu(self.norm_b(self.b(x))).mean((2, 3)))


class SamplingGrid(Between):
    """A convolution computes where to sample; its two channels are coordinates."""

    def __init__(self):
        super().__init__()
        self.grid = conv3(8, 2)

    def between(self, x):
        places = ops.tanh(self.grid(ops.relu(x))).transpose(0, 2, 3, 1)
        return ops.grid_sample(ops.relu(x), places, align_corners=True)


class HalfSquashed(nn.Cell):
    """Two branches side by side, one of which is not zero any more when masked."""

    def __init__(self):
        super().__init__()
        self.a, self.bn_a = conv3(3, 5), nn.BatchNorm2d(5)
        self.b, self.bn_b = conv3(3, 6), nn.BatchNorm2d(6)
        self.head = nn.Conv2d(11, 4, 1)

    def construct(self, x):
        return self.head(ops.concat((ops.relu(self.bn_a(self.a(x))), ops.sigmoid(self.bn_b(self.b(x)))), 1))


Seen = namedtuple("Seen", "scores features")


class NamedInTraining(nn.Cell):
    """Training returns a named tuple with what a second head says."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn, self.conv, self.bn1 = conv3(3, 6), nn.BatchNorm2d(6), conv3(6, 8), nn.BatchNorm2d(8)
        self.head, self.aux = nn.Dense(8, 4), nn.Dense(8, 3)

    def construct(self, x):
        x = ops.relu(self.bn1(self.conv(ops.relu(self.bn(self.stem(x)))))).mean((2, 3))
        if self.training:
            return Seen(features=self.aux(x), scores=self.head(x))
        return self.head(x)


class Energy(nn.Cell):
    """One number for each point."""

    def __init__(self):
        super().__init__()
        self.wide, self.narrow = nn.Dense(6, 8), nn.Dense(8, 1)

    def construct(self, x):
        return self.narrow(ops.tanh(self.wide(x))).sum()


class Force(nn.Cell):
    """The gradient of an energy, as potentials of molecules have it."""

    def __init__(self):
        super().__init__()
        self.energy, self.gradient = Energy(), ops.GradOperation()

    def construct(self, x):
        return self.gradient(self.energy)(x)
