"""Compare the times of actions that took turns, as ratios with their spread."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np


def timing() -> ModuleType:
    """``mindspore_gs/timing.py`` as a file of its own: the peers' environments lack this package, or MindSpore."""
    path = Path(__file__).resolve().parents[1] / "mindspore_gs" / "timing.py"
    spec = importlib.util.spec_from_file_location("timing_of_mindspore_gs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Spread:
    """Median, lower and upper quartile of a quantity over all turns."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:#.3g} [{self.low:#.3g}, {self.high:#.3g}]"


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
