"""The order in which channels go: from all channels of each group to as few as are allowed, one removal at a time.

Removal k of a group of s channels on the path of a scope has the key

- ``"layer"``: :math:`k / s`, so that all removals up to key r are what ``prune_rate=r`` removes.
- ``"global"``: the channel's score over its group's mean magnitude, per cost; the cost is what one channel of the dense
  network takes with it, over the mean of that in all groups. A negative score counts times the cost, so that of the bad
  channels the expensive ones go first.
- ``"isomorphic"``: within the groups of one kind the order is that of ``"global"``; the key is the share of the kind's
  channels that are gone afterwards, so that all removals up to key r take the same share r from each kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindspore_gs.pruner.select import round_kept


@dataclass(frozen=True, eq=False)
class Path:
    """Removals in order: each lowers what one group keeps.

    Attributes:
        start: channels that each group keeps before the first removal, shape (groups,).
        keys: ascending, shape (removals,).
        groups: which group loses channels, shape (removals,).
        kept: channels that it keeps afterwards, shape (removals,).
    """

    start: np.ndarray
    keys: np.ndarray
    groups: np.ndarray
    kept: np.ndarray

    def after(self, count: int) -> np.ndarray:
        """Channels that each group keeps after the first ``count`` removals."""
        kept = self.start.copy()
        np.minimum.at(kept, self.groups[:count], self.kept[:count])
        return kept

    def stops(self) -> list[int]:
        """Numbers of removals after which all removals of one key are done, from 0 to all of them."""
        ends = np.flatnonzero(np.diff(self.keys)) + 1
        return [0, *ends.tolist(), len(self.keys)] if len(self.keys) else [0]


def removals(size: int, round_to: int, min_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """What a group of ``size`` channels can keep, descending, and how many channels must be lost to get there.

    >>> removals(10, 4, 1)
    (array([8, 4]), array([2, 6]))
    """
    kept, lost = np.unique(round_kept(size - np.arange(size), size, round_to, min_channels), return_index=True)
    below = kept < size
    return kept[below][::-1], lost[below][::-1]


def layer_path(sizes: Sequence[int], fixed: Sequence[int | None], round_to: int, min_channels: int) -> Path:
    """The path of uniform rates. Groups with a number in ``fixed`` keep that many.

    >>> path = layer_path([4, 2], [None, None], 1, 1)
    >>> path.keys.tolist(), path.groups.tolist(), path.kept.tolist()
    ([0.25, 0.5, 0.5, 0.75], [0, 0, 1, 0], [3, 2, 1, 1])
    """
    steps = [removals(size, round_to, min_channels) for size in sizes]
    return _path(sizes, fixed, [(kept, lost / size) for size, (kept, lost) in zip(sizes, steps)])


def global_path(scores: Sequence[np.ndarray], costs: np.ndarray, fixed: Sequence[int | None], round_to: int,
                min_channels: int) -> Path:
    """The path of the global ranking.

    Args:
        scores: one number for each channel of each group.
        costs: what one channel of each group costs, shape (groups,), positive.
        fixed: number of channels of the groups that are not ranked, else None.
        round_to, min_channels: as in the configuration.
    """
    steps = []
    for score, cost in zip(scores, costs * (len(costs) / costs.sum()) if len(costs) else ()):
        ranked = np.sort(score) / max(float(np.abs(score).mean()), np.finfo(float).tiny)
        keys = np.where(ranked < 0, ranked * cost, ranked / cost)
        kept, _ = removals(len(score), round_to, min_channels)
        sums = np.concatenate(([0.0], np.cumsum(keys)))[len(score) - np.concatenate(([len(score)], kept))]
        steps.append((kept, np.maximum.accumulate(np.diff(sums) / -np.diff(kept, prepend=len(score)))))
    return _path([len(score) for score in scores], fixed, steps)


def isomorphic_path(scores: Sequence[np.ndarray], costs: np.ndarray, kinds: Sequence[str],
                    fixed: Sequence[int | None], round_to: int, min_channels: int) -> Path:
    """The path of the global ranking within each kind, all kinds at the same rate.

    Source: Fang et al., Isomorphic Pruning for Vision Models, ECCV 2024 (there without costs).

    Args:
        scores: one number for each channel of each group.
        costs: what one channel of each group costs, shape (groups,), positive.
        kinds: for each group what it is like, see :func:`~mindspore_gs.pruner.kinds.kinds_of`.
        fixed: number of channels of the groups that are not ranked, else None.
        round_to, min_channels: as in the configuration.

    Examples:
        >>> scores = [np.array([1.0, 9.0]), np.array([4.0, 6.0]), np.array([1.0, 2.0, 3.0, 4.0])]
        >>> path = isomorphic_path(scores, np.ones(3), ["a", "a", "b"], [None] * 3, 1, 1)
        >>> path.keys.tolist(), path.groups.tolist()  # the group with scores 1 and 9 loses its channel first
        ([0.25, 0.25, 0.5, 0.5, 0.75], [0, 2, 1, 2, 2])
    """
    sizes = [len(score) for score in scores]
    steps = [(np.empty(0, np.int64), np.empty(0))] * len(scores)
    for kind in dict.fromkeys(kinds):
        own = [k for k, each in enumerate(kinds) if each == kind and fixed[k] is None]
        path = global_path([scores[k] for k in own], costs[own], [None] * len(own), round_to, min_channels)
        before = {k: np.append(sizes[own[k]], path.kept[path.groups == k][:-1]) for k in range(len(own))}
        lost = np.zeros(len(path.keys))
        for k, kept in before.items():
            lost[path.groups == k] = kept[:np.sum(path.groups == k)] - path.kept[path.groups == k]
        keys = np.cumsum(lost) / max(sum(sizes[k] for k in own), 1)
        for k, group in enumerate(own):
            steps[group] = path.kept[path.groups == k], keys[path.groups == k]
    return _path(sizes, fixed, steps)


def _path(sizes: Sequence[int], fixed: Sequence[int | None], steps: Sequence[tuple[np.ndarray, np.ndarray]]) -> Path:
    start = np.array([size if number is None else number for size, number in zip(sizes, fixed)], dtype=np.int64)
    free = [k for k, number in enumerate(fixed) if number is None]
    kept, keys, groups = (np.concatenate([np.empty(0, kind), *arrays]) for kind, arrays in (
        (np.int64, [steps[k][0] for k in free]), (float, [steps[k][1] for k in free]),
        (np.int64, [np.full(len(steps[k][0]), k) for k in free])))
    order = np.argsort(keys, kind="stable")
    return Path(start, keys[order], groups[order], kept[order])
