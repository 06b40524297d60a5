"""The traced network: a small immutable graph of operators in order of execution."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from mindspore_gs.errors import TraceError
from mindspore_gs.graph.computed import ComputedWeight, computed_weights
from mindspore_gs.graph.operators import LOOKUPS

Shape = tuple[int, ...]
SHOWN = "gs_unseen"  # the instance of Print through which a layer is shown that nothing else reads


@dataclass(frozen=True)
class Node:
    """One operator.

    Attributes:
        name: name of the value that the operator computes.
        op: operator, such as ``"Conv2D"``.
        inputs: names of the values that it reads.
        attrs: attributes of the operator, decoded to Python values; ``instance`` is the name under which a cell holds
            the operator, where it is an attribute of one.
        shape: shape of the output; a tuple of shapes where there are several.
        scope: place in the network, such as ``"Default/layer1-SequentialCell/0-Block"``.
        dtype: NumPy name of the output's type, such as ``"float32"``; a tuple of them where there are several, and
            ``""`` where it is no tensor.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[Any, ...] = ()
    scope: str = ""
    dtype: Any = ""

    def __str__(self) -> str:
        return f"{self.op} ({self.scope})"


@dataclass(frozen=True)
class Graph:
    """Operators, constants, parameters, inputs and outputs of one network.

    Attributes:
        nodes: operators, each after everything that it reads.
        constants: literal values by name.
        parameters: shape of each parameter by the parameter's own name.
        inputs: shape of each network input by name.
        outputs: names of the values that the network returns.
        effects: names of the nodes that write something, so that they are executed whether their output is read or not.
        training: whether this is what the network computes in training mode.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Any]
    parameters: Mapping[str, Shape]
    inputs: Mapping[str, Shape]
    outputs: tuple[str, ...]
    effects: tuple[str, ...] = ()
    training: bool = False

    def consumers(self) -> dict[str, list[Node]]:
        """Nodes that read each value, in order of execution."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        return readers

    @cached_property
    def _consumers(self) -> Mapping[str, list[Node]]:
        return self.consumers()

    def consumers_of(self, name: str) -> list[Node]:
        """Nodes that read a value, in order of execution."""
        return self._consumers.get(name, [])

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """The node that computes each value."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def computed(self) -> Mapping[str, ComputedWeight]:
        """The weights that are computed from a parameter in a way that can be understood, by the value that it is."""
        return computed_weights(self)

    @cached_property
    def tables(self) -> frozenset[str]:
        """The matrices whose rows are looked up, and that nothing else reads."""
        matrices = (name for name, shape in self.parameters.items() if len(shape) == 2 and shape[1] > 1)
        return frozenset(name for name in matrices if self.consumers_of(name)
                         and all(self._looks_up(node, name) for node in self.consumers_of(name)))

    def _looks_up(self, node: Node, name: str) -> bool:
        numbers = [self.constants.get(each) for each in node.inputs[2:]]
        return node.op in LOOKUPS and node.inputs[0] == name and name not in node.inputs[1:] \
            and numbers[:1] == [0] and not any(numbers[1:])

    def behind(self, name: str) -> Iterator[str]:
        """The names of a value and of all that it is computed from, as far as they are asked for."""
        waiting, seen = [name], {name}
        while waiting:
            value = waiting.pop()
            yield value
            sources = self.producers[value].inputs if value in self.producers else ()
            waiting += [source for source in sources if source not in seen]
            seen.update(sources)

    def varies(self, name: str) -> bool:
        """Whether a value depends on an input of the network."""
        return any(value in self.inputs for value in self.behind(name))

    def weight_of(self, node: Node) -> str | None:
        """The parameter that a layer's weight is, or is computed from; None where it is neither.

        A layer may be one that looks up rows of a table, as embeddings are, by what the network is given.
        """
        if node.op in LOOKUPS:
            return node.inputs[0] if node.inputs[0] in self.tables and self.varies(node.inputs[1]) else None
        value = node.inputs[1] if len(node.inputs) > 1 else ""
        if value in self.computed:
            return self.computed[value].parameter
        return value if value in self.parameters else None

    def parameters_behind(self, name: str) -> tuple[str, ...]:
        """Parameters that a value is computed from; none where it depends on an input of the network."""
        found: dict[str, None] = {}
        for value in self.behind(name):
            if value in self.inputs:
                return ()
            if value in self.parameters:
                found[value] = None
        return tuple(found)


def renamed(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The graph with other names for its parameters."""
    names = {name: names.get(name, name) for name in graph.parameters}
    if all(old == new for old, new in names.items()):
        return graph
    nodes = tuple(replace(node, inputs=tuple(names.get(name, name) for name in node.inputs)) for node in graph.nodes)
    return replace(graph, nodes=nodes, parameters={names[name]: shape for name, shape in graph.parameters.items()},
                   outputs=tuple(names.get(name, name) for name in graph.outputs))


def verify(graph: Graph) -> None:
    """Check that ``graph`` is a graph: every name is defined once and before it is read.

    Raises:
        TypeError: ``graph`` is something else.
        TraceError: names the offending node.
    """
    if not isinstance(graph, Graph):
        raise TypeError(f"verify() takes the graph of a ChannelGraph, its attribute 'graph', but got "
                        f"{type(graph).__name__!r}.")
    known = set(graph.constants) | set(graph.parameters) | set(graph.inputs)
    for node in graph.nodes:
        missing = [name for name in node.inputs if name not in known]
        if missing:
            raise TraceError(f"{node} reads {missing[0]!r}, which nothing before it defines")
        if node.name in known:
            raise TraceError(f"{node} defines {node.name!r} a second time")
        known.add(node.name)
    unknown = [name for name in graph.outputs if name not in known]
    if unknown:
        raise TraceError(f"the network returns {unknown[0]!r}, which nothing defines")
