"""A network done by hand, and what is seen of its channels."""

import numpy as np
from mindspore import nn

from mindspore_gs.graph import trace
from mindspore_gs.pruner.channels import channels_of
from mindspore_gs.pruner.evidence import observe
from tests.helpers import image, randomise

SHAPE = (1, 2, 4, 4)
KINDS = ("mean", "variance", "zeros", "rank", "independence", "gram", "covariance", "contributions")
BY_DATA = ("apoz", "hrank", "chip", "redundancy", "thinet", "lasso")


def network():
    """Four channels between a 1x1 and a 3x3 convolution; small enough that every position is looked at."""
    return randomise(nn.SequentialCell(nn.Conv2d(2, 4, 1, has_bias=True), nn.ReLU(),
                                       nn.Conv2d(4, 3, 3, pad_mode="valid", has_bias=True)))


def batches(count=3, samples=4, shape=SHAPE):
    return [image(samples, *shape[1:], seed=k) for k in range(count)]


def hidden(net, data):
    """What the 3x3 convolution is given, shape (samples, 4, 4, 4), in float64."""
    x = np.concatenate([batch.asnumpy() for batch in data]).astype(np.float64)
    weight, bias = net[0].weight.asnumpy()[:, :, 0, 0].astype(np.float64), net[0].bias.asnumpy()
    return np.maximum(np.einsum("oc,nchw->nohw", weight, x) + bias[:, None, None], 0)


def added(net, maps):
    """What each channel adds to each output of the 3x3 convolution at each position: (samples, 2, 2, outputs, 4)."""
    weight = net[2].weight.asnumpy().astype(np.float64)
    return np.stack([[[[[(maps[n, c, i:i + 3, j:j + 3] * weight[o, c]).sum() for c in range(4)] for o in range(3)]
                       for j in range(2)] for i in range(2)] for n in range(len(maps))])


def free(net, shape, residual="couple"):
    graph = trace(net, shape)
    return graph, [group for group in graph.groups(residual) if group.blocked_by is None]


def seen(net, data, kinds=KINDS, shape=SHAPE, residual="couple"):
    """The channels of each free group, with evidence."""
    graph, groups = free(net, shape, residual)
    return channels_of(net, graph, groups, observe(net, graph, groups, data, kinds=kinds))
