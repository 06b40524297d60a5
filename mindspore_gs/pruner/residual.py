"""What may be pruned of a residual network: the policies for residual streams, and the paper's rule for "keep"."""

import heapq
from weakref import WeakKeyDictionary

from mindspore_gs.graph import Blocked, ChannelGraph, Group
from mindspore_gs.graph.ir import Graph, Node
from mindspore_gs.graph.operators import CONVOLUTIONS, TRANSPOSED

_CONVOLUTIONS = (*CONVOLUTIONS, *TRANSPOSED)
_FOUND: WeakKeyDictionary[ChannelGraph, dict[str, tuple[Group, ...]]] = WeakKeyDictionary()


def prunable_groups(graph: ChannelGraph, residual: str) -> tuple[Group, ...]:
    """The groups of a network under a policy, blocked ones among them: the one truth of every algorithm here.

    ``"couple"`` and ``"inner"`` are those of :meth:`ChannelGraph.groups`. ``"keep"`` is the rule of the SCOP paper: the
    first convolution of the network and the projections on shortcuts stay whole besides.

    Args:
        graph: the traced network.
        residual: "keep", "couple" or "inner".

    Raises:
        ValueError: ``residual`` is none of these.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs.graph import trace
        >>> net = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1))
        >>> graph = trace(net, (1, 3, 16, 16))
        >>> [group.name for group in prunable_groups(graph, "couple") if group.blocked_by is None]
        ['0', '2']
        >>> [group.name for group in prunable_groups(graph, "keep") if group.blocked_by is None]
        ['2']
    """
    groups = graph.groups(residual)
    if residual != "keep":
        return groups
    found = _FOUND.setdefault(graph, {})
    if residual not in found:
        whole = _whole(graph)
        found[residual] = tuple(_keep_whole(group, whole) for group in groups)
    return found[residual]


def _keep_whole(group: Group, whole: dict[str, Blocked]) -> Group:
    reason = next((whole[weight] for weight in group.weights if weight in whole), None)
    return group if reason is None else group.blocked(reason, "Conv2D")


def _whole(graph: ChannelGraph) -> dict[str, Blocked]:
    """Weights that stay whole when residual='keep', with the reason."""
    reasons = dict.fromkeys(shortcut_convolutions(graph.graph, graph.sums), Blocked.SHORTCUT)
    return reasons | dict.fromkeys(first_convolutions(graph.graph), Blocked.FIRST_CONVOLUTION)


def first_convolutions(graph: Graph) -> set[str]:
    """Weights of the convolutions that have no other convolution before them."""
    behind: set[str] = set()
    first = set()
    for node in graph.nodes:
        after = any(name in behind for name in node.inputs)
        weight = graph.weight_of(node) if node.op in _CONVOLUTIONS else None
        if weight is not None and not after:
            first.add(weight)
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
        weight = graph.weight_of(node) if node.op in _CONVOLUTIONS else None
        found[side - 1].update([weight] if weight is not None else [])
        for source in node.inputs:
            if source in position:
                if source not in sides:
                    heapq.heappush(heap, (-position[source], source))
                sides[source] = sides.get(source, 0) | side
    return found
