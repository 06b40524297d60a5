"""In which of the user's cells does an operator stand?

MindIR tells the class of the cell, but gives all cells of one class the scope of the first of them, and a function that
several call that of its first caller. So the layers whose channels arrive at the operator, and the one behind it, tell
which cell it is.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

import numpy as np
from mindspore import nn

from mindspore_gs._cells import get_cell, hides_sizes
from mindspore_gs.graph.channel_graph import ChannelGraph
from mindspore_gs.graph.flow import Channels
from mindspore_gs.graph.questions import HIDDEN, Position, Question


def path_of(net: nn.Cell, graph: ChannelGraph, question: Question) -> str | None:
    """Path of the cell whose code the operator of a question stands in; None where that cannot be told.

    A function such as ``ops.reshape`` has the scope of the first cell that calls it. So a cell of the class that MindIR
    names has to hold the layer in front of the operator or the one behind it; else the user's cell around both is
    meant.
    """
    if question.options == (HIDDEN,):
        return _maker_of(net, graph, question)
    cells, behind = _cells_of(net, question), list(islice(_behind(graph, question), 1))
    found = _first_around(cells, (*_makers(graph, question), *behind), graph)
    if found is not None:
        return found
    if any(list(cell.get_parameters()) for cell in cells.values()):
        return _around_both(net, [graph.cells.get(name, "") for name in (*_makers(graph, question)[:1], *behind)])
    return next(iter(cells)) if len(cells) == 1 else None


def _around_both(net: nn.Cell, paths: list[str]) -> str | None:
    """The innermost of the user's cells that holds all of these cells."""
    around = (outer for outer in _upwards(paths[0]) if all(outer in _upwards(path) for path in paths)) if paths else ()
    return next((outer for outer in around if not is_library(get_cell(net, outer))), None)


def holder_of(net: nn.Cell, graph: ChannelGraph, question: Question) -> str | None:
    """Path of the user's cell whose attribute may hold the number of a question; None where that cannot be told.

    An operator of MindSpore's own cells may have taken in one of the user's: of two reshapes in a row, only the second
    is in MindIR. So in place of such a cell, the user's cell around it is meant. Which of MindSpore's cells it is, its
    own weight tells, which is read right behind.
    """
    if question.options == (HIDDEN,):
        return _maker_of(net, graph, question)
    cells = _cells_of(net, question)
    if not any(map(is_library, cells.values())):
        return path_of(net, graph, question)
    path = _first_around(cells, _behind(graph, question), graph)
    around = () if path is None else _upwards(path)
    return next((outer for outer in around if not is_library(get_cell(net, outer))), None)


def _maker_of(net: nn.Cell, graph: ChannelGraph, question: Question) -> str | None:
    """The innermost of the user's cells around a layer whose code may hold its number of channels."""
    sizes = {len(question.counted)}
    around = _upwards(graph.cells.get(_makers(graph, question)[0], ""))
    cells = ((path, get_cell(net, path)) for path in around)
    return next((path for path, cell in cells if not is_library(cell) and hides_sizes(cell, sizes)), None)


def is_library(cell: nn.Cell) -> bool:
    """Whether the class of a cell is MindSpore's own."""
    return type(cell).__module__.startswith("mindspore.")


def _cells_of(net: nn.Cell, question: Question) -> dict[str, nn.Cell]:
    """The cells of the class that MindIR names, by path."""
    last = question.site[0].rsplit("/", 1)[-1]
    kind = last.rsplit("-", 1)[-1] if "/" in question.site[0] else type(net).__name__
    return {path: cell for path, cell in net.cells_and_names() if type(cell).__name__ == kind}


def _first_around(cells: Collection[str], parameters: Iterable[str], graph: ChannelGraph) -> str | None:
    """The first of the cells that holds one of the parameters, itself or in a cell within."""
    return next((path for name in parameters for path in _upwards(graph.cells.get(name, "")) if path in cells), None)


def positions(channels: Channels, ids: np.ndarray) -> tuple[Position, ...]:
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
