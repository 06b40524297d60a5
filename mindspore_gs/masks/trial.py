"""Try a network out before anything is done to it: mask, make slim, and compare, on copies."""

from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, in_mode
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import ChannelGraph, Group
from mindspore_gs.masks.masks import Masks
from mindspore_gs.slim import PrunePlan
from mindspore_gs.slim.check import check_equal
from mindspore_gs.slim.slim import slice_network


def try_out(net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group]) -> None:
    """Go the whole way with every second channel of each group, so that a network that cannot go it is refused now.

    Args:
        net: the network in its original form; it stays as it is.
        graph: its channel graph.
        groups: the groups that may lose channels.

    Raises:
        PruningError: names the layers whose channels cannot be removed, the cell that shows it, and what to do.
    """
    with in_mode(ms.PYNATIVE_MODE):
        problem = _problem(net, graph, groups)
        if problem is None:
            return
        guilty = _guilty(net, graph, groups)
    layers = ", ".join(repr(member) for group, _ in guilty for member in group.members)
    because = str(guilty[0][1]) if guilty else str(problem)
    raise PruningError(f"{type(net).__name__} cannot be pruned as it is: {because} The channels of "
                       f"{layers or 'these layers together'} are concerned; add them to 'ignore' to prune the rest.") \
        from problem


def _problem(net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group]) -> PruningError | None:
    """What goes wrong when half of these groups' channels go."""
    choice = {group: _half(group.size) for group in groups if group.size > 1}
    if not choice:
        return None
    masked = copy_network(net)
    Masks.attach(masked, graph, choice).set(choice)
    plan = PrunePlan.from_groups(graph, choice)
    try:
        check_equal(masked, slice_network(net, plan), plan.inputs)
    except PruningError as error:
        return error
    return None


def _half(size: int) -> np.ndarray:
    """Every second channel stays, and the first one."""
    return np.arange(size) % 2 == 0


def _guilty(net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group]) -> list[tuple[Group, PruningError]]:
    """The groups that cannot lose channels, each tried by itself where the half that it is in fails."""
    problem = _problem(net, graph, groups)
    if problem is None:
        return []
    if len(groups) == 1:
        return [(groups[0], problem)]
    middle = len(groups) // 2
    return _guilty(net, graph, groups[:middle]) + _guilty(net, graph, groups[middle:])
