"""How important is a channel? A criterion is one function: it gets a group's channels and returns a number for each.

The channels with the lowest numbers are removed. A criterion of your own needs no registration; pass the function::

    def fpgm(channels):
        rows = np.concatenate(channels.rows(Role.FILTER), axis=1)
        return np.linalg.norm(rows[:, None] - rows, axis=2).sum(axis=1)

    ChannelPruner(criterion=fpgm, prune_rate=0.5)
"""

from mindspore_gs.pruner.criteria import activations, gradients, knockoffs, reconstruction, weights
from mindspore_gs.pruner.criteria.registry import (
    CRITERIA,
    combine,
    criterion,
    evidence_needed,
    is_greedy,
    known,
    without_phase,
)

__all__ = ["CRITERIA", "activations", "combine", "criterion", "evidence_needed", "gradients", "is_greedy", "knockoffs",
           "known", "reconstruction", "weights", "without_phase"]
