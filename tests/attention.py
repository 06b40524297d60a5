"""Attention as people write it: the number of heads, or the length of one, open, in an attribute, or in the code."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from tests.stages import CrossStage


class Attention(nn.Cell):
    """Tokens, one layer of attention around which they go on, a classifier.

    Args:
        width: length of a token.
        heads: number of heads.
        dim: length of a head.
    """

    def __init__(self, width=8, heads=4, dim=3):
        super().__init__()
        self.heads, self.dim, self.scale = heads, dim, dim ** -0.5
        self.embed, self.norm = nn.Dense(5, width), nn.LayerNorm((width,))
        self.q, self.k, self.v = (nn.Dense(width, heads * dim) for _ in range(3))
        self.proj, self.head = nn.Dense(heads * dim, width), nn.Dense(width, 2)

    def split(self, x):
        """Heads in front: (batch, heads, tokens, length)."""
        return x.reshape(x.shape[0], x.shape[1], -1, self.dim).transpose(0, 2, 1, 3)

    def join(self, x):
        """Heads side by side again."""
        x = x.transpose(0, 2, 1, 3)
        return x.reshape(x.shape[0], x.shape[1], -1)

    def heads_of(self, x):
        return self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))

    def construct(self, x):
        x = self.embed(x)
        q, k, v = self.heads_of(self.norm(x))
        weights = ops.softmax(ops.matmul(q, k.swapaxes(-1, -2)) * self.scale, -1)
        return self.head(x + self.proj(self.join(ops.matmul(weights, v)))).mean(1)


class Joint(Attention):
    """One layer makes query, key and value; the number of heads is an attribute."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Dense(8, 36)
        del self.q, self.k, self.v

    def heads_of(self, x):
        x = self.qkv(x).reshape(x.shape[0], x.shape[1], 3, self.heads, self.dim)
        return ops.unstack(x.transpose(2, 0, 3, 1, 4), 0)


