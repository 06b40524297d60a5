r"""The widths of least error for a budget: :math:`\min_k \sum_g e_g(k_g)` with :math:`cost(k) \le B`.

The error of each group is measured by itself (``reconstruction.py``) and the errors add up. The cost does not: a
layer's MACs are the product of the widths in front of it and behind it. So

- where there are at most :data:`ALL` combinations of widths, every one is tried with its true cost: exact;
- else the cost is taken apart around the present widths, :math:`cost(k') + \sum_g cost(k' | k_g) - cost(k')`, where
  :math:`k' | k_g` has one width changed, which is exact for changes of a single group. The knapsack of that is solved
  exactly, and again around its solution, until the widths stay the same; what it forgets, two changes at a layer at
  once, is a product of both changes. Last, single widths and pairs of widths are changed with their true cost as long
  as the error falls. This ends in widths that no change of one group, and no small change of one group paid for by
  another, makes better; that no other widths are better is proved by nothing.

Whatever was found, its true cost is within the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mindspore_gs.pruner.knapsack import knapsack
from mindspore_gs.pruner.paths import removals

ALL = 100_000  # combinations that are tried one by one
WIDTHS = 128  # of one group that are considered
ROUNDS = 20
AROUND = 12  # widths below the present one that may pay for another group's wider one
_CHUNK = 4096

Curve = tuple[np.ndarray, np.ndarray]
Costs = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Options:
    """The widths that each group may have, with their errors.

    Attributes:
        sizes: channels of each group, shape (groups,).
        widths: for each group its widths, descending.
        errors: for each group their errors, ascending.
    """

    sizes: np.ndarray
    widths: list[np.ndarray]
    errors: list[np.ndarray]

    @classmethod
    def of(cls, sizes: Sequence[int], curves: Sequence[Curve | None], fixed: Sequence[int | None], round_to: int,
           min_channels: int) -> Options:
        """The widths that a configuration allows; between widths that were measured the error is a straight line.

        Args:
            sizes: channels of each group.
            curves: for each group widths, ascending, and their errors; None for one whose width is fixed.
            fixed: number of channels of the groups that have a rate of their own, else None.
            round_to, min_channels: as in the configuration.
        """
        widths, errors = [], []
        for size, curve, number in zip(sizes, curves, fixed):
            if number is not None or curve is None:
                widths.append(np.array([size if number is None else number]))
                errors.append(np.zeros(1))
                continue
            own = allowed_widths(size, round_to, min_channels)
            if len(own) > WIDTHS:
                own = own[np.unique(np.linspace(0, len(own) - 1, WIDTHS).round().astype(int))]
            found = np.maximum.accumulate(np.interp(own, *curve))
            widths.append(own)
            errors.append(found + 1e-9 * (1 - own / size))  # of equal ones the wider
        return cls(np.array(sizes), widths, errors)

    def pick(self, chosen: Sequence[int]) -> np.ndarray:
        """The widths with these places in the lists."""
        return np.array([widths[place] for widths, place in zip(self.widths, chosen)], dtype=np.int64)

    def widest(self, wide: bool = True) -> np.ndarray:
        """The largest width of each group, or the smallest."""
        return self.pick([0 if wide else -1] * len(self.widths))

    def few(self) -> bool:
        """Whether all combinations can be tried."""
        return bool(np.prod([float(len(widths)) for widths in self.widths]) <= ALL)

    def error(self, chosen: Sequence[int]) -> float:
        """The sum of the errors."""
        return float(sum(error[place] for error, place in zip(self.errors, chosen)))


def allowed_widths(size: int, round_to: int, min_channels: int) -> np.ndarray:
    """What a group of ``size`` channels can keep, descending, all of them first.

    >>> allowed_widths(10, 4, 1)
    array([10,  8,  4])
    """
    return np.append(size, removals(size, round_to, min_channels)[0])


def least_error(options: Options, cost: Costs, budget: float, floor: float = 0.0) -> np.ndarray:
    """Channels that each group keeps, so that the errors add up to least and the cost is within the budget.

    Args:
        options: the widths that each group may have.
        cost: the cost of widths, shape (candidates, groups), as one number for each candidate.
        budget: what it may be.
        floor: what it must be at least, where all combinations are tried; the widest is returned where none is between.

    Raises:
        ValueError: the smallest widths cost more than the budget.

    Examples:
        >>> errors = [np.array([0.9, 0.5, 0.2, 0.0]), np.array([0.3, 0.1, 0.05, 0.0])]
        >>> options = Options.of([4, 4], [(np.arange(1, 5), each) for each in errors], [None, None], 1, 1)
        >>> least_error(options, lambda kept: kept.prod(axis=-1), 8).tolist()      # a layer from one group to the other
        [4, 2]
    """
    if not options.widths:
        return options.widest()
    search = _Search(options, cost, budget)
    if options.few():
        return options.pick(search.every_one(floor))
    return options.pick(search.exchanged(search.linearised()))


class _Search:
    """What is needed while widths are looked for. A choice is a list of places in the lists of options."""

    def __init__(self, options: Options, cost: Costs, budget: float):
        self.options, self.budget = options, budget
        self._cost = cost
        if self.cost([[-1] * len(options.widths)])[0] > budget:
            raise ValueError(f"the smallest widths cost more than the budget {budget}.")

    def cost(self, choices: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
        """The true cost of choices, shape (choices, groups), as float64."""
        places = np.asarray(choices)
        kept = np.stack([widths[places[:, k]] for k, widths in enumerate(self.options.widths)], axis=1)
        return np.concatenate([np.asarray(self._cost(part), dtype=float)
                               for part in np.array_split(kept, -(-len(kept) // _CHUNK))])

    def every_one(self, floor: float = 0.0) -> list[int]:
        """The best of all combinations."""
        counts = [len(widths) for widths in self.options.widths]
        places = np.stack([grid.ravel() for grid in np.meshgrid(*map(np.arange, counts), indexing="ij")], axis=1)
        errors = sum(error[places[:, k]] for k, error in enumerate(self.options.errors))
        costs = self.cost(places)
        return places[np.where((costs <= self.budget) & (costs >= floor), errors, np.inf).argmin()].tolist()

    def linearised(self) -> list[int]:
        """The best that was within the budget, of the knapsacks around the widths found last."""
        now = best = self._uniform()
        forgotten, seen = 0.0, {tuple(now)}
        for _ in range(ROUNDS):
            here = float(self.cost([now])[0])
            deltas = [cost - here for cost in self._alone(now)]
            least = sum(float(delta.min()) for delta in deltas)
            found = knapsack(self.options.errors, deltas, max(self.budget - here - forgotten, least))
            true = float(self.cost([found])[0])
            if true <= self.budget and self.options.error(found) < self.options.error(best):
                best = found
            forgotten = max(0.0, true - here - sum(float(d[k]) for d, k in zip(deltas, found))) / 2
            if tuple(found) in seen:
                break
            seen.add(tuple(found))
            now = found
        return best

    def _uniform(self) -> list[int]:
        """The same share of each list of widths, the first that is within the budget."""
        shares = np.linspace(0, 1, WIDTHS + 1)
        choices = np.stack([(share * (np.array([len(w) for w in self.options.widths]) - 1)).round().astype(int)
                            for share in shares])
        first = int(np.flatnonzero(self.cost(choices) <= self.budget)[0])
        chosen: list[int] = choices[first].tolist()
        return chosen

    def _alone(self, now: Sequence[int]) -> list[np.ndarray]:
        """For each group the cost at each of its widths, the others as they are."""
        rows, ends = [], []
        for k, widths in enumerate(self.options.widths):
            trial = np.tile(now, (len(widths), 1))
            trial[:, k] = np.arange(len(widths))
            rows.append(trial)
            ends.append(len(widths))
        return np.split(self.cost(np.concatenate(rows)), np.cumsum(ends)[:-1])

    def exchanged(self, choice: list[int]) -> list[int]:
        """The choice after changes of one group, or of two, as long as the error falls."""
        for _ in range(ROUNDS):
            before = choice
            for group in range(len(choice)):
                choice = self._widened(choice, group)
            if choice == before:
                break
        return choice

    def _widened(self, choice: list[int], group: int) -> list[int]:
        """The best choice with this group wider and at most one other one narrower; the same where none is better."""
        wider = range(choice[group])[-AROUND:]
        trials = np.concatenate([[choice], *(self._paid(choice, group, place) for place in wider)])
        errors = sum(error[trials[:, k]] for k, error in enumerate(self.options.errors))
        errors = np.where(self.cost(trials) <= self.budget, errors, np.inf)
        errors[1:] += 1e-12 * max(1.0, float(errors[0]))
        chosen: list[int] = trials[int(errors.argmin())].tolist()
        return chosen

    def _paid(self, choice: list[int], group: int, place: int) -> np.ndarray:
        """Choices with this group at another place: the others as they are, or one of them a few places further on."""
        base = np.array(choice)
        base[group] = place
        others = [k for k in range(len(base)) if k != group]
        rows = np.tile(base, (1 + AROUND * len(others), 1))
        for number, k in enumerate(others):
            own = slice(1 + AROUND * number, 1 + AROUND * (number + 1))
            rows[own, k] = np.minimum(base[k] + np.arange(1, AROUND + 1), len(self.options.widths[k]) - 1)
        return rows
