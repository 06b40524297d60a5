"""The multiple-choice knapsack: one option of each group, least error in all, within a budget. Exact, plain NumPy."""

from collections.abc import Sequence

import numpy as np

_HALVINGS = 60


def knapsack(errors: Sequence[np.ndarray], costs: Sequence[np.ndarray], budget: float) -> list[int]:
    r"""One option of each group, so that the errors add up to least and the costs to no more than the budget.

    .. math:: \min_{o} \sum_g e_g(o_g) \quad \text{with} \quad \sum_g c_g(o_g) \le B

    Solved exactly, with costs as they are: dynamic programming over the groups, which keeps a partial choice only where
    no other one is cheaper and better, and only while the Lagrangian bound leaves room for a better choice than the
    best one known:

    .. math:: \max_{\lambda \ge 0} \sum_g \min_o (e_g(o) + \lambda c_g(o)) - \lambda B

    A table over a discretised cost would have to round each cost; this does not. Few choices are left, because the
    bound is nearly reached where there are many groups.

    Source: Sinha and Zoltners, The Multiple-Choice Knapsack Problem, Operations Research 1979.

    Args:
        errors: for each group the error of each of its options.
        costs: their costs, in the same shapes; may be negative.
        budget: what the costs may add up to.

    Returns:
        The index of the chosen option for each group.

    Raises:
        ValueError: the cheapest options cost more than the budget.

    Examples:
        >>> knapsack([np.array([0.0, 5.0]), np.array([0.0, 1.0, 9.0])], [np.array([6, 2]), np.array([5, 4, 1])], 10)
        [0, 1]
    """
    least = sum(float(cost.min()) for cost in costs)
    if least > budget:
        raise ValueError(f"the cheapest options cost {least}, more than the budget {budget}.")
    price, known = _price(errors, costs, budget)
    known = _improved(errors, costs, budget, known)
    best = _total(errors, known)
    bound = best + price * budget + 1e-9 * max(1.0, abs(best))
    cheapest = _sums_behind([float(cost.min()) for cost in costs])
    rest = _sums_behind([float((error + price * cost).min()) for error, cost in zip(errors, costs)])
    spent, lost = np.zeros(1), np.zeros(1)
    steps = []
    for k, (error, cost) in enumerate(zip(errors, costs)):
        spent, lost = (spent[:, None] + cost).ravel(), (lost[:, None] + error).ravel()
        alive = np.flatnonzero((spent + cheapest[k + 1] <= budget) & (lost + price * spent + rest[k + 1] <= bound))
        alive = _undominated(alive, spent, lost)
        if not len(alive):
            return known
        steps.append((alive // len(cost), alive % len(cost)))
        spent, lost = spent[alive], lost[alive]
    return _backwards(steps, int(np.argmin(lost))) if lost.min() < best else known


def _price(errors: Sequence[np.ndarray], costs: Sequence[np.ndarray], budget: float) -> tuple[float, list[int]]:
    """The multiplier of the best Lagrangian bound, and the choice at it that keeps within the budget."""
    low, high = 0.0, 1e-12
    if _total(costs, _cheap_best(errors, costs, 0.0)) <= budget:
        return 0.0, _cheap_best(errors, costs, 0.0)
    while _total(costs, _cheap_best(errors, costs, high)) > budget:
        low, high = high, high * 16
        if high > 1e300:
            return 0.0, [int(cost.argmin()) for cost in costs]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _total(costs, _cheap_best(errors, costs, middle)) > budget:
            low = middle
        else:
            high = middle
    return high, _cheap_best(errors, costs, high)


def _cheap_best(errors: Sequence[np.ndarray], costs: Sequence[np.ndarray], price: float) -> list[int]:
    """The option of least error plus priced cost of each group; of equal ones the cheapest."""
    return [int(np.lexsort((cost, error + price * cost))[0]) for error, cost in zip(errors, costs)]


def _improved(errors: Sequence[np.ndarray], costs: Sequence[np.ndarray], budget: float, choice: list[int]) -> list[int]:
    """Spend what is left, each time on the option that helps most."""
    choice = list(choice)
    while True:
        left = budget - _total(costs, choice)
        gains = [np.where(cost - cost[now] <= left, error[now] - error, -np.inf)
                 for error, cost, now in zip(errors, costs, choice)]
        group = int(np.argmax([gain.max() for gain in gains])) if gains else 0
        if not gains or gains[group].max() <= 0:
            return choice
        choice[group] = int(gains[group].argmax())


def _undominated(places: np.ndarray, spent: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Those that are better than everything that costs no more, cheapest first."""
    places = places[np.lexsort((lost[places], spent[places]))]
    values = lost[places]
    before = np.minimum.accumulate(np.concatenate(([np.inf], values)))[:-1]
    return places[values < before]


def _backwards(steps: Sequence[tuple[np.ndarray, np.ndarray]], place: int) -> list[int]:
    chosen = []
    for parents, options in reversed(steps):
        chosen.append(int(options[place]))
        place = int(parents[place])
    return chosen[::-1]


def _total(values: Sequence[np.ndarray], choice: Sequence[int]) -> float:
    return float(sum(value[option] for value, option in zip(values, choice)))


def _sums_behind(values: Sequence[float]) -> list[float]:
    """Sums of all values from each place on, and 0 at the end."""
    return [float(sum(values[k:])) for k in range(len(values) + 1)]