class Divided(Attention):
    """The length of a head follows from the number of heads, and so does the scale."""

    def split(self, x):
        x = x.reshape(x.shape[0], x.shape[1], self.heads, x.shape[2] // self.heads).transpose(0, 2, 1, 3)
        return x * x.shape[3] ** -0.5


class OpenLength(Attention):
    """The length of a head is open."""

    def split(self, x):
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(0, 2, 1, 3)


class OneHead(Attention):
    """One head, nothing is cut."""

    def split(self, x):
        return x

    def join(self, x):
        return x


class InCode(Attention):
    """Both numbers are in the code."""

    def split(self, x):
        return x.reshape(x.shape[0], x.shape[1], 4, 3).transpose(0, 2, 1, 3)


class Inner(Attention):
    """Three attributes: the number of heads, the length of one, and the product of both."""

    def __init__(self, width=8, heads=4, dim=3):
        super().__init__(width, heads, dim)
        self.inner, self.wide = heads * dim, 6 * heads * dim

    def split(self, x):
        return x.reshape(x.shape[0], x.shape[1], self.heads, self.dim).transpose(0, 2, 1, 3)

    def join(self, x):
        x = x.transpose(0, 2, 1, 3)
        return x.reshape(x.shape[0], x.shape[1], self.inner)


class InnerOpenHeads(Inner):
    """The product is an attribute, the number of heads is open."""

    def split(self, x):
        return x.reshape(x.shape[0], x.shape[1], -1, self.dim).transpose(0, 2, 1, 3)


class InnerOpenLength(Inner):
    """The product is an attribute, the length of a head is open."""

    def split(self, x):
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(0, 2, 1, 3)


class Rotary(Attention):
    """The places of a head are turned by literals, so that heads go and the places of a head do not."""

    def __init__(self):
        super().__init__(8, 3, 6)
        angles = np.outer(np.arange(6), [1, 0.1, 0.01, 1, 0.1, 0.01])
        self.cos, self.sin = ms.Tensor(np.cos(angles), ms.float32), ms.Tensor(np.sin(angles), ms.float32)

    def split(self, x):
        return x.reshape(x.shape[0], x.shape[1], self.heads, self.dim).transpose(0, 2, 1, 3)

    def turned(self, x):
        half = x.shape[-1] // 2
        return x * self.cos + ops.concat((-x[..., half:], x[..., :half]), -1) * self.sin

    def heads_of(self, x):
        q, k, v = super().heads_of(x)
        return self.turned(q), self.turned(k), v


class GroupedQueries(Rotary):
    """Two queries share a key and a value, which are repeated."""

    def __init__(self):
        super().__init__()
        self.heads, self.key_heads = 6, 3
        self.repeats = self.heads // self.key_heads
        self.q, self.proj = nn.Dense(8, 36), nn.Dense(36, 8)

    def repeated(self, x):
        x = x.reshape(x.shape[0], x.shape[1], self.key_heads, self.dim).transpose(0, 2, 1, 3)
        return ops.repeat_interleave(x, self.repeats, 1)

    def heads_of(self, x):
        return self.turned(self.split(self.q(x))), self.turned(self.repeated(self.k(x))), self.repeated(self.v(x))


class InnerJoint(Joint):
    """One layer makes query, key and value; the product is an attribute."""

    def __init__(self):
        super().__init__()
        self.inner = 12

    def join(self, x):
        x = x.transpose(0, 2, 1, 3)
        return x.reshape(x.shape[0], x.shape[1], self.inner)


class Product(Inner):
    """The product is computed from two attributes where it is needed."""

    def join(self, x):
        x = x.transpose(0, 2, 1, 3)
        return x.reshape(x.shape[0], x.shape[1], self.heads * self.dim)


class Layer(Inner):
    """Attention around which the tokens go on."""

    def construct(self, x):
        q, k, v = self.heads_of(self.norm(x))
        weights = ops.softmax(ops.matmul(q, k.swapaxes(-1, -2)) * self.scale, -1)
        return x + self.proj(self.join(ops.matmul(weights, v)))


class Layers(nn.Cell):
    """Two layers of attention with heads of their own."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Dense(5, 8), nn.Dense(8, 2)
        self.layers = nn.SequentialCell(Layer(8, 4, 3), Layer(8, 2, 5))

    def construct(self, x):
        return self.head(self.layers(self.embed(x))).mean(1)


class Scored(Layer):
    """The length of a head is an attribute that divides the scores; all numbers are attributes."""

    def construct(self, x):
        q, k, v = self.heads_of(self.norm(x))
        weights = ops.softmax(ops.matmul(q, k.swapaxes(-1, -2)) / self.dim ** 0.5, -1)
        return x + self.proj(self.join(ops.matmul(weights, v)))


class OneThenTwo(Layers):
    """The first layer has one head, as the first stage of a pyramid of transformers has."""

    def __init__(self):
        super().__init__()
        self.layers = nn.SequentialCell(Scored(8, 1, 4), Scored(8, 2, 4))


class Functional(nn.Cell):
    """A cell that calls the functions first, then attention that calls them too and has its numbers in attributes."""

    def __init__(self):
        super().__init__()
        self.first, self.attention, self.head = Folded(), LayerOfFunctions(8, 4, 3), nn.Dense(8, 2)

    def construct(self, x):
        return self.head(self.attention(self.first(x))).mean(1)


class Folded(nn.Cell):
    """A layer whose output is taken apart and put together again; it has an attribute that is a number of heads too."""

    def __init__(self):
        super().__init__()
        self.embed, self.mixed, self.four = nn.Dense(5, 8), nn.Dense(8, 8), 4

    def construct(self, x):
        x = ops.transpose(self.embed(x), (0, 2, 1))
        return self.mixed(ops.transpose(ops.reshape(x, (x.shape[0], x.shape[1], x.shape[2])), (0, 2, 1)))


class LayerOfFunctions(Layer):
    """Attention that is written with functions."""

    def split(self, x):
        return ops.transpose(ops.reshape(x, (-1, 6, self.heads, self.inner // self.heads)), (0, 2, 1, 3))

    def join(self, x):
        return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, 6, self.inner))


class InHalf(nn.Cell):
    """A split by an attribute, and attention over half of another one, whose code takes the half's width from it."""

    def __init__(self):
        super().__init__()
        self.stem, self.cross, self.part = nn.Conv2d(3, 8, 3), CrossStage(8, 3), Half(9)
        self.head = nn.Conv2d(6, 2, 1)

    def construct(self, x):
        return self.head(self.part(self.cross(ops.relu(self.stem(x)))))


class Half(nn.Cell):
    """Two halves, one of them with attention; the length of a half is an attribute."""

    def __init__(self, inputs):
        super().__init__()
        self.c, self.inside = 4, Inside(4)
        self.first, self.last = nn.Conv2d(inputs, 8, 1), nn.Conv2d(8, 6, 1)

    def construct(self, x):
        x = self.first(x)
        a, b = x[:, :self.c], x[:, self.c:]
        return self.last(ops.concat((a, b + self.inside(b)), 1))


class Inside(nn.Cell):
    """Attention of two heads over the positions, which makes as many channels as come in."""

    def __init__(self, width):
        super().__init__()
        self.heads, self.key, self.dim = 2, 1, width // 2
        self.qkv, self.proj = nn.Conv2d(width, 2 * (2 + width // 2), 1), nn.Conv2d(width, width, 1)

    def construct(self, x):
        n, c, h, w = x.shape
        both = self.qkv(x).view(n, self.heads, 2 * self.key + self.dim, h * w)
        q, k, v = ops.split(both, (self.key, self.key, self.dim), 2)
        y = ops.matmul(v, ops.softmax(ops.matmul(q.swapaxes(-1, -2), k), -1).swapaxes(-1, -2))
        return self.proj(y.view(n, c, h, w))
