"""Networks that are slim already: their RestoreChannels cells are seen as one operator, not as a Gather of numbers.

A RestoreChannels cell puts the channels of a slim layer back into a stream of full width. The
channels that come in can be removed further: the cell's list of places is one more thing that is sliced with them.
It is shown to the rules as a parameter of shape (channels that come in,).
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mindspore_gs.graph.ir import Graph, Node

OPERATOR = "RestoreChannels"
_SUFFIX = f".{OPERATOR}.places"  # no attribute of a user's


def places_name(path: str) -> str:
    """The name under which the list of places of the cell at ``path`` goes.

    >>> places_name("bn2.1")
    'bn2.1.RestoreChannels.places'
    """
    return path + _SUFFIX


def restore_path(name: str) -> str | None:
    """The path in a name of :func:`places_name`; None for any other name."""
    return name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) else None


def collapse_restores(graph: Graph, cells: Mapping[str, str]) -> Graph:
    """Replace the operators of each RestoreChannels cell by one.

    Args:
        graph: the operators.
        cells: path of the cell that owns each parameter.
    """
    found = {node.name: places_name(_path(graph, node, cells)) for node in graph.nodes if _is_restore(graph, node)}
    if not found:
        return graph
    nodes, shapes = [], dict(graph.parameters)
    for node in graph.nodes:
        if node.name in found:
            source = _source(graph, node)
            axis = graph.constants[node.inputs[2]] % len(node.shape)
            shapes[found[node.name]] = (_shape_of(graph, source)[axis],)
            node = Node(node.name, OPERATOR, (source, found[node.name]), {"axis": axis}, node.shape, node.scope)
        nodes.append(node)
    return replace(graph, nodes=_needed(nodes, (*graph.outputs, *graph.effects)), parameters=shapes)


def _is_restore(graph: Graph, node: Node) -> bool:
    """Whether a node is the Gather of such a cell.

    The scope alone does not tell: MindIR may give it to any other ``ops.gather`` of the network, too. The cell's reads
    what was joined with one channel of zeros, at places that ascend, but for those of the zeros.
    """
    if node.op != "Gather" or not node.scope.rsplit("/", 1)[-1].endswith("-" + OPERATOR):
        return False
    places, joined = graph.constants.get(node.inputs[1]), graph.producers.get(node.inputs[0])
    if joined is None or not isinstance(places, np.ndarray) or places.ndim != 1:
        return False
    kept = int(places.max(initial=0))
    axis = graph.constants[node.inputs[2]] % len(node.shape)
    return joined.shape[axis:axis + 1] == (kept + 1,) and np.array_equal(places[places < kept], np.arange(kept))


def _source(graph: Graph, gather: Node) -> str:
    """The value that came into the cell: the first part of what is concatenated in front of the Gather."""
    together = graph.producers[gather.inputs[0]]
    parts = graph.producers[together.inputs[0]] if together.op == "Concat" else together
    return parts.inputs[0] if parts.op == "MakeTuple" else parts.name


def _shape_of(graph: Graph, name: str) -> tuple[int, ...]:
    return graph.inputs[name] if name in graph.inputs else tuple(np.atleast_1d(graph.producers[name].shape))


def _path(graph: Graph, gather: Node, cells: Mapping[str, str]) -> str:
    """Path of the RestoreChannels: it stands behind the cell whose output it reads, as the second of a SequentialCell.

    The scope does not tell: MindIR gives all cells of the class that of the first one.
    """
    node = graph.producers[_source(graph, gather)]
    while not cells.keys() & set(node.inputs):
        node = graph.producers[node.inputs[0]]
    writer = next(cells[name] for name in node.inputs if name in cells)
    return writer.rpartition(".")[0] + ".1"


def _needed(nodes: list[Node], roots: tuple[str, ...]) -> tuple[Node, ...]:
    wanted, kept = set(roots), []
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))
