"""Networks that say how many channels there are: by a number, by an attribute, or by a tensor's shape."""

import mindspore as ms
from mindspore import nn, ops

from tests.networks import Between, conv3


class WidthInAttribute(Between):
    """A flat view whose length is computed from an attribute."""

    def __init__(self):
        super().__init__()
        self.width, self.last = 8, nn.Dense(8 * 64, 4)

    def between(self, x):
        return ops.relu(x).reshape(-1, self.width * 64)


class WidthTwice(nn.Cell):
    """One attribute holds the widths of two layers; of the second one ``times`` as much."""

    def __init__(self, times=1):
        super().__init__()
        self.width, self.times = 8, times
        self.stem, self.a, self.b = conv3(3, 6), conv3(6, 8), conv3(6, 8 // times)
        self.first, self.second = nn.Dense(8 * 64, 4), nn.Dense(8 // times * 64, 4)

    def construct(self, x):
        x = ops.relu(self.stem(x))
        first = ops.relu(self.a(x)).reshape(-1, self.width * 64)
        return self.first(first) + self.second(ops.relu(self.b(x)).reshape(-1, self.width // self.times * 64))


class WidthInCode(Between):
    """A flat view whose length is a number."""

    def __init__(self):
        super().__init__()
        self.last = nn.Dense(8 * 64, 4)

    def between(self, x):
        return ops.relu(x).reshape(-1, 8 * 64)


class HalfByAttribute(Between):
    """One half gates the other; where it ends, an attribute says."""

    def __init__(self):
        super().__init__(4)
        self.half = 4

    def between(self, x):
        return x[:, :self.half] * ops.sigmoid(x[:, self.half:])


class UnequalParts(Between):
    """Two parts of unequal lengths, each an attribute, go through layers of their own."""

    def __init__(self):
        super().__init__(6)
        self.a, self.b = 3, 5
        self.first, self.second = nn.Conv2d(3, 6, 1), nn.Conv2d(5, 6, 1)

    def between(self, x):
        return self.first(ops.relu(x[:, :self.a])) + self.second(ops.relu(x[:, self.a:self.a + self.b]))


class BeginInCode(UnequalParts):
    """The same, but where the second part begins is a number."""

    def between(self, x):
        return self.first(ops.relu(x[:, :self.a])) + self.second(ops.relu(x[:, 3:3 + self.b]))


class HalfByShape(Between):
    """One half gates the other; where it ends, the shape says."""

    def __init__(self):
        super().__init__(4)

    def between(self, x):
        half = x.shape[1] // 2
        return x[:, :half] * ops.sigmoid(x[:, half:])


class HalfByNumber(Between):
    """One half gates the other; where it ends, a number says."""

    def __init__(self):
        super().__init__(4)

    def between(self, x):
        return x[:, :4] * ops.sigmoid(x[:, 4:])


class CrossStage(nn.Cell):
    """YOLOv8's C2f: the halves of a split, whose size is an attribute."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.half = outputs // 2
        self.wide, self.bn_wide = nn.Conv2d(inputs, 2 * self.half, 1), nn.BatchNorm2d(2 * self.half)
        self.unit, self.bn_unit = conv3(self.half, self.half), nn.BatchNorm2d(self.half)
        self.out, self.bn_out = nn.Conv2d(3 * self.half, outputs, 1), nn.BatchNorm2d(outputs)

    def construct(self, x):
        a, b = ops.split(ops.relu(self.bn_wide(self.wide(x))), self.half, 1)
        return ops.relu(self.bn_out(self.out(ops.cat((a, b, ops.relu(self.bn_unit(self.unit(b)))), 1))))


class CrossStages(nn.Cell):
    """Two of them, of different widths."""

    def __init__(self):
        super().__init__()
        self.stem, self.first, self.second = conv3(3, 8), CrossStage(8, 16), CrossStage(16, 12)
        self.head = nn.Dense(12, 4)

    def construct(self, x):
        return self.head(self.second(self.first(self.stem(x))).mean((2, 3)))


class OddScale(Between):
    """The attribute that holds the number of channels is a factor as well, so changing it changes the result."""

    def __init__(self):
        super().__init__()
        self.width, self.last = 8, nn.Dense(8 * 64, 4)

    def between(self, x):
        return ops.relu(x).reshape(-1, self.width * 64) * self.width ** -0.5


class MeanByHand(Between):
    """The sum over channels, divided by their number."""

    def __init__(self):
        super().__init__(1)

    def between(self, x):
        return ops.relu(x).sum(1, keepdims=True) / x.shape[1]


class RecurrentUnit(nn.Cell):
    """A convolutional GRU over two frames; its first state is zeros like the features, or zeros of a fixed size."""

    def __init__(self, like):
        super().__init__()
        self.like = like
        self.enc, self.bn = conv3(3, 8), nn.BatchNorm2d(8)
        self.gates = conv3(16, 16, has_bias=True)
        self.state = conv3(16, 8, has_bias=True)
        self.head = nn.Dense(8, 4)

    def construct(self, first, second):
        state = None
        for frame in (first, second):
            x = ops.relu(self.bn(self.enc(frame)))
            if state is None:
                state = ops.zeros_like(x) if self.like else ops.zeros((x.shape[0], 8, 8, 8), ms.float32)
            update, reset = ops.chunk(ops.sigmoid(self.gates(ops.concat((x, state), 1))), 2, 1)
            proposal = ops.tanh(self.state(ops.concat((x, reset * state), 1)))
            state = (1 - update) * state + update * proposal
        return self.head(state.mean((2, 3)))


class CrossStageInStream(nn.Cell):
    """The halves are part of a residual stream, so that with "keep" they are put back in front of the split."""

    def __init__(self):
        super().__init__()
        self.half = 4
        self.conv, self.bn, self.unit = conv3(3, 8), nn.BatchNorm2d(8), conv3(4, 4)
        self.a, self.b, self.head = conv3(12, 6), conv3(6, 12), nn.Dense(12, 4)

    def construct(self, x):
        x = ops.relu(self.bn(self.conv(x)))
        x = ops.cat((x[:, :self.half], x[:, self.half:], ops.relu(self.unit(x[:, self.half:]))), 1)
        return self.head((x + self.b(ops.relu(self.a(x)))).mean((2, 3)))


class ShuffledBeforeCode(nn.Cell):
    """Grouped convolutions around a shuffle that follows the shape; then the number of channels in the code."""

    def __init__(self):
        super().__init__()
        self.stem, self.wide = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 1, group=2)
        self.deep, self.narrow = nn.Conv2d(8, 8, 3, group=8), nn.Conv2d(8, 6, 1, group=2)
        self.last = nn.Dense(6, 4)

    def construct(self, x):
        x = self.stem(x)
        y = self.wide(x)
        n, c, h, w = y.shape
        y = y.reshape((n, 2, c // 2, h, w)).transpose((0, 2, 1, 3, 4)).reshape((n, c, h, w))
        x = x + self.narrow(self.deep(y))
        return self.last(x.mean((2, 3), True).reshape((-1, 6)))


class FlatBeforeBatchNorm(nn.Cell):
    """The number of channels in the code, then nn.BatchNorm1d, which reshapes by the shape."""

    def __init__(self):
        super().__init__()
        self.stem, self.hidden, self.norm = nn.Conv2d(3, 6, 3), nn.Dense(6, 8), nn.BatchNorm1d(8)
        self.last = nn.Dense(8, 4)

    def construct(self, x):
        x = self.stem(x).mean((2, 3), True).reshape((-1, 6))
        return self.last(ops.relu(self.norm(self.hidden(x))))
