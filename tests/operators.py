"""Operators between two convolutions that treat each channel by itself, other layers, cells of a user's own."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from tests.networks import Between, conv3


class Reflected(Between):
    """A border of mirrored pixels."""

    def between(self, x):
        return ops.pad(ops.relu(x), (1, 1, 1, 1), mode="reflect")


class Edged(Between):
    """A border of repeated pixels."""

    def __init__(self):
        super().__init__()
        self.pad = nn.ReplicationPad2d(1)

    def between(self, x):
        return self.pad(ops.relu(x))


class RowOfZeros(Between):
    """One row in all channels is set to zero."""

    def between(self, x):
        x = ops.relu(x)
        x[:, :, 0] = 0
        return x


class ChannelOfZeros(Between):
    """One channel, chosen by number, is set to zero."""

    def between(self, x):
        x = ops.relu(x)
        x[:, 3] = 0
        return x


class Filled(Between):
    """Large values are replaced by zero."""

    def between(self, x):
        return x.masked_fill(x > 1, 0.0)


class FilledWithOnes(Between):
    """Small values are replaced by one, so that a masked channel is not zero."""

    def between(self, x):
        return x.masked_fill(x < 1, 1.0)


class Rare(Between):
    """Operators that few networks use."""

    def __init__(self):
        super().__init__()
        kinds = ("DivNoNan", "MulNoNan", "Xdivy", "Xlogy")
        self.pairs = [getattr(ops.operations, kind)() for kind in kinds]
        self.difference = ops.operations.SquaredDifference()

    def between(self, x):
        y = self.difference(ops.tanh(x), x)
        for pair in self.pairs:
            y = pair(y, ops.abs(x) + 2)
        return ops.triu(ops.fmax(ops.hypot(x, y), ops.erfinv(ops.tanh(y) * 0.5)))


class Unpooled(Between):
    """Maxima go back to where they were."""

    def __init__(self):
        super().__init__()
        self.unpool = nn.MaxUnpool2d(2)

    def between(self, x):
        return self.unpool(*ops.max_pool2d(ops.relu(x), 2, return_indices=True))


class Neighbours(Between):
    """Channels are divided by what is beside them."""

    def __init__(self):
        super().__init__()
        self.norm = ops.LRN()

    def between(self, x):
        return self.norm(x)


class Flipped(Between):
    """Mirrored in space."""

    def between(self, x):
        return ops.flip(ops.relu(x), (3,))


class Unfolded(Between):
    """Cut into windows and put together again; in a tensor of windows a channel has as many places as a window."""

    def __init__(self):
        super().__init__()
        self.mixed = nn.Dense(32, 32)

    def between(self, x):
        windows = self.mixed(ops.unfold(ops.relu(x), 2, stride=2).swapaxes(1, 2)).swapaxes(1, 2)
        return ops.fold(windows, ms.Tensor([8, 8], ms.int32), 2, stride=2)


class Deformed(Between):
    """A convolution that reads where another one says; its weight is the network's own."""

    def __init__(self):
        super().__init__()
        self.places, self.kernel = nn.Conv2d(8, 27, 3, has_bias=True), ms.Parameter(ops.ones((8, 8, 3, 3)))

    def between(self, x):
        return ops.deformable_conv2d(x, self.kernel, self.places(x), (3, 3), (1, 1, 1, 1), (1, 1, 1, 1))


class FlippedChannels(Between):
    """The order of the channels is reversed."""

    def between(self, x):
        return ops.flip(ops.relu(x), (1,))


class Rolled(Between):
    """Moved in space."""

    def between(self, x):
        return ops.roll(ops.relu(x), 1, 3)


class RowMaximum(Between):
    """The largest value of each row."""

    def between(self, x):
        return ops.ArgMaxWithValue(3, True)(ops.relu(x))[1]


class RowBelow(Between):
    """A row of zeros below, made from the shape."""

    def between(self, x):
        x = ops.relu(x)
        return ops.concat((x, ops.zeros((x.shape[0], x.shape[1], 1, x.shape[3]), x.dtype)), 2)


class Halved(Between):
    """Divided, rounded down."""

    def between(self, x):
        return ops.floor_div(ops.relu(x), 2.0)


class InstanceNormed(Between):
    """GroupNorm with a group for each channel."""

    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(8, 8)

    def between(self, x):
        return self.norm(x)


