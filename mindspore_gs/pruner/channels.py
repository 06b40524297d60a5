"""A group of channels as a criterion sees it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mindspore import nn

from mindspore_gs._cells import owners_by_name
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import ChannelGraph, Group, Role, Slice

Evidence = Mapping[str, Mapping[Any, np.ndarray]]  # kind -> name of a weight, or slice of a group -> what was found
Criterion = Callable[["Channels"], np.ndarray]


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of a group, one row each; what a criterion is called with.

    Attributes:
        name: path of the first cell that makes the channels.
        members: paths of all cells that make them.
        size: number of channels.
        generator: for criteria that draw random numbers.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs.graph import Role, trace
        >>> from mindspore_gs.pruner.channels import channels_of
        >>> net = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> graph = trace(net, (1, 3, 16, 16))
        >>> channels = channels_of(net, graph, graph.groups()[:1])[0]
        >>> [rows.shape for rows in channels.rows(Role.FILTER)], channels.rows(Role.SCALE)[0].tolist()[:2]
        ([(8, 27)], [[1.0], [1.0]])
    """

    name: str
    members: tuple[str, ...]
    size: int
    generator: np.random.Generator
    _slices: tuple[Slice, ...]
    _graph: ChannelGraph
    _value: Callable[[str], np.ndarray]
    _evidence: Evidence

    def rows(self, role: Role) -> list[np.ndarray]:
        """The entries of every parameter with this role, as float64 arrays of shape (size, entries).

        A filter of a convolution has ``in_channels * kernel_height * kernel_width`` entries, a gamma has one.
        """
        return [self._rows(part) for part in self._slices if part.role is role]

    def _rows(self, part: Slice) -> np.ndarray:
        values = np.moveaxis(self._value(part.parameter), part.axis, 0)[part.indices]
        return values.reshape(self.size, -1).astype(np.float64)

    def evidence(self, kind: str) -> list[np.ndarray]:
        """What has been observed of the channels, one array for each layer at which it was.

        Args:
            kind: a name in :data:`~mindspore_gs.pruner.evidence.KINDS`, such as ``"kfscale"``: the knockoff scales,
                from 0 (the knockoff wins) to 1. The others are explained at
                :func:`~mindspore_gs.pruner.evidence.observe`.

        Returns:
            Arrays of shape (size,), or (size, size) for ``"gram"``, ``"covariance"`` and ``"contributions"``.
        """
        known = self._evidence.get(kind, {})
        return [known[part] if part in known else known[part.parameter][part.indices].mean(axis=1).astype(np.float64)
                for part in self._slices
                if part in known or (part.role is Role.FILTER and part.parameter in known)]

    def observed(self, kind: str) -> bool:
        """Whether such evidence has been looked for, of these channels or of others."""
        return kind in self._evidence

    def readers(self) -> list["Channels"]:
        """The same channels at each layer that reads them: its weights (``Role.INPUT``) and its evidence alone."""
        return [replace(self, _slices=(part,)) for part in self._slices if part.role is Role.INPUT]

    def layers(self) -> list["Channels"]:
        """The same channels in each layer that makes them: its filters, bias and BatchNorm alone."""
        found = []
        for part in self._slices:
            if part.role is not Role.FILTER:
                continue
            writer = next(w for w in self._graph.writers if w.weight == part.parameter)
            own = {writer.weight, writer.bias, *writer.norm}
            cell = self._graph.cells.get(part.parameter, part.parameter)
            slices = tuple(s for s in self._slices if s.parameter in own and s.role is not Role.INPUT)
            found.append(Channels(cell, (cell,), self.size, self.generator, slices, self._graph, self._value,
                                  self._evidence))
        return found


def channels_of(net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group], evidence: Evidence | None = None,
                seed: int = 0, gone: Mapping[tuple[str, int], np.ndarray] | None = None) -> list[Channels]:
    """What criteria see of the groups of a network.

    Args:
        net: the network, in its original form, at the time of the call.
        graph: its channel graph.
        groups: groups of the graph.
        evidence: for each kind, by the name of a layer's weight, one number for each of the layer's channels, or by a
            slice of a group, what was found of the group's channels there.
        seed: of the random numbers.
        gone: for (parameter, axis) the positions that shall read as zero, as truth values. Default: none.
    """
    owned = owners_by_name(net)
    values: dict[str, np.ndarray] = {}

    def value(name: str) -> np.ndarray:
        if name not in values:
            _, cell, attribute = owned[name][0]
            values[name] = getattr(cell, attribute).float().asnumpy().copy()
            for (parameter, axis), positions in (gone or {}).items():
                if parameter == name:
                    np.moveaxis(values[name], axis, 0)[positions] = 0.0
        return values[name]

    generator = np.random.default_rng(seed)
    return [Channels(group.name, group.members, group.size, generator, group.slices, graph, value, evidence or {})
            for group in groups]


def score(criterion: Criterion, channels: Channels) -> np.ndarray:
    """The scores of a group, checked.

    Raises:
        TypeError: the criterion does not return numbers.
        ValueError: it does not give one number for each channel.
        PruningError: a number is not finite.
    """
    given = criterion(channels)
    scores = _as_numbers(given)
    if scores is None:
        raise TypeError(f"the criterion must return one real number for each of the {channels.size} channels of "
                        f"{channels.name!r}, but returned {type(given).__name__!r}"
                        f"{f' of {given.dtype}' if isinstance(given, np.ndarray) else ''}.")
    if scores.shape != (channels.size,):
        raise ValueError(f"the criterion must give one number for each of the {channels.size} channels of "
                         f"{channels.name!r}, but gave shape {scores.shape}.")
    wrong = np.flatnonzero(~np.isfinite(scores))
    if len(wrong):
        raise PruningError(f"the criterion gives {len(wrong)} of the {channels.size} channels of {channels.name!r} no "
                           f"finite number (channel {wrong[0]}: {scores[wrong[0]]}). Return finite numbers; if it "
                           "reads knockoff scales, the training of these has diverged: lower its learning rate.")
    return scores


def _as_numbers(given: object) -> np.ndarray | None:
    """What a criterion returned, in float64; None where it is not made of real numbers."""
    try:
        found = np.asarray(given) if not hasattr(given, "asnumpy") else np.asarray(given, dtype=np.float64)
        if found.dtype.kind not in "biufO" or isinstance(given, dict):
            return None
        numbers: np.ndarray = found.astype(np.float64)
        return numbers
    except (TypeError, ValueError):
        return None
