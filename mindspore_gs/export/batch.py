"""Which sizes of a traced network follow the batch: found by comparing the graphs of two batches."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mindspore_gs.graph.ir import Graph, Node


class FixedBatchError(Exception):
    """The graph holds for one batch only; the text says where that shows."""


class Multiple(int):
    """A size that is a multiple of the batch: as a number, what it is at the traced batch."""

    each: int

    def __new__(cls, size: int, each: int) -> "Multiple":
        """``size`` at the traced batch, ``each`` for one sample."""
        number = super().__new__(cls, size)
        number.each = each
        return number


@dataclass(frozen=True)
class Repeated:
    """A constant that repeats along the batch, or counts along it.

    Attributes:
        values: with length 1 along the batch, those of its first entry.
        shape: with the batch as :class:`Multiple`.
        step: what the values grow by from one entry to the next, of the shape of ``values``; None where they repeat.
    """

    values: np.ndarray
    shape: tuple[int, ...]
    step: np.ndarray | None = None


def with_open_batch(one: Graph, other: Graph, batches: tuple[int, int]) -> Graph:
    """The graph of the first batch, in which every size that follows the batch is a :class:`Multiple`.

    Args:
        one: the network traced with the first batch.
        other: the same network traced with another batch.
        batches: the two batches.

    Returns:
        The graph ``one`` with marked sizes in shapes, attributes and constants.

    Raises:
        FixedBatchError: the graphs have other operators, or a number in them is no multiple of the batch.
    """
    return _Merge(one, other, batches).graph()


@dataclass
class _Merge:
    one: Graph
    other: Graph
    batches: tuple[int, int]
    constants: dict[str, Any] = field(default_factory=dict)

    def graph(self) -> Graph:
        one, other = self.one, self.other
        if len(one.inputs) != len(other.inputs) or [n.op for n in one.nodes] != [n.op for n in other.nodes]:
            raise FixedBatchError(self._first_operator())
        self.names = dict(zip(one.inputs, other.inputs))
        self.constants.update(one.constants)
        inputs = {name: self._sizes(shape, other.inputs[self.names[name]], f"input {name!r}")
                  for name, shape in one.inputs.items()}
        nodes = tuple(self._node(*pair) for pair in zip(one.nodes, other.nodes))
        outputs = tuple(self._output(a, b) for a, b in zip(one.outputs, other.outputs))
        return replace(one, nodes=nodes, inputs=inputs, constants=self.constants, outputs=outputs)

    def _output(self, a: str, b: str) -> str:
        """The name to return; a constant that follows the batch gets one of its own."""
        return self._input(a, b, Node("output", "Return", (), scope="the network"), 0)

    def _first_operator(self) -> str:
        for left, right in zip(self.one.nodes, self.other.nodes):
            if left.op != right.op:
                return f"{left} at batch {self.batches[0]} is {right} at batch {self.batches[1]}"
        counts = len(self.one.nodes), len(self.other.nodes)
        return f"{counts[0]} operators at batch {self.batches[0]} are {counts[1]} at batch {self.batches[1]}"

    def _node(self, left: Node, right: Node) -> Node:
        if len(left.inputs) != len(right.inputs):
            raise FixedBatchError(f"{left} reads {len(left.inputs)} values at batch {self.batches[0]} and "
                                  f"{len(right.inputs)} at batch {self.batches[1]}")
        self.names[left.name] = right.name
        inputs = tuple(self._input(a, b, left, k) for k, (a, b) in enumerate(zip(left.inputs, right.inputs)))
        shape = self._sizes(left.shape, right.shape, f"the output of {left}")
        attrs = {key: self._sizes(value, right.attrs.get(key), f"{key!r} of {left}")
                 if _is_size(value) or isinstance(value, float) else value for key, value in left.attrs.items()}
        return replace(left, inputs=inputs, shape=shape, attrs=attrs)

    def _input(self, a: str, b: str, node: Node, place: int) -> str:
        """The name to read; a constant that follows the batch gets one of its own for each place that reads it."""
        if a not in self.one.constants or b not in self.other.constants:
            if self.names.get(a, a) != b:
                raise FixedBatchError(f"{node} reads another value at batch {self.batches[1]}")
            return a
        value = self._constant(self.one.constants[a], self.other.constants[b], node)
        if value is self.one.constants[a]:
            return a
        name = f"{a}@{node.name}:{place}"
        self.constants[name] = value
        return name

    def _constant(self, a: Any, b: Any, node: Node) -> Any:
        if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
            if _same(a, b) or not _is_size(a):
                if not _same(a, b):
                    raise FixedBatchError(f"{node} reads {a!r} at batch {self.batches[0]} and {b!r} at batch "
                                          f"{self.batches[1]}")
                return a
            return self._sizes(a, b, str(node))
        if np.array_equal(a, b):
            return a
        if np.issubdtype(a.dtype, np.integer) and a.shape == b.shape and a.ndim <= 1:
            return self._sizes(_tuple(a), _tuple(b), str(node))
        return self._repeated(a, b, node)

    def _repeated(self, a: np.ndarray, b: np.ndarray, node: Node) -> Repeated:
        shape = self._sizes(a.shape, b.shape, f"a constant of {node}")
        along = tuple(isinstance(n, Multiple) for n in shape)
        once = a[tuple(slice(0, 1) if free else slice(None) for free in along)]
        if all(np.array_equal(np.broadcast_to(once, value.shape), value) for value in (a, b)):
            return Repeated(once, shape)
        counted = _counted(a, b, once, shape, along)
        if counted is None:
            raise FixedBatchError(f"{node} reads a constant that has other values for each sample")
        return counted

    def _sizes(self, a: Any, b: Any, where: str) -> Any:
        """The sizes of the first graph, with those that follow the batch marked."""
        if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
            parts = tuple(self._sizes(x, y, where) for x, y in zip(a, b))
            return a if all(x is y for x, y in zip(a, parts)) else parts
        if type(a) is not type(b):
            raise FixedBatchError(f"{where} has {a!r} at batch {self.batches[0]} and {b!r} at batch "
                                  f"{self.batches[1]}")
        if a == b:
            return a
        each, rest = divmod(a, self.batches[0]) if isinstance(a, int) else (0, 1)
        if rest or b != each * self.batches[1]:
            raise FixedBatchError(f"{where} has {a!r} at batch {self.batches[0]} and {b!r} at batch "
                                  f"{self.batches[1]}, which is no multiple of the batch")
        return Multiple(a, each)


def _counted(a: np.ndarray, b: np.ndarray, once: np.ndarray, shape: tuple[int, ...],
             along: tuple[bool, ...]) -> Repeated | None:
    """A constant that grows by the same from each entry along the batch to the next; None where it does not."""
    axis = along.index(True) if sum(along) == 1 else -1
    if axis < 0 or not np.issubdtype(a.dtype, np.number):
        return None
    step = np.take(a, [1], axis) - once
    for value in (a, b):
        index = np.arange(value.shape[axis]).reshape([-1 if free else 1 for free in along])
        if not np.array_equal(once + step * index, value):
            return None
    return Repeated(once, shape, step)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.array_equal(a, b)
    return bool(a == b)


def _is_size(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_size(part) for part in value)
    return isinstance(value, int) and not isinstance(value, bool)


def _tuple(array: np.ndarray) -> Any:
    return tuple(int(n) for n in array) if array.ndim else int(array)