class Shifted(Between):
    """An added parameter (ImplicitA of YOLOR)."""

    def __init__(self):
        super().__init__()
        self.shift = ms.Parameter(ms.Tensor(np.linspace(1, 2, 8, dtype=np.float32).reshape(1, 8, 1, 1)), name="shift")

    def between(self, x):
        return ops.relu(self.shift + x)


class Floor(Between):
    """A learnt lower bound for each channel."""

    def __init__(self):
        super().__init__()
        values = np.linspace(-2, 1, 8, dtype=np.float32).reshape(8, 1, 1)
        self.bound = ms.Parameter(ms.Tensor(values), name="bound")

    def between(self, x):
        return ops.clip_by_value(x, self.bound, ms.Tensor(6.0, ms.float32))


class Own(nn.Cell):
    """A convolution whose operator holds the number of channels."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.w = ms.Parameter(ms.Tensor(np.ones((outputs, inputs, 3, 3), np.float32)), name="w")
        self.op = ops.Conv2D(outputs, 3, pad_mode="same")

    def construct(self, x):
        return self.op(x, self.w)


class OwnConvolution(nn.Cell):
    """A cell of the user's own with BatchNorm behind it."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.last = Own(3, 8), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)

    def construct(self, x):
        return self.last(ops.relu(self.bn(self.conv(x))))


class OwnPair(nn.Cell):
    """Two convolutions of one kernel size in one cell: which operator goes with which weight, nobody can tell."""

    def __init__(self):
        super().__init__()
        self.first = ms.Parameter(ms.Tensor(np.ones((6, 3, 3, 3), np.float32)), name="first")
        self.second = ms.Parameter(ms.Tensor(np.ones((4, 6, 3, 3), np.float32)), name="second")
        self.one, self.two = ops.Conv2D(6, 3, pad_mode="same"), ops.Conv2D(4, 3, pad_mode="same")

    def construct(self, x):
        return self.two(ops.relu(self.one(x, self.first)), self.second)


class TupleOfWeights(nn.Cell):
    """Its weights are read from a tuple; two of them are the network's own."""

    def __init__(self):
        super().__init__()
        shapes = {"first": (6, 3, 3, 3), "second": (8, 6, 1, 1), "third": (4, 8, 1, 1)}
        self.filters = ms.ParameterTuple([ms.Parameter(ms.Tensor(np.ones(shape, np.float32)), name=name)
                                          for name, shape in shapes.items()])

    def construct(self, x):
        for k in range(3):
            x = ops.conv2d(ops.relu(x), self.filters[k])
        return x


class AllWeights(nn.Cell):
    """A tuple of all weights, which nothing in the network reads."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = conv3(3, 6), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 1)
        self.weights = ms.ParameterTuple(self.trainable_params())

    def construct(self, x):
        return self.b(ops.relu(self.norm(self.a(x))))


class WeightsByName(nn.Cell):
    """Its weights are asked for by names that are put together."""

    def __init__(self):
        super().__init__()
        self.w0 = ms.Parameter(ms.Tensor(np.ones((6, 3, 1, 1), np.float32)), name="w0")
        self.w1 = ms.Parameter(ms.Tensor(np.ones((4, 6, 1, 1), np.float32)), name="w1")

    def construct(self, x):
        for k in range(2):
            x = ops.conv2d(ops.relu(x), getattr(self, f"w{k}"))
        return x


class Volume(nn.Cell):
    """Convolutions, BatchNorm and pooling in three dimensions, a transposed one among them."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.pool = nn.Conv3d(2, 8, 3), nn.BatchNorm3d(8), nn.MaxPool3d(2, 2)
        self.up = nn.Conv3dTranspose(8, 6, 2, stride=2, has_bias=True)
        self.mean, self.last = nn.AvgPool3d(2, 2), nn.Conv3d(6, 4, 1)

    def construct(self, x):
        x = self.pool(ops.relu(self.bn(self.conv(x))))
        return self.last(self.mean(ops.relu(self.up(x))))


