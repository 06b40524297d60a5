"""Collects the operators, constants and weights of an ONNX graph while rules go over a traced one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.batch import Multiple, Repeated
from mindspore_gs.graph.ir import Graph, Node


class Writer:
    """What rules read values from and add operators to.

    Args:
        graph: the traced network.
        weights: the value of each parameter, by name.
        dtypes: NumPy name of the type of each input, by name.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, np.ndarray], dtypes: Mapping[str, str]):
        import onnx

        self._onnx = onnx
        self.graph = graph
        self.nodes: list[Any] = []
        self.initializers: dict[str, np.ndarray] = {}
        self._weights = weights
        self._dtypes = dict(dtypes)
        self._written: dict[str, Any] = {name: name for name in graph.inputs}
        self._taken = set(graph.inputs) | set(graph.parameters)
        self._numbers: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._makers: dict[str, Any] = {}
        self._place = ""
        self._batch = ""

    def write(self, node: Node, rule: Any) -> None:
        """Write one operator with its rule."""
        self._place = "/".join(part.split("-")[0] for part in node.scope.split("/")[1:])
        self._written[node.name] = rule(node, self)

    def value(self, name: str) -> Any:
        """The ONNX name of a value, or a tuple of names; empty for None and texts, which are no tensors."""
        if name in self._written:
            return self._written[name]
        if name in self.graph.parameters:
            self.initializers[name] = self._weights[name]
            self._written[name] = name
            return name
        return self._constant(self.graph.constants[name])

    def _constant(self, value: Any) -> Any:
        if isinstance(value, Repeated):
            return self._along_the_batch(value)
        if value is None or isinstance(value, str):
            return ""
        if isinstance(value, tuple) and any(isinstance(part, (np.ndarray, Repeated)) for part in value):
            return tuple(self._constant(part) for part in value)
        return self.array(value, None if isinstance(value, np.ndarray) else _plain_type(value))

    def tensor(self, name: str, dtype: str = "") -> str:
        """The ONNX name of a value; converted to ``dtype`` where that is given and the value has another."""
        value = self.value(name)
        if isinstance(value, tuple) or not value:
            raise self._unsupported(f"{'a tuple' if value else 'nothing'} where a tensor is expected")
        own = self.dtype(name)
        return self.add("Cast", value, to=self.type_number(dtype)) if dtype and own and own != dtype else value

    def tensors(self, name: str) -> tuple[str, ...]:
        """The ONNX names of the values in a tuple."""
        value = self.value(name)
        return value if isinstance(value, tuple) else (value,)

    def operand(self, name: str, dtype: str) -> str:
        """The ONNX name of a value as ``dtype``; numbers of the code become constants of this type."""
        value = self.graph.constants.get(name)
        if isinstance(value, Multiple):
            number = self.add("Squeeze", self.vector([value]), self.array([0], np.int64))
            return self.add("Cast", number, to=self.type_number(dtype))
        if value is not None and not isinstance(value, Repeated):
            return self.array(np.asarray(value, dtype=dtype))
        return self.tensor(name, dtype)

    def constant(self, name: str) -> Any:
        """A number, or a tuple of numbers, that the code gives an operator.

        Raises:
            ExportError: the value is computed from the network's input.
        """
        if name in self.graph.constants:
            value = self.graph.constants[name]
            return _plain(value.tolist()) if isinstance(value, np.ndarray) else value
        node = self.graph.producers.get(name)
        if node is not None and node.op in ("MakeTuple", "make_list"):
            return tuple(self.constant(part) for part in node.inputs)
        raise self._unsupported("a size or an option that is computed from the input")

    def argument(self, node: Node, place: int, default: Any = None) -> Any:
        """The constant at a place of a node's inputs; ``default`` where there are fewer inputs, or it is None."""
        value = self.constant(node.inputs[place]) if place < len(node.inputs) else None
        return default if value is None else value

    def option(self, node: Node, key: str, place: int, default: Any = None) -> Any:
        """An attribute of a node, or, where it has none of that name, :meth:`argument` at a place of its inputs."""
        return node.attrs[key] if node.attrs.get(key) is not None else self.argument(node, place, default)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a value at the traced batch; sizes that follow the batch are :class:`Multiple`."""
        if name in self.graph.producers:
            return self.graph.producers[name].shape
        if name in self.graph.inputs:
            return self.graph.inputs[name]
        if name in self.graph.parameters:
            return tuple(self._weights[name].shape)
        value = self.graph.constants[name]
        return value.shape if isinstance(value, Repeated) else np.asarray(value).shape

    def dtype(self, name: str) -> str:
        """NumPy name of a value's type; empty where it is no tensor."""
        if name in self.graph.producers:
            return self.graph.producers[name].dtype
        if name in self._dtypes:
            return self._dtypes[name]
        if name in self.graph.parameters:
            return self._weights[name].dtype.name
        value = self.graph.constants.get(name)
        value = value.values if isinstance(value, Repeated) else value
        return value.dtype.name if isinstance(value, np.ndarray) else ""

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add an ONNX operator.

        Args:
            op: its name.
            inputs: names of what it reads; an empty name leaves out an optional one.
            outputs: how many values it computes.
            attributes: its attributes.

        Returns:
            The name of its output, or a tuple of names where there are several.
        """
        names = tuple(self._fresh(op) for _ in range(outputs))
        self.nodes.append(self._onnx.helper.make_node(op, list(inputs), list(names), name=names[0], **attributes))
        self._makers.update(dict.fromkeys(names, self.nodes[-1]))
        return names[0] if outputs == 1 else names

    def maker(self, value: str) -> Any:
        """The ONNX operator that computes a value; None for inputs, weights and constants."""
        return self._makers.get(value)

    def array(self, values: Any, dtype: Any = None) -> str:
        """The name of a constant; equal constants are one."""
        array = np.ascontiguousarray(np.asarray(values, dtype)).reshape(np.shape(values))
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._numbers:
            self._numbers[key] = self._fresh("constant")
            self.initializers[self._numbers[key]] = array
        return self._numbers[key]

    def vector(self, sizes: Sequence[int]) -> str:
        """The name of a vector of integers; those that follow the batch are computed from the input."""
        if not any(isinstance(n, Multiple) for n in sizes):
            return self.array([int(n) for n in sizes], np.int64)
        parts = [self._of_batch(n) if isinstance(n, Multiple) else self.array([int(n)], np.int64) for n in sizes]
        return self.add("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]

    def reshape(self, value: str, sizes: Sequence[int]) -> str:
        """``value`` with another shape; a single size that follows the batch is left open."""
        free = [k for k, n in enumerate(sizes) if isinstance(n, Multiple)]
        if len(free) == 1 and -1 not in sizes:
            sizes = [-1 if k in free else n for k, n in enumerate(sizes)]
        return self.add("Reshape", value, self.vector(sizes))

    def type_number(self, dtype: str) -> int:
        """ONNX's number of a type."""
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def outputs(self) -> list[tuple[str, tuple[int, ...], str]]:
        """Name, shape and type of each tensor that the network returns, in order."""
        return [found for name in self.graph.outputs for found in self._flat(name)]

    def _flat(self, name: str) -> list[tuple[str, tuple[int, ...], str]]:
        """A tensor, or those of a tuple; numbers, texts and None are none."""
        node = self.graph.producers.get(name)
        if node is not None and node.op in ("MakeTuple", "make_list", "MakeList"):
            return [found for part in node.inputs for found in self._flat(part)]
        if node is not None and isinstance(self._written[name], tuple):
            parts = zip(_flatten(self._written[name]), _shapes(node.shape), _flatten(node.dtype))
            return [(value, shape, dtype) for value, shape, dtype in parts if value and dtype]
        value = self.graph.constants.get(name)
        if name in self.graph.constants and not isinstance(value, (np.ndarray, Repeated)):
            return []
        return [(self.tensor(name), self.shape(name), self.dtype(name))]

    def _along_the_batch(self, constant: Repeated) -> str:
        first = self.array(constant.values)
        if constant.step is None:
            return str(self.add("Expand", first, self.vector(constant.shape)))
        axis = next(k for k, n in enumerate(constant.shape) if isinstance(n, Multiple))
        count = self.add("Squeeze", self.vector(constant.shape[axis:axis + 1]), self.array([0], np.int64))
        index = self.add("Range", self.array(0, np.int64), count, self.array(1, np.int64))
        index = self.reshape(index, [-1 if k == axis else 1 for k in range(len(constant.shape))])
        index = self.add("Cast", index, to=self.type_number(constant.values.dtype.name))
        return str(self.add("Add", first, self.add("Mul", index, self.array(constant.step))))

    def _of_batch(self, size: Multiple) -> str:
        if not self._batch:
            name, shape = next((name, shape) for name, shape in self.graph.inputs.items()
                               if shape and isinstance(shape[0], Multiple))
            self._batch = self.add("Shape", name, start=0, end=1)
        return self._batch if size.each == 1 else self.add("Mul", self._batch, self.array([size.each], np.int64))

    def _fresh(self, op: str) -> str:
        base = f"{self._place}/{op}" if self._place and op != "constant" else op
        name, number = base, 1
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name

    def _unsupported(self, what: str) -> ExportError:
        return ExportError(f"{self._place or 'the network'} reads {what}, which has no ONNX form here; use "
                           "export_mindir()")


def _plain(value: Any) -> Any:
    """Lists as tuples, at every depth."""
    return tuple(_plain(part) for part in value) if isinstance(value, list) else value


def _plain_type(value: Any) -> Any:
    kind = np.asarray(value).dtype
    return np.float32 if np.issubdtype(kind, np.floating) else kind


def _flatten(value: Any) -> list[str]:
    return [part for item in value for part in _flatten(item)] if isinstance(value, tuple) else [value]


def _shapes(shape: Any) -> list[tuple[int, ...]]:
    if shape and isinstance(shape[0], tuple):
        return [part for item in shape for part in _shapes(item)]
    return [shape]
