r"""How many channels does each group keep, so that a given share of the network is left?

Both scopes order the removals of single channels (or of as many as ``round_to`` says) in one path through the
network, from all channels to as few as ``min_channels`` allows, and go along it until the target is met.

``scope="layer"``: removal k of a group of s channels has the key :math:`k / s`, so that all removals up to key r are
what ``prune_rate=r`` removes. The share left after each key falls, and the nearest is found by bisection. Where it
is farther than :data:`CLOSE` from the target, the uniform steps are too coarse and get broken: from the last uniform
rate that leaves more than the target, removals are carried out one at a time, lowest key first and groups in order of
execution. One that would lead away from the target, or past it by more than :data:`CLOSE`, is left out and closes its
group. This ends within :data:`CLOSE`, before a removal that would lead away, or when no group is open.

``scope="global"``: the key is the channel's score over its group's mean magnitude, per cost; the cost is what one
channel of the dense network takes with it (MACs, or parameters for ``"params"``), over the mean of that in all
groups. A negative score counts times the cost, so that of the bad channels the expensive ones go first. Single
removals are left out as above.
"""

import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mindspore_gs.cost import CostModel
from mindspore_gs.errors import PruningError
from mindspore_gs.progress import step
from mindspore_gs.pruner.select import round_kept

NAMES = {"macs": "MACs", "params": "parameters", "latency": "latency"}
KINDS = tuple(NAMES)
SCOPES = ("layer", "global")
TOLERANCE = 0.02
CLOSE = 0.01
CANDIDATES = 8

Share = Callable[[np.ndarray], float]
_log = logging.getLogger("mindspore_gs")


@dataclass(frozen=True)
class Target:
    """The share of ``kind`` ("macs", "params" or "latency") that is left of the dense network, in (0, 1).

    A latency is measured in ``engine``; see :func:`mindspore_gs.engines.engine`.
    """

    kind: str
    share: float
    engine: str | Callable = "mindspore"


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


def _path(sizes: Sequence[int], fixed: Sequence[int | None], steps: Sequence[tuple[np.ndarray, np.ndarray]]) -> Path:
    start = np.array([size if number is None else number for size, number in zip(sizes, fixed)], dtype=np.int64)
    free = [k for k, number in enumerate(fixed) if number is None]
    kept, keys, groups = (np.concatenate([np.empty(0, kind), *arrays]) for kind, arrays in (
        (np.int64, [steps[k][0] for k in free]), (float, [steps[k][1] for k in free]),
        (np.int64, [np.full(len(steps[k][0]), k) for k in free])))
    order = np.argsort(keys, kind="stable")
    return Path(start, keys[order], groups[order], kept[order])


def meet(path: Path, share: Share, target: Target) -> np.ndarray:
    """Follow a path until the target is met.

    Args:
        path: the removals in order.
        share: what is left of the dense network, in (0, 1], for the channels that each group keeps.
        target: what shall be left.

    Returns:
        Channels that each group keeps, shape (groups,).

    Raises:
        PruningError: nothing found along the path is within 0.02 of the target; says what can be reached.
    """
    stops = path.stops()
    index = bisect_left(stops, -target.share, key=lambda count: -share(path.after(count)))
    found = [path.after(stop) for stop in stops[max(index - 1, 0):index + 1]]
    best = min(found, key=lambda kept: abs(share(kept) - target.share))
    if abs(share(best) - target.share) > CLOSE and 0 < index < len(stops):
        broken = _one_at_a_time(path, stops[index - 1], share, target.share)
        best = min(best, broken, key=lambda kept: abs(share(kept) - target.share))
    if abs(share(best) - target.share) > TOLERANCE:
        low, high = share(path.after(stops[-1])), share(path.start)
        raise PruningError(f"found no choice of channels that leaves {target.share} of the {NAMES[target.kind]} within "
                           f"{TOLERANCE}; what is left is from {low:.3f} to {high:.3f}, and the nearest to the target "
                           f"is {share(best):.3f}. Change 'target', 'round_to', 'min_channels', 'rates' or 'ignore'.")
    return best


