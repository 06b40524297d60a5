"""Which layer normalisations can compute their mean and variance over what is left of their channels."""

from collections.abc import Iterable, Mapping

from mindspore import nn, ops

from mindspore_gs.graph.ir import Graph

NORMS = ("keep", "recompute")


def recomputable(graphs: Iterable[Graph], owned: Mapping[str, list]) -> frozenset[str]:
    """Gammas of the ``nn.LayerNorm`` cells over one axis, and of subclasses.

    Left out is what shares its gamma with another cell: the mask belongs to the cell.

    Args:
        graphs: the graphs of one network.
        owned: for each parameter the (path, cell, attribute) that hold it.
    """
    graphs = tuple(graphs)
    names = {name for graph in graphs for name, shape in graph.parameters.items() if len(shape) == 1}
    return frozenset(name for name in names if _is_gamma(owned.get(name, []))
                     and all(node.op in ("LayerNorm", "Cast") for graph in graphs for node in graph.consumers_of(name)))


def _is_gamma(held: list[tuple[str, nn.Cell, str]]) -> bool:
    """The operator of the cell makes way for a method, so there must be one."""
    return len(held) == 1 and isinstance(held[0][1], nn.LayerNorm) and held[0][2] == "gamma" \
        and isinstance(vars(held[0][1]).get("layer_norm"), ops.LayerNorm)
