"""Attributes of the user's cells that code only compares with a shape, so that MindIR shows nothing of them.

``if x.shape[1] != self.channels: raise ValueError`` runs when the network is compiled. A network with fewer channels is
refused by its own code then, unless the attribute follows.
"""

from collections.abc import Iterator
from dataclasses import replace

from mindspore import nn

from mindspore_gs._cells import compared_in_methods
from mindspore_gs.graph.channel_graph import ChannelGraph
from mindspore_gs.graph.layers import is_layer
from mindspore_gs.graph.places import is_library
from mindspore_gs.graph.questions import Resize


def with_checked(net: nn.Cell, graph: ChannelGraph) -> ChannelGraph:
    """The channel graph in which such attributes follow what MindSpore's layers in the same cell read.

    Meant are those that a method of a cell compares for equality, in which it also asks for a shape, and that are
    the number of channels that one of the layers right inside of the cell reads; of several layers the first. Where
    these channels stay anyway, nothing has to follow.

    Args:
        net: the network.
        graph: its channel graph.
    """
    found = tuple(resize for path, cell in net.cells_and_names() if not is_library(cell)
                  for resize in _checked_in(path, cell, graph))
    known = {(resize.cell, resize.attribute) for resize in graph.resizes}
    free = {(part.parameter, part.axis) for group in graph.groups() if group.blocked_by is None and group.size > 1
            for part in group.slices}
    new = tuple(resize for resize in found if (resize.cell, resize.attribute) not in known
                and resize.positions[0][:2] in free)
    return replace(graph, checked=new, resizes=(*graph.resizes, *new))


def _checked_in(path: str, cell: nn.Cell, graph: ChannelGraph) -> Iterator[Resize]:
    compared = {name: value for name, value in vars(cell).items() if type(value) is int}
    if compared:
        compared = {name: compared[name] for name in compared_in_methods(cell) & compared.keys()}
    sizes: dict[int, tuple[str, int]] = {}
    for name, axis, size in _read_in(path, cell, graph) if compared else ():
        sizes.setdefault(size, (name, axis))
    for attribute, value in sorted(compared.items()):
        if value in sizes:
            name, axis = sizes[value]
            yield Resize(path, attribute, value, 1, tuple((name, axis, k) for k in range(value)))


def _read_in(path: str, cell: nn.Cell, graph: ChannelGraph) -> Iterator[tuple[str, int, int]]:
    """(Parameter, axis, length) of what layers of MindSpore's right inside of a cell read."""
    inside = {f"{path}.{name}" if path else name for name, child in vars(cell)["_cells"].items() if is_layer(child)}
    for name, shape in graph.graph.parameters.items():
        if graph.cells.get(name) in inside:
            yield from ((name, axis, size) for axis, size in enumerate(shape)
                        if size > 1 and axis != graph.outputs.get(name))
