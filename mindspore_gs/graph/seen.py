"""The graph that the rules see: the network's own names, and one operator where MindIR has several for one thing."""

from collections.abc import Mapping
from dataclasses import replace

from mindspore_gs.graph.ir import Graph, Node, renamed
from mindspore_gs.graph.restores import collapse_restores

_PRODUCTS = ("MatMul", "BatchMatMul", "MatMulExt")
_ORDERED, _SWAPPED = ("Transpose", "TransposeView", "Permute"), ("TransposeExt", "TransposeExtView")
_FLAGS = {False: "gs:as it is", True: "gs:transposed"}


def as_seen(graph: Graph, names: Mapping[str, str], cells: Mapping[str, str]) -> Graph:
    """The graph for the rules.

    Args:
        graph: the operators as MindIR has them.
        names: for a parameter's name the one that the network's constructor gave.
        cells: path of the cell that owns each parameter.
    """
    return _with_transposed_weights(collapse_restores(renamed(graph, names), cells))


def _with_transposed_weights(graph: Graph) -> Graph:
    """``x @ w.T`` as one product that transposes its weight, as a dense layer has it."""
    swapped = {node.name: node.inputs[0] for node in graph.nodes if _swaps(graph, node)}
    if not swapped:
        return graph
    nodes = tuple(_product(graph, node, swapped[node.inputs[1]]) if node.inputs[1:2] and node.inputs[1] in swapped
                  else node for node in graph.nodes if node.name not in swapped)
    return replace(graph, nodes=nodes, constants={**graph.constants, **{name: flag for flag, name in _FLAGS.items()}})


def _swaps(graph: Graph, node: Node) -> bool:
    """Whether a node swaps the two axes of a parameter, or of what is computed from parameters alone, for products.

    Only products may read that, as their right factor.
    """
    if node.op not in (*_ORDERED, *_SWAPPED) or node.name in graph.outputs:
        return False
    given = [graph.constants.get(name) for name in node.inputs[1:3]]
    axes = given if node.op in _SWAPPED else given[0]
    if not isinstance(axes, (list, tuple)) or len(axes) != 2 or not all(isinstance(k, int) for k in axes):
        return False
    matrix = len(node.shape) == 2 and bool(graph.parameters_behind(node.inputs[0]))
    swapped = axes[0] % 2 == 1 and axes[1] % 2 == 0 if node.op in _ORDERED else axes[0] % 2 != axes[1] % 2
    return matrix and swapped and all(reader.op in _PRODUCTS and reader.inputs[0] != node.name
                                      for reader in graph.consumers_of(node.name))


def _product(graph: Graph, node: Node, weight: str) -> Node:
    flags = [bool(graph.constants.get(name)) for name in node.inputs[2:4]] or [False, False]
    return replace(node, inputs=(node.inputs[0], weight, _FLAGS[flags[0]], _FLAGS[not flags[1]]))
