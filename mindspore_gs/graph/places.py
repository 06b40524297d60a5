"""In which of the user's cells does an operator stand?

MindIR tells the class of the cell, but gives all cells of one class the scope of the first of them. So the layers
whose channels arrive at the operator, and those behind it, tell which of them it is.
"""

from collections.abc import Iterator

import numpy as np
from mindspore import nn

from mindspore_gs.graph.flow import Channels
from mindspore_gs.graph.groups import ChannelGraph
from mindspore_gs.graph.questions import Question


def path_of(net: nn.Cell, graph: ChannelGraph, question: Question) -> str | None:
    """Path of the cell whose code the operator of a question stands in; None where that cannot be told."""
    last = question.site[0].rsplit("/", 1)[-1]
    kind = last.rsplit("-", 1)[-1] if "/" in question.site[0] else type(net).__name__
    cells = {path: cell for path, cell in net.cells_and_names() if type(cell).__name__ == kind}
    if len(cells) < 2:
        return next(iter(cells), None)
    for name in (*_makers(graph, question), *_behind(graph, question)):
        for path in _upwards(graph.cells.get(name, "")):
            if path in cells:
                return path
    return None


def positions(channels: Channels, ids: np.ndarray) -> tuple[tuple[str, int, int], ...]:
    """The (parameter, axis, index) of each id."""
    axes, starts = list(channels.offsets), np.array(list(channels.offsets.values()))
    where = np.searchsorted(starts, ids, side="right") - 1
    return tuple((*axes[k], int(i - starts[k])) for k, i in zip(where, ids))


def _makers(graph: ChannelGraph, question: Question) -> list[str]:
    """The parameters whose channels arrive at the operator."""
    return list(dict.fromkeys(name for name, _, _ in positions(graph.channels, question.ids)))


def _behind(graph: ChannelGraph, question: Question) -> Iterator[str]:
    """The parameters that are read behind the operator, the nearest first."""
    reached = {question.node}
    for each in (graph.graph, *graph.others):
        for node in each.nodes:
            if reached.intersection(node.inputs):
                reached.add(node.name)
                yield from (name for name in node.inputs if name in each.parameters)


def _upwards(path: str) -> list[str]:
    """A path and those of the cells around it, the network last.

    >>> _upwards("layer1.0.conv")
    ['layer1.0.conv', 'layer1.0', 'layer1', '']
    """
    parts = path.split(".")
    return [".".join(parts[:k]) for k in range(len(parts), 0, -1)] + [""]
