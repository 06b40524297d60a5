"""Does a second trace, of the network with fewer channels, look as the first one says it must?"""

from typing import Any

import numpy as np

from mindspore_gs.graph.flow import Flow
from mindspore_gs.graph.ids import NONE, along
from mindspore_gs.graph.ir import Graph, Node

_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "RealDiv", "FloorDiv", "Mod", "FloorMod", "Pow", "Maximum", "Minimum",
               "Scalar", "Inplace", "Fmod", "Truncate", "Clamp", "Greater", "Less", "Equal", "NotEqual")


def follows(graph: Graph, flows: dict[str, Any], gone: np.ndarray, small: Graph) -> bool:
    """Whether ``small`` is ``graph`` without the channels that are gone.

    The same operators in the same order, each with the shape that is left of its output, and with the same numbers
    that are no sizes.

    Args:
        graph: the first trace.
        flows: the flow of each of its values.
        gone: for each id, whether it is gone.
        small: the second trace.
    """
    if [node.op for node in graph.nodes] != [node.op for node in small.nodes]:
        return False
    return all(_alike(node, flows[node.name], gone, other) and _same_numbers(graph, node, small, other)
               and _same_begin(graph, flows, gone, node, small, other)
               for node, other in zip(graph.nodes, small.nodes))


def _same_begin(graph: Graph, flows: dict[str, Any], gone: np.ndarray, node: Node, small: Graph, other: Node) -> bool:
    """Whether a part that is taken begins behind what is left of the channels that it began behind."""
    if node.op not in ("StridedSlice", "Slice"):
        return True
    x = flows[node.inputs[0]]
    begins = [graph.constants.get(node.inputs[1]), small.constants.get(other.inputs[1])]
    if not isinstance(x, Flow) or not all(isinstance(begin, tuple) for begin in begins):
        return True
    for axis, (before, after) in enumerate(zip(*begins)):
        ids = along(x.ids, axis, x.shape[axis]) if x.ids.shape[axis] > 1 else None
        if ids is not None and before >= 0 and after != int(((ids == NONE) | ~gone[ids])[:before].sum()):
            return False
    return True


def _alike(node: Node, flow: Any, gone: np.ndarray, other: Node) -> bool:
    if isinstance(flow, tuple):
        flow, shape = (flow[0], other.shape[0]) if flow and other.shape else (None, ())
    else:
        shape = other.shape
    if not isinstance(flow, Flow) or not flow.varying or flow.pliable or \
            any(isinstance(n, tuple) for n in (*flow.shape, *shape)):
        return True
    left = _left_of(flow, gone)
    return left is None or (len(left) == len(shape) and
                            all(a == b for k, (a, b) in enumerate(zip(left, shape)) if k not in flow.repeated))


def _left_of(flow: Flow, gone: np.ndarray) -> tuple[int, ...] | None:
    """The shape of what is left of a value; None where what is left is no array."""
    kept = (flow.ids == NONE) | ~gone[flow.ids]
    shape, count = list(flow.shape), 1
    for axis, size in enumerate(flow.ids.shape):
        if size > 1:
            others = tuple(k for k in range(kept.ndim) if k != axis)
            shape[axis] = int(kept.any(axis=others).sum())
            count *= shape[axis]
    return tuple(shape) if count == int(kept.sum()) else None


def _same_numbers(graph: Graph, node: Node, small: Graph, other: Node) -> bool:
    """Fractions, and whatever is computed with, are no sizes: they have to be the same in both traces."""
    pairs = [(graph.constants.get(a), small.constants.get(b)) for a, b in zip(node.inputs, other.inputs)]
    pairs += [(value, other.attrs.get(name)) for name, value in node.attrs.items()]
    computes = node.op.startswith(_ARITHMETIC)
    return all(_same(a, b, computes) for a, b in pairs)


def _same(a: Any, b: Any, computes: bool) -> bool:
    if computes and isinstance(a, int) and isinstance(b, int):
        return a == b
    fractions = [isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f")
                 for value in (a, b)]
    if not any(fractions):
        return True
    a, b = np.asarray(a if a is not None else np.nan), np.asarray(b if b is not None else np.nan)
    if a.shape != b.shape:  # a literal of equal entries that follows the channels
        a, b = np.unique(a), np.unique(b)
    return bool(a.shape == b.shape and np.array_equal(a, b, equal_nan=True))
