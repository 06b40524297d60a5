"""Time actions that take turns, and compare them as ratios with their spread."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

WARM_UP = 2


@dataclass(frozen=True)
class Spread:
    """Median, lower and upper quartile of a quantity over all turns."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:#.3g} [{self.low:#.3g}, {self.high:#.3g}]"


def take_turns(actions: Sequence[Callable[[], object]], runs: int, warm_up: int = WARM_UP) -> np.ndarray:
    """Seconds of each action in each turn, shape (runs, actions).

    In a turn each action runs once, so that whatever else the machine does hits all of them. Each turn begins with
    another action. The first ``warm_up`` turns, in which networks are compiled, are not counted. An action must wait
    for its own result.
    """
    seconds = np.zeros((warm_up + runs, len(actions)))
    for turn, row in enumerate(seconds):
        for step in range(len(actions)):
            k = (turn + step) % len(actions)
            begin = time.perf_counter()
            actions[k]()
            row[k] = time.perf_counter() - begin
    return seconds[warm_up:]


def spread(values: np.ndarray) -> Spread:
    """Median and quartiles.

    >>> print(spread(np.array([1.0, 2.0, 3.0, 4.0, 5.0])))
    3.00 [2.00, 4.00]
    """
    low, median, high = np.percentile(values, (25, 50, 75))
    return Spread(float(median), float(low), float(high))


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> Spread:
    """Spread of the ratio within a turn. Both are seconds, shape (runs,)."""
    return spread(numerator / denominator)
