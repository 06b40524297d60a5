"""Networks and ways to train that differ from the usual: for the knockoff phase. All take images of 3 x 8 x 8."""

from types import MethodType

import mindspore as ms
from mindspore import nn, ops

from tests.batches import Features
from tests.networks import conv3


class Options(Features):
    """An input that may be left out, and a number."""

    def construct(self, image, mask=None, scale=1.0):
        y = self.features(image)
        if mask is not None:
            y = y * mask
        return self.head(y.mean((2, 3))) * scale


class Containers(Features):
    """Images and masks in a tuple, a list or a dict."""

    def construct(self, batch):
        if isinstance(batch, dict):
            image, mask = batch["image"], batch["mask"]
        else:
            image, mask = batch
        return self.head((self.features(image) * mask).mean((2, 3)))


class Jitted(Features):
    """``construct`` under jit."""

    @ms.jit
    def construct(self, x):
        return self.embed(x)


class JittedBlock(nn.Cell):
    """A block under jit around the convolutions."""

    pairs = {f"block.{conv}": f"block.{norm}" for conv, norm in Features.pairs.items()}

    def __init__(self):
        super().__init__()
        self.block = Jitted()

    def construct(self, x):
        return 2 * self.block(x)


def on_the_instance():
    """``construct`` replaced on the object."""
    net = Features()
    net.construct = MethodType(_plus_one, net)
    return net


def _plus_one(self, x):
    """As :class:`Features`, and one."""
    return self.embed(x) + 1


class Recomputed(Features):
    """Everything is computed again in the backward pass."""

    def __init__(self, **options):
        super().__init__()
        self.conv.recompute(**options)
        self.conv2.recompute(**options)
        self.bn2.recompute(**options)


class RecomputedRoot(Features):
    """The network itself is."""

    def __init__(self, **options):
        super().__init__()
        self.recompute(**options)


class Alias(nn.Cell):
    """The same cells as attributes and in a container, which is what runs; an activation occurs twice."""

    pairs = {"conv": "bn", "conv2": "bn2"}

    def __init__(self, kind="sequential"):
        super().__init__()
        self.conv, self.bn, self.relu = conv3(3, 6, 2), nn.BatchNorm2d(6), nn.ReLU()
        self.conv2, self.bn2 = conv3(6, 5), nn.BatchNorm2d(5)
        layers = [self.conv, self.bn, self.relu, self.conv2, self.bn2, self.relu]
        self.body = {"sequential": nn.SequentialCell, "cells": nn.CellList, "list": list, "tuple": tuple}[kind](layers)
        self.head = nn.Dense(5, 4)

    def construct(self, x):
        for layer in self.body:
            x = layer(x)
        return self.head(x.mean((2, 3)))


class RecomputedBlock(nn.Cell):
    """A block around the convolutions is."""

    pairs = {f"block.{conv}": f"block.{norm}" for conv, norm in Features.pairs.items()}

    def __init__(self, **options):
        super().__init__()
        self.block = Features()
        self.block.recompute(**options)

    def construct(self, x):
        return 2 * self.block(x)


class TwoParts(nn.Cell):
    """Two parts of the same class, each of which is pruned by itself."""

    def __init__(self):
        super().__init__()
        self.left, self.right = Features(), Features()

    def construct(self, x, y):
        return self.left(x) + self.right(y)


class Conditioned(Features):
    """A whole number beside each image."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 5)

    def construct(self, x, number):
        return self.head(self.features(x).mean((2, 3)) + self.table(number))


class Random(Features):
    """Draws random numbers in each forward pass, and has dropout."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(p=0.5)

    def construct(self, x):
        y = self.embed(x)
        return self.dropout(y) + ops.standard_normal(y.shape), y


class EveryNorm(nn.Cell):
    """BatchNorm in all its forms; only the first convolution's is a pair."""

    pairs = {"conv": "bn", "conv2": None}

    def __init__(self):
        super().__init__()
        self.conv, self.bn = conv3(3, 6, 2), nn.BatchNorm2d(6)
        self.conv2 = conv3(6, 6)
        self.deep = nn.BatchNorm3d(6)
        self.flat, self.own = nn.BatchNorm1d(6), OwnNorm(6)
        self.head = nn.Dense(6, 4)

    def construct(self, x):
        x = ops.relu(self.bn(self.conv(x)))
        x = self.own(self.deep(self.conv2(x).expand_dims(2)).squeeze(2))
        return self.head(self.flat(ops.relu(x).mean((2, 3))))


class OwnNorm(nn.Cell):
    """A BatchNorm that somebody wrote."""

    def __init__(self, channels):
        super().__init__()
        self.scale = ms.Parameter(ms.ops.ones((channels,), ms.float32))
        self.moving_mean = ms.Parameter(ms.ops.zeros((channels,), ms.float32), requires_grad=False)

    def construct(self, x):
        mean = self.moving_mean
        if self.training:
            mean = x.mean((0, 2, 3))
            ops.assign(self.moving_mean, 0.9 * self.moving_mean + 0.1 * mean)
        return (x - mean.reshape((1, -1, 1, 1))) * self.scale.reshape((1, -1, 1, 1))