def _one_at_a_time(path: Path, first: int, share: Share, target: float) -> np.ndarray:
    """Break the steps: single removals from the ``first`` one on, as the module says."""
    kept = path.after(first)
    left, closed = share(kept), set()
    for group, number in zip(path.groups[first:].tolist(), path.kept[first:].tolist()):
        if group in closed:
            continue
        trial = kept.copy()
        trial[group] = number
        after = share(trial)
        if after >= target - CLOSE and abs(after - target) <= abs(left - target):
            kept, left = trial, after
        elif abs(left - target) <= CLOSE:
            break
        else:
            closed.add(group)
    return kept


def meet_latency(path: Path, macs: Share, measure: Share, target: Target) -> np.ndarray:
    """Follow a path until the measured latency meets the target.

    Each candidate lies between the last one that was too slow (at first the dense network) and the last one that was
    too fast (at first nothing at all): on the straight line, latency over MACs, and every third time in the middle.
    A wrong measurement of a busy machine therefore ends in a wrong place, but it ends. At most :data:`CANDIDATES` are
    measured.

    Args:
        path: the removals in order.
        macs: share of the MACs that is left for the channels that each group keeps.
        measure: share of the latency that is left, measured.
        target: what shall be left.

    Returns:
        Channels that each group keeps. Where no candidate is within 0.02, those of the nearest, with a warning.

    Raises:
        PruningError: every candidate is slower than the target by more than 0.02.
    """
    share, total = target.share, len(path.keys)
    slow, fast = (-1, 1.0, 1.0), (total + 1, 0.0, 0.0)
    measured: dict[int, float] = {}
    while len(measured) < CANDIDATES and fast[0] - slow[0] > 1:
        wanted = _between(slow, fast, share, halve=len(measured) % 3 == 2)
        count = bisect_left(range(total), -wanted, key=lambda number: -macs(path.after(number)))
        count = min(max(count, slow[0] + 1), fast[0] - 1)
        kept = path.after(count)
        measured[count] = measure(kept)
        point = (count, macs(kept), measured[count])
        _log.info("candidate %d: %.3f of the MACs, %.3f of the latency", len(measured), *point[1:])
        if abs(measured[count] - share) <= TOLERANCE:
            return kept
        slow, fast = (point, fast) if measured[count] > share else (slow, point)
    count, nearest = min(measured.items(), key=lambda item: abs(item[1] - share))
    said = (f"none of {len(measured)} candidates has {share} of the dense network's latency within {TOLERANCE}; "
            f"the nearest has {nearest:.3f} with {macs(path.after(count)):.3f} of the MACs")
    if min(measured.values()) > share:
        raise PruningError(f"{said}. Set a higher target.")
    _log.warning("%s, and is taken.", said)
    return path.after(count)


def _between(slow: tuple[int, float, float], fast: tuple[int, float, float], target: float, halve: bool) -> float:
    """The MACs at which the latency is expected to be ``target``; points are (removals, MACs, latency)."""
    if halve or slow[2] <= fast[2]:
        return (slow[1] + fast[1]) / 2
    return fast[1] + (target - fast[2]) * (slow[1] - fast[1]) / (slow[2] - fast[2])


def numbers_kept(target: Target, scope: str, model: CostModel, scores: Sequence[np.ndarray],
                 fixed: Sequence[int | None], round_to: int, min_channels: int, measure: Share) -> list[int]:
    """How many channels each group keeps.

    Args:
        target: what shall be left.
        scope: "layer" or "global".
        model: the cost of the network.
        scores: one number for each channel of each group.
        fixed: number of channels of the groups that have a rate of their own, else None.
        round_to, min_channels: as in the configuration.
        measure: share of the latency that is left for the channels that each group keeps; for "latency" only.

    Raises:
        PruningError: the target cannot be met.
    """
    cost = model.params if target.kind == "params" else model.macs
    dense = int(cost(model.sizes))

    def share(kept: np.ndarray) -> float:
        return int(cost(kept)) / dense

    if scope == "layer":
        path = layer_path(model.sizes.tolist(), fixed, round_to, min_channels)
    else:
        one_less = model.sizes - np.eye(len(model.sizes), dtype=np.int64)
        path = global_path(scores, dense - cost(one_less), fixed, round_to, min_channels)
    if target.kind == "latency":
        with step("timing candidates, at most so many", CANDIDATES) as search:
            return meet_latency(path, share, search.counting(measure), target).tolist()
    return meet(path, share, target).tolist()
