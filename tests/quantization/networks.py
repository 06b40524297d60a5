"""Networks with the layers that SLB meets. In a file, because Graph mode reads the source."""

from mindspore import nn, ops


class Kinds(nn.Cell):
    """Many kinds of convolutions.

    Dilated, grouped, depthwise, unevenly padded and one-dimensional ones, with and without bias; one is called from a
    tuple, and one, of a class of the user's own, twice.
    """

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, pad_mode="pad", padding=(1, 2, 0, 1), has_bias=True)
        self.bn = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, 3, group=4, dilation=2)
        self.depthwise = nn.Conv2d(8, 8, 3, group=8)
        self.steps = (self.depthwise, nn.ReLU())
        self.own = Doubling(8, 8, 1)
        self.line = nn.Conv1d(8, 6, 3, has_bias=True)
        self.fc = nn.Dense(6, 4)

    def construct(self, x):
        x = self.bn(self.stem(x))
        for step in self.steps:
            x = step(x)
        x = self.own(self.own(self.grouped(x)))
        x = self.line(x.mean(3))
        return self.fc(x.mean(2))


class Doubling(nn.Conv2d):
    """A convolution of the user's own."""

    def construct(self, x):
        return self.conv2d(x, self.weight) * 2


class Super(nn.Conv2d):
    """One that Graph mode could not train with searched weights."""

    def construct(self, x):
        return super().construct(x) * 2


class ReadsWeight(nn.Cell):
    """The code of the network reads a layer's weight besides the layer, and that of a layer that never runs."""

    def __init__(self):
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1)

    def construct(self, x):
        y = ops.conv2d(self.conv(x), self.other.weight).mean((2, 3))
        return ops.matmul(y, self.other.weight.reshape((5, 4)))


class Tied(nn.Cell):
    """The table of an embedding is the weight of the last layer."""

    def __init__(self):
        super().__init__()
        self.embed, self.fc = nn.Embedding(5, 4), nn.Dense(4, 5, has_bias=False)
        self.fc.weight = self.embed.embedding_table

    def construct(self, x):
        return self.fc(self.embed(x).mean(1))


class Decayed(nn.Cell):
    """A list of weights, of which the network returns the sum of squares."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.decayed = [self.conv.weight]

    def construct(self, x):
        return self.conv(x), (self.decayed[0] ** 2).sum()
