"""Weights that the network computes from a parameter before layers use them: standardised, scaled, normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mindspore_gs.graph.operators import CONVOLUTIONS, DENSE, TRANSPOSED

if TYPE_CHECKING:
    from mindspore_gs.graph.ir import Graph, Node

_LAYERS = (*CONVOLUTIONS, *TRANSPOSED, *DENSE)
_KNOWN = frozenset({
    "Add", "AddExt", "Sub", "SubExt", "Mul", "Muls", "Div", "Divs", "RealDiv", "Pow", "PowTensorScalar", "Sqrt",
    "Rsqrt", "Reciprocal", "Square", "Abs", "Neg", "Sign", "Cast", "Identity", "Round", "Floor", "Tanh", "Exp",
    "Maximum", "Minimum", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "MeanExt", "SumExt", "Var", "ReduceStd",
    "Std", "LpNorm", "LpNormV2", "LinalgVectorNorm", "L2Normalize", "Reshape", "View", "Squeeze", "ExpandDims",
    "Transpose", "BroadcastTo", "StopGradient", "TupleGetItem",
})


@dataclass(frozen=True, eq=False)
class ComputedWeight:
    """How a weight is computed.

    Attributes:
        value: name of the value that layers read as their weight.
        parameter: the parameter of the same shape that it is computed from.
        nodes: the operators that compute it, in order of execution; nothing else reads what they compute.
    """

    value: str
    parameter: str
    nodes: tuple[Node, ...]


def computed_weights(graph: Graph) -> dict[str, ComputedWeight]:
    """The computed weights of a graph that can be understood, by the value that layers read.

    Such a value is read by layers alone, and computed by known operators, which read nothing but parameters, literals
    and each other.
    """
    found: dict[str, ComputedWeight] = {}
    for node in graph.nodes:
        value = node.inputs[1] if node.op in _LAYERS and len(node.inputs) > 1 else ""
        weight = _computed(graph, value) if value in graph.producers and value not in found else None
        found.update({value: weight} if weight is not None else {})
    return found


def _computed(graph: Graph, value: str) -> ComputedWeight | None:
    names = {name for name in graph.behind(value) if name in graph.producers}
    nodes = tuple(node for node in graph.nodes if node.name in names)
    shape = graph.producers[value].shape
    alike = dict.fromkeys(name for node in nodes for name in node.inputs if graph.parameters.get(name) == shape)
    known = all(node.op in _KNOWN and node.name not in graph.outputs for node in nodes)
    as_weight = all(_as_weight(node, value) for node in graph.consumers_of(value))
    if not (alike and known and as_weight) or len(shape) < 2:
        return None
    sources = {name for node in nodes for name in node.inputs} - names
    within = all(reader.name in names for name in (*names - {value}, *alike) for reader in graph.consumers_of(name))
    closed = within and all(name in graph.parameters or name in graph.constants for name in sources)
    return ComputedWeight(value, next(iter(alike)), nodes) if closed else None


def _as_weight(node: Node, value: str) -> bool:
    """Whether an operator reads a value as its weight alone, each position of which makes one channel."""
    several = node.op in TRANSPOSED and int(node.attrs.get("group", node.attrs.get("groups", 1))) > 1
    return node.op in _LAYERS and [k for k, name in enumerate(node.inputs) if name == value] == [1] and not several
