"""Stages that random networks are made of: each takes a number of channels and tells its own."""

import mindspore as ms
from mindspore import nn, ops

from tests.networks import conv3


class Stage(nn.Cell):
    """Some cells in a row; ``width`` is the number of channels behind them."""

    def __init__(self, inputs, width):
        super().__init__()
        self.inputs, self.width = inputs, width
        self.relu = nn.ReLU()


class Plain(Stage):
    """Convolution with bias, BatchNorm, ReLU."""

    def __init__(self, inputs, width):
        super().__init__(inputs, width)
        self.conv, self.bn = conv3(inputs, width, has_bias=True), nn.BatchNorm2d(width)

    def construct(self, x):
        return self.relu(self.bn(self.conv(x)))


class NoNorm(Stage):
    """Convolution and LeakyReLU."""

    def __init__(self, inputs, width):
        super().__init__(inputs, width)
        self.conv, self.act = nn.Conv2d(inputs, width, 1), nn.LeakyReLU()

    def construct(self, x):
        return self.act(self.conv(x))


class Residual(Stage):
    """Identity shortcut."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs)
        self.a, self.bn_a = conv3(inputs, width), nn.BatchNorm2d(width)
        self.b, self.bn_b = conv3(width, inputs), nn.BatchNorm2d(inputs)

    def construct(self, x):
        return self.relu(x + self.bn_b(self.b(self.relu(self.bn_a(self.a(x))))))


class Projected(Stage):
    """Shortcut with a convolution."""

    def __init__(self, inputs, width):
        super().__init__(inputs, width)
        self.a, self.bn_a = conv3(inputs, width), nn.BatchNorm2d(width)
        self.b, self.bn_b = conv3(width, width), nn.BatchNorm2d(width)
        self.short, self.bn_short = nn.Conv2d(inputs, width, 1), nn.BatchNorm2d(width)

    def construct(self, x):
        y = self.bn_b(self.b(self.relu(self.bn_a(self.a(x)))))
        return self.relu(y + self.bn_short(self.short(x)))


class Padded(Stage):
    """Shortcut padded with constant channels (option A)."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs + 3)
        self.a, self.bn_a = conv3(inputs, self.width), nn.BatchNorm2d(self.width)

    def construct(self, x):
        return self.relu(self.bn_a(self.a(x)) + ops.pad(x, (0, 0, 0, 0, 1, 2)))


class Dense(Stage):
    """Its input beside its output, and a BatchNorm over both."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs + width)
        self.conv, self.bn = conv3(inputs, width), nn.BatchNorm2d(self.width)

    def construct(self, x):
        return self.relu(self.bn(ops.concat((x, self.conv(x)), 1)))


class Depthwise(Stage):
    """A depthwise convolution."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs)
        self.conv, self.bn = conv3(inputs, inputs, group=inputs), nn.BatchNorm2d(inputs)

    def construct(self, x):
        return self.relu(self.bn(self.conv(x)))


class Grouped(Stage):
    """To an even number of channels, then a convolution in two groups."""

    def __init__(self, inputs, width):
        super().__init__(inputs, 2 * width)
        self.wide, self.bn_wide = nn.Conv2d(inputs, 2 * width, 1), nn.BatchNorm2d(2 * width)
        self.conv, self.bn = conv3(2 * width, 2 * width, group=2), nn.BatchNorm2d(2 * width)

    def construct(self, x):
        return self.relu(self.bn(self.conv(self.relu(self.bn_wide(self.wide(x))))))


