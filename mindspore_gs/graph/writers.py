"""Who writes channels into the network: each convolution or dense layer with its own bias and BatchNorm."""

import heapq
from dataclasses import dataclass

from mindspore_gs.graph.ir import Graph, Node

_CONVOLUTIONS = ("Conv2D", "Conv2DExt", "Conv2DPadding", "Conv3D", "Conv2DTranspose", "Conv2DBackpropInput")
_PRODUCERS = (*_CONVOLUTIONS, "MatMul", "BatchMatMul", "MatMulExt", "Dense")
_BEHIND = ("Cast", "BiasAdd", "BatchNorm", "BatchNormExt", "TupleGetItem")


@dataclass(frozen=True)
class Writer:
    """A weighted operator and what follows it directly, up to where its channels are complete.

    Attributes:
        weight: name of the weight.
        operator: ``"Conv2D"``, ``"MatMul"``, ...
        last: name of the value that carries the finished channels.
        gamma: gamma of the BatchNorm that follows, or None.
        uses: how often the weight is used; more than once for a cell that is called twice.
    """

    weight: str
    operator: str
    last: str
    gamma: str | None
    uses: int


def find_writers(graph: Graph) -> tuple[Writer, ...]:
    """All writers in order of execution, one entry for each use of a weight."""
    readers = graph.consumers()
    made = [n for n in graph.nodes if n.op in _PRODUCERS and n.inputs[1] in graph.parameters]
    writers = []
    for node in made:
        weight = node.inputs[1]
        last, gamma = _follow(graph, readers, node)
        uses = len(readers[weight])
        if gamma is not None:
            uses = max(uses, len(readers[gamma]))
        writers.append(Writer(weight, node.op, last.name, gamma, uses))
    return tuple(writers)


def _follow(graph: Graph, readers: dict[str, list[Node]], node: Node) -> tuple[Node, str | None]:
    """Walk over bias and BatchNorm as long as nothing else reads what is between."""
    gamma: str | None = None
    seen: set[str] = set()
    while node.name not in graph.outputs and len(readers.get(node.name, ())) == 1:
        following = readers[node.name][0]
        if following.op not in _BEHIND or following.op in seen or following.inputs[0] != node.name:
            break
        if following.op == "BiasAdd" and gamma is not None:
            break
        if following.op.startswith("BatchNorm"):
            gamma = following.inputs[1]
        if following.op != "Cast":
            seen.add(following.op)
        node = following
    return node, gamma


def first_convolutions(graph: Graph) -> set[str]:
    """Weights of the convolutions that have no other convolution before them."""
    behind: set[str] = set()
    first = set()
    for node in graph.nodes:
        after = any(name in behind for name in node.inputs)
        if node.op in _CONVOLUTIONS and not after and node.inputs[1] in graph.parameters:
            first.add(node.inputs[1])
        if after or node.op in _CONVOLUTIONS:
            behind.add(node.name)
    return first


def shortcut_convolutions(graph: Graph, sums: list[Node]) -> set[str]:
    """Weights of the convolutions on a shortcut.

    Of the two addends of a residual sum, the shortcut is the one whose way back to the nearest common ancestor
    has fewer convolutions.
    """
    position = {node.name: k for k, node in enumerate(graph.nodes)}
    found: set[str] = set()
    for node in sums:
        if len(node.inputs) >= 2:
            left, right = _convolutions_back(graph, position, node.inputs[0], node.inputs[1])
            if len(left) != len(right):
                found |= min(left, right, key=len)
    return found


def _convolutions_back(graph: Graph, position: dict[str, int], left: str, right: str) -> tuple[set[str], set[str]]:
    """Convolutions on the way from each addend back to their nearest common ancestor."""
    sides = {left: 1}
    sides[right] = sides.get(right, 0) | 2
    heap = [(-position[name], name) for name in sides if name in position]
    heapq.heapify(heap)
    found: tuple[set[str], set[str]] = (set(), set())
    while heap:
        _, name = heapq.heappop(heap)
        side = sides[name]
        if side == 3:
            break
        node = graph.nodes[position[name]]
        if node.op in _CONVOLUTIONS and node.inputs[1] in graph.parameters:
            found[side - 1].add(node.inputs[1])
        for source in node.inputs:
            if source in position:
                if source not in sides:
                    heapq.heappush(heap, (-position[source], source))
                sides[source] = sides.get(source, 0) | side
    return found
