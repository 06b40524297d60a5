"""What a group takes of the latency, measured, and the widths of least error for a latency that is foretold from it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mindspore_gs.pruner.allocation import Options
from mindspore_gs.pruner.knapsack import knapsack

STEPS = 200


@dataclass(frozen=True, eq=False)
class Cheaper:
    """Widths of least error, one after the other, each for a smaller latency.

    A network in which group g alone has only half of its channels is measured for each group. From that the latency of
    any widths is foretold, :math:`1 - \\sum_g s_g (C_g - k_g) / (C_g - h_g)`: :math:`s_g` is the share that is saved,
    :math:`h_g` the half of the :math:`C_g` channels, :math:`k_g` what is kept. What is foretold is additive, so the
    knapsack is exact for it; what is true is measured along the way.

    Attributes:
        options: the widths that each group may have.
        savings: share of the latency that each of the options is foretold to save, for each group.
        keys: numbers of the steps; their number is what counts.
    """

    options: Options
    savings: list[np.ndarray]
    keys: np.ndarray = field(default_factory=lambda: np.arange(STEPS))

    @classmethod
    def measured(cls, options: Options, measure: Callable[[np.ndarray], float]) -> "Cheaper":
        """Measure each group that may lose channels.

        Args:
            options: the widths that each group may have.
            measure: share of the latency that is left for the channels that each group keeps.
        """
        dense = options.widest()
        savings = []
        for k, widths in enumerate(options.widths):
            half = widths[int(np.abs(widths - widths.max() / 2).argmin())]
            trial = dense.copy()
            trial[k] = half
            saved = max(0.0, 1.0 - measure(trial)) if len(widths) > 1 else 0.0
            savings.append(saved * (widths.max() - widths) / max(widths.max() - half, 1))
        return cls(options, savings)

    def after(self, count: int) -> np.ndarray:
        """Channels that each group keeps at the latency of a step: nothing saved at 0, all that can be at the last."""
        most = sum(float(saving.max()) for saving in self.savings)
        budget = -most * min(count / len(self.keys), 1.0) * (1 - 1e-12)
        chosen = knapsack(self.options.errors, [-saving for saving in self.savings], budget)
        return self.options.pick(chosen)

    def share(self, kept: np.ndarray) -> float:
        """The share of the latency that is foretold for the channels that each group keeps."""
        saved = [saving[int(np.flatnonzero(widths == number)[0])]
                 for widths, saving, number in zip(self.options.widths, self.savings, kept)]
        return 1.0 - float(sum(saved))