class Shuffled(Stage):
    """To an even number of channels, then shuffled in two groups."""

    def __init__(self, inputs, width):
        super().__init__(inputs, 2 * width)
        self.wide, self.bn_wide = nn.Conv2d(inputs, 2 * width, 1), nn.BatchNorm2d(2 * width)

    def construct(self, x):
        x = self.relu(self.bn_wide(self.wide(x)))
        n, c, h, w = x.shape
        return x.reshape((n, 2, c // 2, h, w)).transpose((0, 2, 1, 3, 4)).reshape((n, c, h, w))


class Gated(Stage):
    """Squeeze and excitation."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs)
        self.reduce, self.expand = nn.Dense(inputs, 3), nn.Dense(3, inputs)

    def construct(self, x):
        gate = ops.sigmoid(self.expand(self.relu(self.reduce(x.mean((2, 3))))))
        return x * gate.expand_dims(-1).expand_dims(-1)


class Halved(Stage):
    """One half of a convolution's channels gates the other."""

    def __init__(self, inputs, width):
        super().__init__(inputs, width)
        self.conv, self.bn = conv3(inputs, 2 * width), nn.BatchNorm2d(2 * width)

    def construct(self, x):
        value, gate = ops.chunk(self.bn(self.conv(x)), 2, axis=1)
        return value * ops.sigmoid(gate)


class InParts(Stage):
    """Three equal parts of a convolution's channels, whose number the code gives, one after the other in a sum."""

    def __init__(self, inputs, width):
        super().__init__(inputs, width)
        self.conv, self.bn = conv3(inputs, 3 * width), nn.BatchNorm2d(3 * width)
        self.split = ops.Split(1, 3)

    def construct(self, x):
        a, b, c = self.split(self.relu(self.bn(self.conv(x))))
        return a * b + c


class Chosen(Stage):
    """Two branches stacked and weighted by a softmax over the branches."""

    def __init__(self, inputs, width):
        super().__init__(inputs, width)
        self.a, self.bn_a = nn.Conv2d(inputs, width, 1), nn.BatchNorm2d(width)
        self.b, self.bn_b = conv3(inputs, width), nn.BatchNorm2d(width)
        self.weigh = nn.Dense(width, 2 * width)

    def construct(self, x):
        both = ops.stack((self.relu(self.bn_a(self.a(x))), self.relu(self.bn_b(self.b(x)))), axis=1)
        weight = self.weigh(both.sum(1).mean((2, 3))).reshape((x.shape[0], 2, -1, 1, 1))
        return (both * ops.softmax(weight, 1)).sum(1)


class Magnified(Stage):
    """Pixel shuffle, then pooled to the size that it was."""

    def __init__(self, inputs, width):
        super().__init__(inputs, width)
        self.conv, self.bn = conv3(inputs, 4 * width), nn.BatchNorm2d(4 * width)
        self.pool = nn.AvgPool2d(2, 2)

    def construct(self, x):
        return self.pool(self.relu(ops.pixel_shuffle(self.bn(self.conv(x)), 2)))


class Branches(Stage):
    """Two branches and a pooling, concatenated."""

    def __init__(self, inputs, width):
        super().__init__(inputs, 2 * width + inputs)
        self.a, self.bn_a = nn.Conv2d(inputs, width, 1), nn.BatchNorm2d(width)
        self.b, self.bn_b = conv3(inputs, width), nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, 1, pad_mode="same")

    def construct(self, x):
        return ops.concat((self.relu(self.bn_a(self.a(x))), self.relu(self.bn_b(self.b(x))), self.pool(x)), 1)


class Squashed(Stage):
    """A sigmoid: what was zero is one half."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs)

    def construct(self, x):
        return ops.sigmoid(x)


class Normed(Stage):
    """GroupNorm over all channels."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs)
        self.norm = nn.GroupNorm(1, inputs)

    def construct(self, x):
        return self.norm(x)


class Enlarged(Stage):
    """A transposed convolution."""

    def __init__(self, inputs, width):
        super().__init__(inputs, width)
        self.up = nn.Conv2dTranspose(inputs, width, 3, pad_mode="same", has_bias=True)
        self.bn = nn.BatchNorm2d(width)

    def construct(self, x):
        return self.relu(self.bn(self.up(x)))


class Sloped(Stage):
    """A PReLU, and twice the same number added to itself."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs)
        self.act = nn.PReLU(inputs)

    def construct(self, x):
        x = self.act(x)
        return x + 0.5 * x


class Shared(Stage):
    """One convolution and BatchNorm, called twice."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs)
        self.conv, self.bn = conv3(inputs, inputs), nn.BatchNorm2d(inputs)

    def construct(self, x):
        x = self.relu(self.bn(self.conv(x)))
        return self.relu(self.bn(self.conv(x)))


class Aliased(Stage):
    """The same cells under two names, in a container and as attributes."""

    def __init__(self, inputs, width):
        super().__init__(inputs, width)
        self.conv, self.bn = conv3(inputs, width), nn.BatchNorm2d(width)
        self.both = nn.SequentialCell(self.conv, self.bn)

    def construct(self, x):
        return self.relu(self.both(x))


class Spotlight(Stage):
    """A map of one channel multiplies all channels."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs)
        self.one = nn.Conv2d(inputs, 1, 1)

    def construct(self, x):
        return x * ops.sigmoid(self.one(x))


class Brightened(Stage):
    """A map of one channel is added to all channels."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs)
        self.one = nn.Conv2d(inputs, 1, 1)

    def construct(self, x):
        return x + self.one(x)


class Scaled(Stage):
    """A number and a vector that are learnt, and one that is added."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs)
        self.factor = ms.Parameter(ms.Tensor(0.7, ms.float32), name="factor")
        self.scale = ms.Parameter(ops.ones((1, inputs, 1, 1), ms.float32), name="scale")
        self.shift = ms.Parameter(ops.ones((inputs, 1, 1), ms.float32), name="shift")

    def construct(self, x):
        return self.relu(self.factor * (self.scale * x) + self.shift)


class Choice(Stage):
    """Data decides between two convolutions."""

    def __init__(self, inputs, width):
        super().__init__(inputs, width)
        self.a, self.b, self.bn = nn.Conv2d(inputs, width, 1), conv3(inputs, width), nn.BatchNorm2d(width)

    def construct(self, x):
        y = self.a(x) if x.mean() > 0.3 else self.b(x)
        return self.relu(self.bn(y))


class Trained(Stage):
    """In training a branch more, whose layers evaluation lacks."""

    def __init__(self, inputs, width):
        super().__init__(inputs, width)
        self.conv, self.bn, self.extra = conv3(inputs, width), nn.BatchNorm2d(width), nn.Conv2d(inputs, width, 1)

    def construct(self, x):
        y = self.bn(self.conv(x))
        if self.training:
            y = y + self.extra(x)
        return self.relu(y)


class Forgotten(Stage):
    """A head that is computed and thrown away."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs)
        self.hidden, self.head = nn.Dense(inputs, width), nn.Dense(width, 2)

    def construct(self, x):
        self.head(self.relu(self.hidden(x.mean((2, 3)))))
        return x


class CrossStage(Stage):
    """Halves of a split whose size is an attribute."""

    def __init__(self, inputs, width):
        super().__init__(inputs, 3 * width)
        self.half = width
        self.conv, self.bn = nn.Conv2d(inputs, 2 * width, 1), nn.BatchNorm2d(2 * width)
        self.unit = conv3(width, width)

    def construct(self, x):
        x = self.relu(self.bn(self.conv(x)))
        a, b = x[:, :self.half], x[:, self.half:]
        return ops.concat((a, b, self.relu(self.unit(b))), 1)


class Blocks(Stage):
    """A shuffle of blocks whose length is in the code."""

    def __init__(self, inputs, width):
        super().__init__(inputs, 3 * width)
        self.conv, self.bn = nn.Conv2d(inputs, 3 * width, 1), nn.BatchNorm2d(3 * width)

    def construct(self, x):
        x = self.relu(self.bn(self.conv(x)))
        n, c, h, w = x.shape
        return x.reshape((n, -1, 3, h, w)).transpose((0, 2, 1, 3, 4)).reshape((n, c, h, w))


class InGroups(Stage):
    """GroupNorm in groups of two channels."""

    def __init__(self, inputs, width):
        super().__init__(inputs, 2 * width)
        self.conv, self.norm = conv3(inputs, 2 * width), nn.GroupNorm(width, 2 * width)

    def construct(self, x):
        return self.relu(self.norm(self.conv(x)))


class Remembered(Stage):
    """Zeros of the features' shape beside them, then the sum of a convolution of both."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs)
        self.conv = conv3(2 * inputs, inputs)

    def construct(self, x):
        return self.relu(self.conv(ops.concat((x, ops.zeros_like(x)), 1)))


class Attended(Stage):
    """Self-attention of two heads over the positions, around which the features go on."""

    def __init__(self, inputs, width):
        super().__init__(inputs, inputs)
        self.heads = 2
        self.q, self.k, self.v = (nn.Dense(inputs, 2 * width) for _ in range(3))
        self.proj = nn.Dense(2 * width, inputs)

    def split(self, x):
        return x.reshape((x.shape[0], x.shape[1], self.heads, -1)).transpose((0, 2, 1, 3))

    def construct(self, x):
        n, c, h, w = x.shape
        tokens = x.reshape((n, c, -1)).transpose((0, 2, 1))
        q, k, v = self.split(self.q(tokens)), self.split(self.k(tokens)), self.split(self.v(tokens))
        y = ops.matmul(ops.softmax(ops.matmul(q, k.swapaxes(-1, -2)), -1), v).transpose((0, 2, 1, 3))
        y = self.proj(y.reshape((n, h * w, -1)))
        return x + y.transpose((0, 2, 1)).reshape((n, -1, h, w))


class Focused(Stage):
    """Attention whose query, key and value one convolution makes; the numbers of heads and places are attributes."""

    def __init__(self, inputs, width):
        super().__init__(inputs, 2 * width)
        self.heads, self.key, self.dim, self.inner = 2, 3, width, 2 * width
        self.qkv, self.bn = nn.Conv2d(inputs, 2 * (6 + width), 1), nn.BatchNorm2d(2 * (6 + width))
        self.position = conv3(self.inner, self.inner, group=self.inner)

    def construct(self, x):
        n, _, h, w = x.shape
        both = self.bn(self.qkv(x)).view(n, self.heads, 2 * self.key + self.dim, h * w)
        q, k, v = ops.split(both, (self.key, self.key, self.dim), 2)
        y = ops.matmul(v, ops.softmax(ops.matmul(q.swapaxes(-1, -2), k), -1).swapaxes(-1, -2))
        return self.relu(y.view(n, self.inner, h, w) + self.position(v.reshape((n, self.inner, h, w))))


STAGES = (Plain, NoNorm, Residual, Projected, Padded, Dense, Depthwise, Grouped, Shuffled, Gated, Halved, InParts,
          Chosen, Magnified, Branches, Squashed, Normed, Enlarged, Sloped, Shared, Aliased, Spotlight, Brightened,
          Scaled, Choice, Trained, Forgotten, CrossStage, Blocks, InGroups, Remembered, Attended, Focused)


class RandomNet(nn.SequentialCell):
    """A stem, stages, mean over space, a classifier.

    Args:
        plan: (stage class, width) of each stage.
    """

    def __init__(self, plan):
        stages, width = [Plain(3, 5)], 5
        for kind, size in plan:
            stages.append(kind(width, size))
            width = stages[-1].width
        super().__init__(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dense(width, 3))


class WithOutputs(nn.Cell):
    """A random network that returns a dictionary: what its stages made, pooled, and the classes.

    Args:
        plan: (stage class, width) of each stage.
    """

    def __init__(self, plan):
        super().__init__()
        self.body = RandomNet(plan[:1])
        self.features = nn.SequentialCell(*list(self.body)[:-3])
        self.more = RandomNet(plan)

    def construct(self, x):
        y = self.features(x)
        return {"classes": self.more(x), "others": (self.body(x), y.mean((1, 2, 3)))}
