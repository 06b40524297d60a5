"""What a network costs with some of its channels, from the channel graph alone: parameters, multiply-accumulates."""

from collections.abc import Sequence
from math import prod

import numpy as np

from mindspore_gs.graph import ChannelGraph, Group
from mindspore_gs.graph.ir import Graph
from mindspore_gs.graph.operators import BATCH_NORMS, CONVOLUTIONS, DENSE, TRANSPOSED
from mindspore_gs.graph.restores import restore_path


def positions(graph: Graph) -> dict[str, int]:
    """How often each weight of a convolution or dense layer is applied to one sample, over all of its uses.

    A convolution whose output has shape :math:`(N, C, H, W)` applies its weight at :math:`H W` positions, a transposed
    one at the positions of its input, each for as many multiply-accumulates (MACs) as the weight has entries. No
    channel that may be removed lies along another axis there, so the number is the same for every slim version.
    """
    found: dict[str, int] = {}
    batch = next((shape[0] for shape in graph.inputs.values() if shape), 1)
    shapes = dict(graph.inputs)
    for node in graph.nodes:
        shapes[node.name] = node.shape
        weight = graph.weight_of(node) if node.op in (*CONVOLUTIONS, *TRANSPOSED, *DENSE) else None
        if weight is not None:
            shape = shapes[node.inputs[0]] if node.op in TRANSPOSED else node.shape
            channels = shape[-1] if node.op in DENSE else shape[1]
            found[weight] = found.get(weight, 0) + int(np.prod(shape, dtype=np.int64)) // batch // channels
    return found


def moving_statistics(graph: Graph) -> set[str]:
    """Names of BatchNorm's moving means and variances, which are not counted as parameters."""
    return {name for node in graph.nodes if node.op in BATCH_NORMS for name in node.inputs[3:5]}


def counted_parameters(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Shapes of the parameters that count: all that the network uses but BatchNorm's moving mean and variance."""
    moving = moving_statistics(graph)
    return {name: shape for name, shape in graph.parameters.items()
            if name not in moving and restore_path(name) is None}


def count_parameters(graph: Graph) -> int:
    """Number of parameters that the network uses, without BatchNorm's moving mean and variance."""
    return sum(prod(shape) for shape in counted_parameters(graph).values())


def layer_macs(graph: Graph) -> dict[str, int]:
    """MACs for one sample of each convolution and dense layer, by the name of its weight.

    A convolution with weight :math:`(C_o, C_i/g, k_h, k_w)` and output :math:`(N, C_o, H, W)` has
    :math:`H W C_o (C_i/g) k_h k_w`; a weight that is used several times counts each time.
    """
    return {weight: count * prod(graph.parameters[weight]) for weight, count in positions(graph).items()}


class CostModel:
    r"""Parameters and MACs of a network for any number of channels that its groups keep.

    What stays along one axis of a parameter is its length less what each group takes away, so a parameter has
    :math:`\prod_a (n_a - \sum_g w_{ag} (s_g - k_g))` entries: :math:`n_a` is the length of axis a, :math:`s_g` the
    size of group g, :math:`k_g` the channels that it keeps, :math:`w_{ag}` the positions of one channel on the axis.
    A layer has its weight's entries times :func:`positions` MACs. Nothing is traced, made slim or exported.

    Args:
        graph: the traced network.
        groups: the groups that may lose channels, in the order in which numbers are given later.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs.graph import trace
        >>> net = nn.SequentialCell(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
        >>> graph = trace(net, (1, 3, 10, 10))
        >>> model = CostModel(graph, graph.groups()[:1])
        >>> model.params([8]), model.macs([8])                  # 24 + 16 + 32, and 100 * (24 + 32)
        (72, 5600)
        >>> model.params([[8], [2]]).tolist(), model.macs([[8], [2]]).tolist()
        ([72, 18], [5600, 1400])
    """

    def __init__(self, graph: ChannelGraph, groups: Sequence[Group]):
        shapes = counted_parameters(graph.graph)
        rows = {(name, axis): k for k, (name, axis) in enumerate(
            (name, axis) for name, shape in shapes.items() for axis in range(len(shape)))}
        self.sizes = np.array([group.size for group in groups], dtype=np.int64)
        self._lengths = np.array([shapes[name][axis] for name, axis in rows], dtype=np.int64)
        self._taken = np.zeros((len(groups), len(rows)), dtype=np.int64)
        for k, group in enumerate(groups):
            for part in group.slices:
                if part.parameter in shapes:
                    self._taken[k, rows[part.parameter, part.axis]] = part.indices.shape[1]
        rank = max((len(shape) for shape in shapes.values()), default=0)
        self._axes = np.full((len(shapes), rank), len(rows))
        for k, (name, shape) in enumerate(shapes.items()):
            self._axes[k, :len(shape)] = [rows[name, axis] for axis in range(len(shape))]
        uses = positions(graph.graph)
        self._positions = np.array([uses.get(name, 0) for name in shapes], dtype=np.int64)

    def params(self, kept: Sequence | np.ndarray) -> np.ndarray:
        """Number of parameters, without BatchNorm's moving statistics.

        Args:
            kept: channels that each group keeps, shape (groups,) or (candidates, groups).

        Returns:
            One integer for each candidate, shape () or (candidates,).
        """
        return self._entries(kept).sum(axis=-1)

    def macs(self, kept: Sequence | np.ndarray) -> np.ndarray:
        """MACs of convolutions and dense layers for one sample; arguments and result as in :meth:`params`."""
        return self._entries(kept) @ self._positions

    def _entries(self, kept: Sequence | np.ndarray) -> np.ndarray:
        """Entries of each parameter."""
        left = self._lengths - (self.sizes - np.asarray(kept, dtype=np.int64)) @ self._taken
        one = np.ones((*left.shape[:-1], 1), dtype=np.int64)
        return np.concatenate((left, one), axis=-1)[..., self._axes].prod(axis=-1)
