"""Numbers of channels that the code holds, and of which MindIR shows nothing.

Graph mode leaves ``zeros + x`` and ``ones * x`` out of what it compiles, though the number of channels may be in the
code there, or in an attribute: ``v = ops.zeros((n, self.hidden, h, w))`` in front of a loop. So it does with
``x.view(-1, 64, h, w)`` where the shape is that already, and with ``if x.shape[1] == 64``. Where code may do so, the
network is traced with half of all free channels. If that does not go, halves of the groups are tried, and halves of
those, until the ones are found that cannot lose channels; an attribute that is their number may follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mindspore as ms
from mindspore import nn

from mindspore_gs._cells import hides_sizes
from mindspore_gs.graph.channel_graph import ChannelGraph
from mindspore_gs.graph.checks import with_checked
from mindspore_gs.graph.places import is_library
from mindspore_gs.graph.probe import Readings, attributes_of, fits, likeliest, settle, with_readings
from mindspore_gs.graph.questions import BLOCKED, HIDDEN, Reading, Site

_MOST = 40  # traces of one search; each of the layers that stay costs two for every halving


def settle_with_hidden(net: nn.Cell, graph: ChannelGraph, tensors: tuple[ms.Tensor, ...]) -> ChannelGraph:
    """The channel graph with an answer to each question, and with the layers that such numbers hold kept whole.

    Where code may have such a number, the one more trace that questions cost looks at all layers, and is made where
    there is no question, too. There are more only if a number does hold channels.

    Args:
        net: the network.
        graph: its channel graph.
        tensors: what the network is traced with.
    """
    sizes = {group.size for group in graph.groups() if group.blocked_by is None}
    if not any(hides_sizes(cell, sizes) for _, cell in net.cells_and_names() if not is_library(cell)):
        return settle(net, graph, tensors)
    likely = with_checked(net, likeliest(net, replace(graph, hidden=True)))
    if fits(net, likely, tensors):
        return replace(likely, hidden=False)
    found = settle(net, graph, tensors)
    search = _Search(net, replace(found, hidden=True), tensors)
    units = search.units()
    try:
        return found if search.go(units, {}) else search.with_answers(search.answers(units))
    except _TooManyTraces:
        return found


class _TooManyTraces(Exception):
    """The search would take long; what does not go is refused by the trial of whoever prunes the network."""


@dataclass
class _Search:
    """Which layers go, in the graph in which each of them is asked."""

    net: nn.Cell
    graph: ChannelGraph
    tensors: tuple[ms.Tensor, ...]
    traces: int = 0

    def units(self) -> list[frozenset[Site]]:
        """The layers in sets that can only lose channels together."""
        channels, units = self.graph.channels, list[frozenset[Site]]()
        asked = {site: set(question.ids.tolist()) for site, question in channels.questions.items()
                 if question.options == (HIDDEN,)}
        for group in self.graph.groups():
            if group.blocked_by is None and group.size > 1:
                ids = self.graph.ids_of(group).tolist()
                own = frozenset(site for site, held in asked.items() if not held.isdisjoint(ids))
                joined = own.union(*(unit for unit in units if unit & own))
                units = [unit for unit in units if not unit & own] + [joined]
        return units

    def with_answers(self, answers: Readings) -> ChannelGraph:
        """The channel graph with these answers, too."""
        return with_readings(self.net, self.graph, {**self.graph.readings, **answers})

    def go(self, units: Sequence[frozenset[Site]], answers: Readings) -> bool:
        """Whether these may lose channels, and those that are answered as the answers say; all others stay."""
        self.traces += 1
        if self.traces > _MOST:
            raise _TooManyTraces
        closed = {site: Reading(BLOCKED) for unit in self.units() if unit not in units for site in unit}
        return fits(self.net, self.with_answers(closed | answers), self.tensors)

    def answers(self, units: list[frozenset[Site]]) -> Readings:
        """For the layers that do not go as the code stands, whether an attribute follows; none if that is not why."""
        if not self.go([], {}):
            return {}
        stuck = self.stuck(units)
        follow = {site: self.following(site) for unit in stuck for site in unit}
        if self.go(units, follow):
            return follow
        blocked = {site: Reading(BLOCKED) for site in follow}
        for unit in stuck:
            tried = blocked | {site: follow[site] for site in unit}
            blocked = tried if self.go([], tried) else blocked
        return blocked if self.go(units, blocked) else {site: Reading(BLOCKED) for unit in units for site in unit}

    def stuck(self, units: list[frozenset[Site]]) -> list[frozenset[Site]]:
        """Those of them that do not go as the code stands, given that together they do not."""
        if len(units) < 2:
            return units
        halves = units[:len(units) // 2], units[len(units) // 2:]
        return [unit for half in halves if not self.go(half, {}) for unit in self.stuck(half)]

    def following(self, site: Site) -> Reading:
        """The reading that the attributes follow that are a layer's number of channels; if there is none, it stays."""
        exact = attributes_of(self.net, self.graph, self.graph.channels.questions[site])[2]
        return Reading(HIDDEN, exact) if exact else Reading(BLOCKED)
