"""How many channels does each group keep, so that a given share of the network is left?

``scope="layer"``, ``"global"`` and ``"isomorphic"`` order the removals of single channels (or of as many as
``round_to`` says) in one path through the network (``paths.py``), and go along it until the target is met. The share
left after each key falls, and the nearest is found by bisection. Where it is farther than :data:`CLOSE` from the
target, the uniform steps are too coarse and get broken: from the last stop that leaves more than the target, removals
are carried out one at a time, lowest key first and groups in order of execution. One that would lead away from the
target, or past it by more than :data:`CLOSE`, is left out and closes its group. This ends within :data:`CLOSE`, before
a removal that would lead away, or when no group is open.

``scope="error"`` orders nothing: ``allocation.py`` looks for the widths of least error.
"""

import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from mindspore_gs.cost import CostModel
from mindspore_gs.errors import TargetError
from mindspore_gs.progress import step
from mindspore_gs.pruner.allocation import Curve, Options, least_error
from mindspore_gs.pruner.paths import Path, global_path, isomorphic_path, layer_path
from mindspore_gs.pruner.prices import Cheaper

NAMES = {"macs": "MACs", "params": "parameters", "latency": "latency"}
KINDS = tuple(NAMES)
SCOPES = ("layer", "global", "isomorphic", "error")
TOLERANCE = 0.02
CLOSE = 0.01
CANDIDATES = 8
STEPS = 3  # of a group's widths that are tried on each side of the path
WIDEST = 16  # groups that are tried in pairs: a network of more has finer steps than the tolerance

Share = Callable[[np.ndarray], float]
Costs = Callable[[np.ndarray], np.ndarray]
_log = logging.getLogger("mindspore_gs")


@dataclass(frozen=True)
class Target:
    """The share of ``kind`` ("macs", "params" or "latency") that is left of the dense network, in (0, 1).

    A latency is measured in ``engine``; see :func:`mindspore_gs.engines.engine`.
    """

    kind: str
    share: float
    engine: str | Callable = "mindspore"


def meet(path: Path, share: Share, target: Target, aside: bool = False) -> np.ndarray:
    """Follow a path until the target is met.

    Args:
        path: the removals in order.
        share: what is left of the dense network, in (0, 1], for the channels that each group keeps.
        target: what shall be left.
        aside: whether widths beside the path will do, where none on it is near enough. Default: False.

    Returns:
        Channels that each group keeps, shape (groups,).

    Raises:
        TargetError: nothing found along the path is within 0.02 of the target; says what can be reached.
    """
    stops = path.stops()
    index = bisect_left(stops, -target.share, key=lambda count: -share(path.after(count)))
    found = [path.after(stop) for stop in stops[max(index - 1, 0):index + 1]]
    best = min(found, key=lambda kept: abs(share(kept) - target.share))
    if abs(share(best) - target.share) > CLOSE and 0 < index < len(stops):
        broken = _one_at_a_time(path, stops[index - 1], share, target.share)
        best = min(best, broken, key=lambda kept: abs(share(kept) - target.share))
    if abs(share(best) - target.share) > TOLERANCE and aside:
        best = _beside(path, best, share, target.share)
    if abs(share(best) - target.share) > TOLERANCE:
        low, high = share(path.after(stops[-1])), share(path.start)
        raise _unreachable(target, low, high, share(best))
    return best


def _beside(path: Path, near: np.ndarray, share: Share, target: float) -> np.ndarray:
    """The widths nearest to the target with at most two groups up to :data:`STEPS` steps from where they are.

    Of those within :data:`CLOSE`, the ones that move the fewest channels. In a network of few narrow layers one channel
    is more than the tolerance, and only such a combination may meet the target.
    """
    places = [np.append(path.start[g], path.kept[path.groups == g]) for g in range(len(near))]
    around = [widths[max(0, k - STEPS):k + STEPS + 1] for widths, k in
              ((widths, int(np.flatnonzero(widths == kept)[0])) for widths, kept in zip(places, near))]
    trials = {tuple(near)}
    for g, h in combinations(range(min(len(near), WIDEST)), 2):  # on a path of one group nothing is beside it
        for pair in product(around[g], around[h]):
            trial = near.copy()
            trial[[g, h]] = pair
            trials.add(tuple(trial))
    return min((np.array(trial) for trial in sorted(trials)),
               key=lambda kept: (max(abs(share(kept) - target), CLOSE), np.abs(kept - near).sum()))


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


