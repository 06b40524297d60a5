"""Which cells the layers of a graph are: its convolutions, the BatchNorms behind them, and where they are complete."""

from typing import Any

from mindspore import nn

from mindspore_gs._mixin import library_class, original_class
from mindspore_gs.graph.ir import Graph
from mindspore_gs.graph.writers import Writer, find_writers


def in_library(held: list) -> bool:
    """Whether a parameter belongs to MindSpore's own cells, or to subclasses of them."""
    return all(is_layer(cell) for _, cell, _ in held)


def is_layer(cell: nn.Cell) -> bool:
    """Whether a cell's class is one of MindSpore's, or derived from one."""
    return library_class(type(cell)) is not None


def layer_places(graph: Graph, owned: dict[str, list]) -> tuple[dict[str, Any], ...]:
    """For each weight of one graph: its convolution, the pair of that and BatchNorm, and where it is complete."""
    uses: dict[str, list[Writer]] = {}
    for writer in find_writers(graph):
        uses.setdefault(writer.weight, []).append(writer)
    convolutions = {weight: _convolution(graph, found, owned) for weight, found in uses.items()}
    pairs = {weight: (convolutions[weight], _norm(graph, found, owned)) for weight, found in uses.items()}
    return (convolutions, {weight: None if None in pair else pair for weight, pair in pairs.items()},
            {weight: _place(found, owned) for weight, found in uses.items()})


def in_all(found: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """What is known in the first graph and no different in the others."""
    return {weight: place for weight, place in found[0].items()
            if place is not None and all(other.get(weight, place) == place for other in found[1:])}


def _convolution(graph: Graph, uses: list[Writer], owned: dict[str, list]) -> str | None:
    """Path of the Conv2d, where it is one cell that computes no more than that, and nothing else reads its weight."""
    held = owned.get(uses[0].weight, [])
    direct = len(graph.consumers_of(uses[0].weight)) == len(uses) and not any(use.computed for use in uses)
    alone = len(held) == 1 and direct
    return held[0][0] if alone and _is_conv2d(held[0][1]) else None


def _is_conv2d(cell: nn.Cell) -> bool:
    """Whether it is nn.Conv2d, or a class derived from it that has another constructor and the same ``construct``."""
    kind: Any = original_class(cell)
    same = kind is type(cell) and issubclass(kind, nn.Conv2d) and "construct" not in vars(cell)
    return same and (kind.construct, kind.__call__) == (nn.Conv2d.construct, nn.Conv2d.__call__)


def _norm(graph: Graph, uses: list[Writer], owned: dict[str, list]) -> str | None:
    """Path of the BatchNorm behind every use of a layer, where it is one cell of MindSpore's and serves no other."""
    gamma = uses[0].gamma
    held = owned.get(gamma or "", [])
    same = all(use.gamma == gamma for use in uses)
    if len(held) != 1 or not same or len(graph.consumers_of(gamma or "")) != len(uses):
        return None
    return held[0][0] if isinstance(held[0][1], (nn.BatchNorm2d, nn.SyncBatchNorm)) else None


def _place(uses: list[Writer], owned: dict[str, list]) -> str | None:
    """Path of the cell whose output is the layer's: it holds this layer and no other, and is not the network."""
    held = owned.get(uses[0].gamma or uses[0].weight, [])
    if len(held) != 1 or not held[0][0] or any(use.gamma != uses[0].gamma for use in uses):
        return None
    path, cell, _ = held[0]
    layers = [p for p in cell.get_parameters() if p.ndim > 1]
    return path if len(layers) <= 1 else None