class Signal(nn.Cell):
    """Convolutions and pooling in one dimension, a transposed one among them."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.pool = nn.Conv1d(2, 8, 3), nn.BatchNorm2d(8), nn.MaxPool1d(2, 2)
        self.up, self.last = nn.Conv1dTranspose(8, 6, 3, has_bias=True), nn.Conv1d(6, 4, 1)

    def construct(self, x):
        x = self.pool(ops.relu(self.bn(self.conv(x).expand_dims(-1)).squeeze(-1)))
        return self.last(ops.relu(self.up(x)))


class Recurrent(nn.Cell):
    """A recurrent layer reads the columns of an image (CRNN)."""

    def __init__(self, kind=nn.LSTM):
        super().__init__()
        self.conv, self.bn = conv3(3, 8), nn.BatchNorm2d(8)
        self.rnn, self.head = kind(8 * 4, 6, num_layers=2, bidirectional=True), nn.Dense(12, 5)

    def construct(self, x):
        x = ops.relu(self.bn(self.conv(x)))
        n, c, h, w = x.shape
        x, _ = self.rnn(x.reshape(n, c * h, w).transpose(2, 0, 1))
        return self.head(x)


class TiedTable(nn.Cell):
    """One table is read by rows, and used as the weight of the last layer (language models)."""

    def __init__(self):
        super().__init__()
        self.table = ms.Parameter(ms.Tensor(np.ones((10, 6), np.float32)), name="table")
        self.hidden, self.back = nn.Dense(6, 8), nn.Dense(8, 6)
        self.product = ops.MatMul(transpose_b=True)

    def construct(self, numbers):
        x = ops.gather(self.table, numbers, 0)
        return self.product(self.back(ops.relu(self.hidden(x))), self.table)


class ReusedWeight(nn.Cell):
    """The weight of a convolution is also read as numbers."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.last = conv3(3, 8), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)

    def construct(self, x):
        penalty = self.conv.weight.reshape(-1).max()
        return self.last(ops.relu(self.bn(self.conv(x)))) + penalty


class Conditioned(nn.Cell):
    """A number chooses a row of a table, or a class, that is added to the features (diffusion models)."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.conv, self.bn = conv3(3, 8), nn.BatchNorm2d(8)
        self.embedding = nn.Embedding(10, 6)
        self.table = ms.Parameter(ms.Tensor(np.ones((10, 6), np.float32)), name="table")
        self.modulate, self.last = nn.Dense(10 if how == "one_hot" else 6, 8), conv3(8, 4)

    def construct(self, x, t):
        x = self.bn(self.conv(x))
        if self.how == "embedding":
            e = self.embedding(t)
        elif self.how == "gather":
            e = ops.gather(self.table, t, 0)
        elif self.how == "index":
            e = self.table[t]
        else:
            e = ops.one_hot(t, 10, ms.Tensor(1., ms.float32), ms.Tensor(0., ms.float32))
        return self.last(ops.relu(x + self.modulate(e).reshape(x.shape[0], -1, 1, 1)))


class Sampled(nn.Cell):
    """A variational autoencoder draws a sample in every forward."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = conv3(3, 8), nn.BatchNorm2d(8)
        self.mean, self.spread, self.back = nn.Conv2d(8, 5, 1), nn.Conv2d(8, 5, 1), nn.Conv2d(5, 4, 1)

    def construct(self, x):
        x = ops.relu(self.bn(self.conv(x)))
        return self.back(self.mean(x) + self.spread(x) * ops.standard_normal((x.shape[0], 5, 8, 8)))


class Spectral(Between):
    """Real and imaginary part of the spectrum of each channel, and back."""

    def __init__(self):
        super().__init__()
        self.complex = ops.Complex()

    def between(self, x):
        spectrum = ops.rfft2(ops.relu(x), norm="ortho")
        spectrum = self.complex(ops.tanh(ops.real(spectrum)), ops.imag(ops.conj(spectrum)))
        return ops.irfft2(spectrum, norm="ortho") + ops.fftshift(x, (2, 3))


class SpectrumOfChannels(Between):
    """Every channel is part of each frequency."""

    def between(self, x):
        return ops.real(ops.fft(ops.relu(x), dim=1))


class SpectrumOfAll(Between):
    """Without axes a transform goes over all of them."""

    def between(self, x):
        return ops.real(ops.fftn(ops.relu(x)))


class Spikes(Between):
    """A neuron fires above its threshold, and starts again."""

    def between(self, x):
        fires = ops.logical_and(x > 0.3, x < 1e9 * x).astype(ms.float32)
        return fires + x * (1 - fires)


class Pauses(Between):
    """True where a value is small, so that a masked channel is one."""

    def between(self, x):
        return (x < 0.3).astype(ms.float32)
