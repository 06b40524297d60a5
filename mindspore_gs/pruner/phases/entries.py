"""Where the channels of groups lie in parameters, in the form that a compiled step can use. Pure NumPy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mindspore_gs.graph import ChannelGraph, Group, Role, Slice
from mindspore_gs.graph.operators import BATCH_NORMS

Takes = Callable[[Slice], bool]


@dataclass(frozen=True, eq=False)
class Entries:
    """The channels of several groups, numbered one after the other, and whose each position of each axis is.

    Attributes:
        groups: the groups, each with the number of its first channel.
        count: number of channels of all groups.
        axes: for each (parameter, axis), the number of the channel that each position belongs to, shape (length of the
            axis,); ``count`` where it belongs to none.
    """

    groups: tuple[tuple[Group, int], ...]
    count: int
    axes: dict[tuple[str, int], np.ndarray]

    def norms(self, values: dict[str, np.ndarray]) -> np.ndarray:
        """Euclidean norm of everything that belongs to each channel, shape (count,), in float64.

        Args:
            values: the parameters by name.
        """
        squares = np.zeros(self.count + 1)
        for (name, axis), owners in self.axes.items():
            rows = np.moveaxis(values[name], axis, 0).astype(np.float64).reshape(len(owners), -1)
            np.add.at(squares, owners, (rows ** 2).sum(axis=1))
        return np.sqrt(squares[:-1])

    def positions(self) -> np.ndarray:
        """How many positions of axes belong to each channel, shape (count,)."""
        return np.bincount(np.concatenate(list(self.axes.values())), minlength=self.count + 1)[:self.count]

    def by_group(self, values: np.ndarray) -> dict[Group, np.ndarray]:
        """Numbers for all channels, shape (count,), taken apart."""
        return {group: values[first:first + group.size] for group, first in self.groups}


def entries_of(groups: Sequence[Group], takes: Takes) -> Entries:
    """The channels of those groups that have slices of a kind.

    Args:
        groups: groups of one graph.
        takes: whether a slice counts.
    """
    taken = [(group, [part for part in group.slices if takes(part)]) for group in groups]
    taken = [(group, parts) for group, parts in taken if parts]
    firsts = np.cumsum([0, *(group.size for group, _ in taken)]).tolist()
    count = firsts.pop()
    places: dict[tuple[str, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    for (group, parts), first in zip(taken, firsts):
        for part in parts:
            numbers = np.broadcast_to(np.arange(first, first + group.size)[:, None], part.indices.shape)
            places.setdefault((part.parameter, part.axis), []).append((part.indices, numbers))
    return Entries(tuple((group, first) for (group, _), first in zip(taken, firsts)), count,
                   {key: _filled(found, count) for key, found in places.items()})


def _filled(found: list[tuple[np.ndarray, np.ndarray]], count: int) -> np.ndarray:
    """Positions that no slice names belong to none."""
    owners = np.full(max(int(indices.max()) for indices, _ in found) + 1, count, np.int32)
    for indices, numbers in found:
        owners[indices] = numbers
    return owners


def gammas(graph: ChannelGraph) -> frozenset[str]:
    """The parameters that scale channels in a BatchNorm, wherever it stands."""
    nodes = [node for each in (graph.graph, *graph.others) for node in each.nodes]
    return frozenset(node.inputs[1] for node in nodes if node.op in BATCH_NORMS)


def makes(part: Slice) -> bool:
    """Whether a slice makes the channel, scales it or shifts it."""
    return part.role in (Role.FILTER, Role.BIAS, Role.SCALE, Role.SHIFT)
