"""Masking by hand, independent of the package: zeros at the source of a channel."""

import mindspore as ms
import numpy as np

from mindspore_gs.graph import trace
from mindspore_gs.slim import PrunePlan, relative_difference, slim
from tests.helpers import image, randomise


def silence(net, name, gone, axis=0):
    """Set the entries ``gone`` of a parameter to zero."""
    parameter = next(p for p in net.get_parameters() if p.name == name)
    values = parameter.asnumpy().copy()
    values[(slice(None),) * axis + (list(gone),)] = 0
    parameter.set_data(ms.Tensor(values, parameter.dtype))


def slim_by_group(build, inputs, name, gone, seed=0):
    """The network without the channels ``gone`` of a group, and the network itself, both with random parameters."""
    net = randomise(build(), seed)
    graph = trace(net, *inputs)
    group = next(g for g in graph.groups() if name in g.members)
    plan = PrunePlan.from_groups(graph, {group: [k not in gone for k in range(group.size)]})
    return slim(net, plan), randomise(build(), seed)


def assert_each_by_itself(build, shape, gone=(0, 3, 6)):
    """Channels of ``conv``, which has eight and a BatchNorm behind it, go by themselves, and nothing else changes."""
    small, full = slim_by_group(build, (shape,), "conv", set(gone))
    for name in ("bn.gamma", "bn.beta"):
        silence(full, name, gone)
    assert small.conv.weight.shape == (8 - len(gone), 6, 3, 3)
    assert_same(small, full, image(2, *shape[1:]))


def assert_same(small, full, *inputs):
    """Both compute the same in evaluation mode."""
    small.set_train(False)
    full.set_train(False)
    expected = full(*inputs)
    assert relative_difference(small(*inputs), expected) <= 1e-5


def reasons(build, *inputs):
    """Members of each group, with its size and the name of the reason for which it is blocked."""
    groups = trace(randomise(build()), *inputs).groups()
    return {" ".join(g.members): (g.size, g.blocked_by and g.blocked_by.reason.name) for g in groups}


def zeros(shape, dtype=np.float32):
    """A tensor of zeros."""
    return ms.Tensor(np.zeros(shape, dtype))