def meet_latency(path: Path | Cheaper, macs: Share, measure: Share, target: Target,
                 unit: str = "of the MACs") -> np.ndarray:
    """Follow a path until the measured latency meets the target.

    Each candidate lies between the last one that was too slow (at first the dense network) and the last one that was
    too fast (at first nothing at all): on the straight line, latency over MACs, and every third time in the middle.
    A wrong measurement of a busy machine therefore ends in a wrong place, but it ends. At most :data:`CANDIDATES` are
    measured.

    Args:
        path: the removals in order.
        macs: share of the MACs that is left for the channels that each group keeps; or anything else that falls along
            the path as the latency does.
        measure: share of the latency that is left, measured.
        target: what shall be left.
        unit: what ``macs`` is a share of, for messages.

    Returns:
        Channels that each group keeps. Where no candidate is within 0.02, those of the nearest, with a warning.

    Raises:
        TargetError: every candidate is slower than the target by more than 0.02.
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
        _log.info("candidate %d: %.3f %s, %.3f of the latency", len(measured), point[1], unit, point[2])
        if abs(measured[count] - share) <= TOLERANCE:
            return kept
        slow, fast = (point, fast) if measured[count] > share else (slow, point)
    count, nearest = min(measured.items(), key=lambda item: abs(item[1] - share))
    said = (f"none of {len(measured)} candidates has {share} of the dense network's latency within {TOLERANCE}; "
            f"the nearest has {nearest:.3f} with {macs(path.after(count)):.3f} {unit}")
    if min(measured.values()) > share:
        raise TargetError(f"{said}. Set a higher target.")
    _log.warning("%s, and is taken.", said)
    return path.after(count)


def _between(slow: tuple[int, float, float], fast: tuple[int, float, float], target: float, halve: bool) -> float:
    """The MACs at which the latency is expected to be ``target``; points are (removals, MACs, latency)."""
    if halve or slow[2] <= fast[2]:
        return (slow[1] + fast[1]) / 2
    return fast[1] + (target - fast[2]) * (slow[1] - fast[1]) / (slow[2] - fast[2])


def numbers_kept(target: Target, scope: str, model: CostModel, scores: Sequence[np.ndarray],
                 fixed: Sequence[int | None], round_to: int, min_channels: int, measure: Share,
                 kinds: Sequence[str] = (), curves: Sequence[Curve | None] = (), aside: bool = False) -> list[int]:
    """How many channels each group keeps.

    Args:
        target: what shall be left.
        scope: "layer", "global", "isomorphic" or "error".
        model: the cost of the network.
        scores: one number for each channel of each group.
        fixed: number of channels of the groups that have a rate of their own, else None.
        round_to, min_channels: as in the configuration.
        measure: share of the latency that is left for the channels that each group keeps; for "latency" only.
        kinds: what each group is like; for "isomorphic" only.
        curves: error of each group over the channels that it keeps; for "error" only.
        aside: whether widths beside the scope's path will do, where none on it is near enough.

    Raises:
        TargetError: the target cannot be met.
    """
    cost = model.params if target.kind == "params" else model.macs
    dense = int(cost(model.sizes))

    def share(kept: np.ndarray) -> float:
        return int(cost(kept)) / dense

    if scope == "error":
        options = Options.of(model.sizes.tolist(), curves, fixed, round_to, min_channels)
        if target.kind == "latency":
            cheaper = Cheaper.measured(options, measure)
            return meet_latency(cheaper, cheaper.share, measure, target, "foretold").tolist()
        return meet_least_error(options, cost, target, aside).tolist()
    if scope == "layer":
        path = layer_path(model.sizes.tolist(), fixed, round_to, min_channels)
    else:
        of_one = dense - cost(model.sizes - np.eye(len(model.sizes), dtype=np.int64))
        path = isomorphic_path(scores, of_one, kinds, fixed, round_to, min_channels) if scope == "isomorphic" else \
            global_path(scores, of_one, fixed, round_to, min_channels)
    if target.kind == "latency":
        with step("timing candidates, at most so many", CANDIDATES) as search:
            return meet_latency(path, share, search.counting(measure), target).tolist()
    return meet(path, share, target, aside).tolist()


def meet_least_error(options: Options, cost: Costs, target: Target, aside: bool = False) -> np.ndarray:
    """The widths of least error that leave no more than the target.

    Where the best ones leave less by more than :data:`CLOSE`, because widths are coarse, as much more than the target
    is allowed, first :data:`CLOSE` and then :data:`TOLERANCE`. Last, with ``aside``, what leaves less than that is not
    looked at, where all combinations can be tried.

    Raises:
        TargetError: no widths are within 0.02 of the target; says what can be reached.
    """
    dense = int(cost(options.sizes))
    most, least = (int(cost(options.widest(k))) / dense for k in (True, False))
    found = least
    for more in (0.0, CLOSE, TOLERANCE):
        if least > target.share + more:
            continue
        kept = least_error(options, cost, (target.share + more) * dense)
        found = int(cost(kept)) / dense
        if abs(found - target.share) <= max(CLOSE, more):
            return kept
    if aside and options.few() and least <= target.share + TOLERANCE:
        kept = least_error(options, cost, (target.share + TOLERANCE) * dense, (target.share - TOLERANCE) * dense)
        nearest = int(cost(kept)) / dense
        if abs(nearest - target.share) <= TOLERANCE:
            return kept
    raise _unreachable(target, least, most, found)


def _unreachable(target: Target, low: float, high: float, nearest: float) -> TargetError:
    return TargetError(f"found no choice of channels that leaves {target.share} of the {NAMES[target.kind]} within "
                        f"{TOLERANCE}; what is left is from {low:.3f} to {high:.3f}, and the nearest to the target "
                        f"is {nearest:.3f}. Change 'target', 'round_to', 'min_channels', 'rates' or 'ignore'.")
