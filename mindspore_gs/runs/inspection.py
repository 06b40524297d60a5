"""What could be pruned: the groups of a channel graph, and what removing half of each would save."""

import json
from dataclasses import asdict, dataclass

import numpy as np

from mindspore_gs.cost import CostModel
from mindspore_gs.graph import ChannelGraph, Group, Role
from mindspore_gs.pruner.residual import prunable_groups


@dataclass(frozen=True)
class Half:
    """What removing ``size // 2`` channels of one group, and nothing else, saves.

    Attributes:
        channels: number of channels removed.
        params: parameters saved, without BatchNorm's moving statistics.
        macs: multiply-accumulates saved for one sample.
        params_share, macs_share: the same as shares of the whole network, 0 to 1.
    """

    channels: int
    params: int
    macs: int
    params_share: float
    macs_share: float


@dataclass(frozen=True)
class Obstacle:
    """Why a group is blocked: the reason's name and sentence, the operator, and its place in the network."""

    reason: str
    sentence: str
    operator: str
    place: str


@dataclass(frozen=True)
class GroupRow:
    """One group: the cells that lose the same channels, how many there are, and either ``half`` or ``blocked``.

    Attributes:
        members: paths of the cells that make the channels.
        weights: names of their weights.
        channels: number of channels that can be removed one by one.
        half: what removing half of them saves; None where the group is blocked.
        blocked: why nothing can be removed; None where the group is free.
    """

    members: tuple[str, ...]
    weights: tuple[str, ...]
    channels: int
    half: Half | None
    blocked: Obstacle | None


@dataclass(frozen=True)
class Layer:
    """One layer that makes channels, for the picture.

    Attributes:
        cell: path of the cell.
        channels: number of output channels.
        runs: (index of the group, first channel, number of channels), from the first channel to the last.
    """

    cell: str
    channels: int
    runs: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Inspection:
    """What could be pruned in one network.

    Attributes:
        network: name of the network's class.
        inputs: shapes that it was traced with.
        residual: ``"couple"``, ``"keep"`` or ``"inner"``.
        params: number of parameters, without BatchNorm's moving statistics.
        macs: multiply-accumulates of convolutions and dense layers for one sample.
        prunable_params: how many of the parameters sit in a slice of a free group.
        groups: the groups, in order of execution.
        layers: the layers that make channels, in order of execution; not part of the JSON.
    """

    network: str
    inputs: tuple[tuple[int, ...], ...]
    residual: str
    params: int
    macs: int
    prunable_params: int
    groups: tuple[GroupRow, ...]
    layers: tuple[Layer, ...]

    @property
    def prunable_share(self) -> float:
        """Prunable parameters as a share of all, 0 to 1."""
        return share(self.prunable_params, self.params)

    @property
    def free(self) -> tuple[GroupRow, ...]:
        """The groups that can lose channels."""
        return tuple(row for row in self.groups if row.blocked is None)

    @property
    def blocked(self) -> tuple[GroupRow, ...]:
        """The groups that stay whole."""
        return tuple(row for row in self.groups if row.blocked is not None)

    def to_json(self) -> str:
        """The inspection as JSON text; docs/inspect.md lists the keys."""
        document = asdict(self)
        groups = document.pop("groups")
        del document["layers"]
        document |= {"prunable_share": self.prunable_share, "free_groups": len(self.free),
                     "blocked_groups": len(self.blocked), "groups": groups}
        return json.dumps(document, indent=2)


def share(part: int, whole: int) -> float:
    """``part / whole``, and 0 where there is nothing."""
    return part / whole if whole else 0.0


def inspect_graph(graph: ChannelGraph, network: str, residual: str = "couple") -> Inspection:
    """Everything that the command shows, from a traced network. Linear in the entries of the groups' slices.

    Args:
        graph: the traced network.
        network: its name.
        residual: how residual sums are treated; see :func:`~mindspore_gs.pruner.residual.prunable_groups`.

    Raises:
        TypeError: ``graph`` is no channel graph.
        ValueError: ``residual`` is none of "couple", "keep" and "inner".

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs.graph import trace
        >>> net = nn.SequentialCell(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1))
        >>> result = inspect_graph(trace(net, (1, 3, 10, 10)), "Two")
        >>> [(row.members, row.half.params, row.half.macs) for row in result.free]
        [(('0',), 28, 2800)]
    """
    if not isinstance(graph, ChannelGraph):
        raise TypeError(f"inspect_graph() takes the channel graph that trace() returns, but got "
                        f"{type(graph).__name__!r}.")
    groups = prunable_groups(graph, residual)
    free = [group for group in groups if group.blocked_by is None]
    cost = CostModel(graph, free)
    params, macs = int(cost.params(cost.sizes)), int(cost.macs(cost.sizes))
    kept = cost.sizes - np.diag(cost.sizes // 2)
    halves = {group: _half(int(k), params - int(p), macs - int(m), params, macs)
              for group, k, p, m in zip(free, cost.sizes // 2, cost.params(kept), cost.macs(kept))}
    rows = tuple(GroupRow(group.members, group.weights, group.size, halves.get(group), _obstacle(group))
                 for group in groups)
    prunable = params - int(cost.params(np.zeros(len(free), int)))
    return Inspection(network, graph.examples(), residual, params, macs, prunable, rows, _layers(graph, groups))


def _half(channels: int, params: int, macs: int, all_params: int, all_macs: int) -> Half:
    return Half(channels, params, macs, share(params, all_params), share(macs, all_macs))


def _obstacle(group: Group) -> Obstacle | None:
    by = group.blocked_by
    return None if by is None else Obstacle(by.reason.name, by.reason.value, by.operator, by.source)


def _layers(graph: ChannelGraph, groups: tuple[Group, ...]) -> tuple[Layer, ...]:
    """For each weight that makes channels, which group each of them belongs to."""
    owner = {weight: np.zeros(graph.graph.parameters[weight][axis], dtype=int)
             for weight, axis in graph.outputs.items()}
    for number, group in enumerate(groups):
        for part in group.slices:
            if part.role is Role.FILTER:
                owner[part.parameter][part.indices.reshape(-1)] = number
    weights = [weight for weight in dict.fromkeys(w.weight for w in graph.writers) if weight in owner]
    return tuple(Layer(graph.cells.get(w, w), len(owner[w]), _runs(owner[w])) for w in weights)


def _runs(owner: np.ndarray) -> tuple[tuple[int, int, int], ...]:
    starts = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist()]
    return tuple((int(owner[a]), a, b - a) for a, b in zip(starts, [*starts[1:], len(owner)]))
