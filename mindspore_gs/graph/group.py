"""A group: channels that can only be removed together, and everything that goes with each of them."""

from dataclasses import dataclass, replace

import numpy as np

from mindspore_gs.graph.blocked import Blocked, BlockedBy
from mindspore_gs.graph.roles import Role


@dataclass(frozen=True, eq=False)
class Slice:
    """Where the channels of a group sit in one parameter.

    Attributes:
        parameter: name of the parameter.
        axis: axis along which the channels lie.
        indices: array of shape (channels of the group, positions of one channel).
        role: what the entries do for the channel.
    """

    parameter: str
    axis: int
    indices: np.ndarray
    role: Role = Role.INPUT


@dataclass(frozen=True, eq=False)
class Group:
    """Channels that are alike: each of them can be removed, with its entry in every slice.

    Attributes:
        name: path of the first cell that makes the channels.
        members: paths of all cells that make them; they lose the same channels.
        size: number of channels.
        slices: the parameters, axes and indices that go with each channel.
        weights: for each member, the name of its weight.
        restored: weights of the members whose output is put back to full width right behind them
            (``residual="keep"``).
        blocked_by: why the channels may not be removed, or None.
    """

    name: str
    members: tuple[str, ...]
    size: int
    slices: tuple[Slice, ...]
    weights: tuple[str, ...]
    restored: tuple[str, ...] = ()
    blocked_by: BlockedBy | None = None

    def __deepcopy__(self, memo: dict) -> "Group":
        return self

    def blocked(self, reason: Blocked, operator: str) -> "Group":
        """The same channels, which may not be removed; a reason that was there already stays."""
        return replace(self, blocked_by=self.blocked_by or BlockedBy(reason, operator, self.name))

    def channel(self, index: int) -> list[tuple[str, int, tuple[int, ...]]]:
        """The (parameter, axis, indices) that go with channel ``index`` of the group."""
        return [(s.parameter, s.axis, tuple(int(k) for k in s.indices[index])) for s in self.slices]

    def slice_of(self, parameter: str, axis: int) -> Slice:
        """The slice of one parameter along one axis."""
        return next(s for s in self.slices if (s.parameter, s.axis) == (parameter, axis))
