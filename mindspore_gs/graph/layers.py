"""Which cells the layers of a graph are: its convolutions, the BatchNorms behind them, and where they are complete."""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import in_mode
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
    own: dict[int, set[str]] = {}  # of each cell, the names of its parameters
    for name, held in owned.items():
        for _, cell, _ in held:
            own.setdefault(id(cell), set()).add(name)
    uses: dict[str, list[Writer]] = {}
    for writer in find_writers(graph):
        uses.setdefault(writer.weight, []).append(writer)
    convolutions = {weight: _convolution(graph, found, owned) for weight, found in uses.items()}
    pairs = {weight: (convolutions[weight], _norm(graph, found, owned)) for weight, found in uses.items()}
    return (convolutions, {weight: None if None in pair else pair for weight, pair in pairs.items()},
            {weight: _place(graph, found, owned, own) for weight, found in uses.items()})


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


def _place(graph: Graph, uses: list[Writer], owned: dict[str, list], own: dict[int, set[str]]) -> str | None:
    """Path of the cell behind which the layer is complete: it holds this layer and no other, and is not the network.

    What the cell computes behind the layer must leave a channel that is zero as it is.
    """
    held = owned.get(uses[0].gamma or uses[0].weight, [])
    if len(held) != 1 or not held[0][0] or any(use.gamma != uses[0].gamma for use in uses):
        return None
    path, cell, _ = held[0]
    if sum(p.ndim > 1 for p in cell.get_parameters()) > 1 or not _keeps_zero(cell):
        return None
    return None if any(_reads_more(graph, use, own[id(cell)]) for use in uses) else path


def _reads_more(graph: Graph, use: Writer, own: set[str]) -> bool:
    """Whether the cell reads more of its ``own`` parameters behind the layer, such as the bias of a scaled product.

    The search ends where another cell's parameter is read.
    """
    seen, waiting = set[str](), [use.last]
    while waiting:
        for node in graph.consumers_of(waiting.pop()):
            read = {name for name in node.inputs if name in graph.parameters}
            if read & own - {use.weight, use.bias, *use.norm}:
                return True
            if node.name not in seen and not read - own:
                seen.add(node.name)
                waiting.append(node.name)
    return False


def _keeps_zero(cell: nn.Cell) -> bool:
    """Whether the activation that MindSpore's own cell has inside, such as nn.Dense, makes zero of zero."""
    activation = getattr(cell, "activation", None) if is_layer(cell) else None
    if not isinstance(activation, (nn.Cell, ms.ops.Primitive)):
        return True
    with in_mode(ms.PYNATIVE_MODE):
        return not np.any(activation(ms.Tensor(np.zeros((1, 2), np.float32))).asnumpy())
