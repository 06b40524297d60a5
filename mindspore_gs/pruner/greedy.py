"""Criteria that look at one group after the other, and see what is gone of the groups before."""

from collections.abc import Sequence

import numpy as np
from mindspore import nn

from mindspore_gs.graph import ChannelGraph, Group, Role
from mindspore_gs.pruner.channels import Criterion, Evidence, channels_of, score
from mindspore_gs.pruner.select import best


def one_after_another(net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group], counts: Sequence[int],
                      criterion: Criterion, evidence: Evidence, seed: int) -> dict[Group, np.ndarray]:
    """Choose in order of execution; the weights that read channels which are gone count as zero from then on.

    Args:
        net: the network, in its original form.
        graph: its channel graph.
        groups: groups of it, in order of execution.
        counts: how many channels each keeps.
        criterion: scores them.
        evidence: for the criterion.
        seed: of the random numbers.

    Returns:
        Truth value per channel of each group: whether it stays.
    """
    gone: dict[tuple[str, int], np.ndarray] = {}
    choice = {}
    for group, count in zip(groups, counts):
        channels = channels_of(net, graph, [group], evidence, seed, gone)[0]
        choice[group] = best(score(criterion, channels), count)
        for part in group.slices:
            if part.role is Role.INPUT:
                length = graph.graph.parameters[part.parameter][part.axis]
                where = gone.setdefault((part.parameter, part.axis), np.zeros(length, dtype=bool))
                where[part.indices[~choice[group]]] = True
    return choice
