"""Decode MindIR's protobuf into a graph. Functions that it calls (branches, loops, lazy_inline blocks) are written out.

Besides ``_mindir.py``, the only file that knows the protobuf.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mindspore.train import mind_ir_pb2

from mindspore_gs.graph.ir import Graph, Node

_NUMPY_TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
                10: np.float16, 11: np.float64}
ITEM_BYTES_OF_TYPE = {kind: np.dtype(dtype).itemsize for kind, dtype in _NUMPY_TYPES.items()}
_INTEGERS = {"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"}


def decode(model: Any) -> Graph:
    """Decode a ``ModelProto``; memory bookkeeping and casts of parameters (mixed precision) disappear."""
    return _Decoder(model).graph()


@dataclass(frozen=True)
class _Function:
    """A function of the file as a value, with the arguments that are bound already."""

    name: str
    bound: tuple[Any, ...] = ()


@dataclass(frozen=True)
class _Choice:
    """One of several functions; which one is decided by data."""

    condition: Any
    options: tuple[Any, ...]


@dataclass
class _Decoder:
    """Walks over the main graph, and into the functions that it calls."""

    model: Any
    nodes: list[Node] = field(default_factory=list)
    effects: set[str] = field(default_factory=set)
    running: dict[str, list[Any]] = field(default_factory=dict)
    rounds: set[str] = field(default_factory=set)
    calls: int = 0

    def __post_init__(self) -> None:
        main = self.model.graph
        self.functions = {f.name: f for f in self.model.functions}
        self.primitives = {p.name: p for p in self.model.primitives}
        self.own_names = {p.name: p.name.removeprefix(main.name + ":") for p in main.parameter}
        self.parameters = {self.own_names[p.name]: tuple(p.dims) for p in main.parameter}
        self.constants: dict[str, Any] = {item.output[0]: _constant(item) for graph in (main, *self.model.functions)
                                          for item in graph.node if item.op_type == "Constant"}

    def graph(self) -> Graph:
        """The main graph with everything that it calls in it."""
        main = self.model.graph
        inputs = {v.name: tuple(v.tensor[0].dims) if v.tensor else () for v in main.input}
        values: dict[str, Any] = dict(self.own_names)
        self._run(main, values, "")
        outputs = tuple(name for v in main.output for name in _names(self._read(v.name, values)))
        nodes = _live(self.nodes, outputs, self.effects)
        effects = tuple(node.name for node in nodes if node.name in self.effects)
        return Graph(nodes, self.constants, self.parameters, inputs, outputs, effects)

    def _read(self, name: str, values: dict[str, Any]) -> Any:
        """What a name stands for: the name of a value, a function, a choice, or a tuple of these."""
        if name in values:
            return values[name]
        return _Function(name) if name in self.functions else name

    def _run(self, graph: Any, values: dict[str, Any], prefix: str) -> None:
        for item in graph.node:
            if item.op_type != "Constant":
                values[item.output[0]] = self._value_of(item, values, prefix)

    def _value_of(self, item: Any, values: dict[str, Any], prefix: str) -> Any:
        """Add the node, or nodes, of an item; return what its output stands for."""
        reads = [self._read(name, values) for name in item.input]
        op, attrs = _operator(item, self.primitives)
        called = item.op_type.removeprefix("REF::")
        name = prefix + item.output[0]
        if called not in self.primitives and item.op_type.startswith("REF::"):
            return self._call(self._read(called, values), reads, name, item)
        if op == "UpdateState":
            self.constants[name] = None
            return name
        if op in ("Load", "Depend") or (op == "Cast" and _is_name(reads[0]) and reads[0] in self.parameters):
            return reads[0]
        if op == "Partial":
            return _Function(reads[0].name, (*reads[0].bound, *reads[1:]))
        if op in ("Switch", "SwitchLayer") and not all(_is_name(part) for part in reads[1:]):
            return _Choice(reads[0], tuple(reads[1:]) if op == "Switch" else tuple(reads[1]))
        if op == "MakeTuple" and any(isinstance(part, (_Function, _Choice)) for part in reads):
            return tuple(reads)
        if op == "TupleGetItem" and isinstance(reads[0], tuple):
            return reads[0][int(self.constants[reads[1]])]
        inputs = tuple(n for part in reads for n in _names(part))
        self.nodes.append(Node(name, op, inputs, attrs, _shape(item), _scope(item), _dtype(item)))
        self._note_effects(item, op, attrs, values, name)
        return name

    def _note_effects(self, item: Any, op: str, attrs: dict[str, Any], values: dict[str, Any], name: str) -> None:
        """An operator that writes is executed even if nothing reads its output; what it wrote to is another value."""
        if attrs.get("side_effect_mem") or attrs.get("side_effect_io"):
            self.effects.add(name)
        if attrs.get("side_effect_mem") and op.startswith("Inplace") and item.input[0] not in self.own_names:
            values[item.input[0]] = name

    def _call(self, function: Any, arguments: list[Any], name: str, item: Any) -> Any:
        """Write out a call: of one function, or of each that may be chosen.

        A function that is running already is the next round of a loop, whose result is what its last round returns.
        """
        if isinstance(function, _Choice):
            results = [self._call(option, arguments, f"{name}/{k}", item) for k, option in enumerate(function.options)]
            if not all(_is_name(result) for result in results):
                return _Choice(function.condition, tuple(results))
            ends = [result for result in results if result not in self.rounds] or results[:1]
            return ends[0] if len(ends) == 1 else self._joined("Choice", [function.condition, *ends], name, item)
        if not isinstance(function, _Function) or function.name not in self.functions:
            return self._joined("Call", [function, *arguments], name, item)
        arguments = [*function.bound, *arguments]
        if function.name in self.running:
            first = self.running[function.name]
            changed = [part for pair in zip(first, arguments) if pair[0] != pair[1] for part in pair]
            self.rounds.add(self._joined("Loop", changed, name, item))
            self.effects.add(name)
            return name
        return self._written_out(function.name, arguments)

    def _joined(self, op: str, parts: list[Any], name: str, item: Any) -> str:
        inputs = tuple(n for part in parts for n in _names(part) if self.constants.get(n, "") is not None)
        scope = _scope(item) if "/" in item.domain or not self.nodes else self.nodes[-1].scope
        self.nodes.append(Node(name, op, inputs, {}, _shape(item), scope, _dtype(item)))
        return name

    def _written_out(self, function: str, arguments: list[Any]) -> Any:
        body = self.functions[function]
        self.calls += 1
        values = dict(zip((v.name for v in body.input), arguments))
        self.running[function] = arguments
        self._run(body, values, f"{self.calls}/")
        del self.running[function]
        results = tuple(self._read(v.name, values) for v in body.output)
        return results[0] if len(results) == 1 else results


def _is_name(value: Any) -> bool:
    return isinstance(value, str)


def _names(value: Any) -> list[str]:
    """The names of values in what a name stands for: what is bound to functions, and what decides between them."""
    if isinstance(value, _Function):
        return [name for part in value.bound for name in _names(part)]
    if isinstance(value, _Choice):
        return [name for part in (value.condition, *value.options) for name in _names(part)]
    if isinstance(value, tuple):
        return [name for part in value for name in _names(part)]
    return [value]


def _live(nodes: list[Node], outputs: tuple[str, ...], effects: set[str]) -> tuple[Node, ...]:
    """The nodes that an output depends on, or that write something; the rest only fed memory bookkeeping."""
    needed, live = {*outputs, *effects}, []
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
            live.append(node)
    return tuple(reversed(live))


def _operator(item: Any, primitives: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if not item.op_type.startswith("REF::"):
        return item.op_type, {a.name: _value(a) for a in item.attribute if a.name not in ("shape", "value")}
    key = item.op_type[len("REF::"):]
    primitive = primitives.get(key)
    if primitive is None:
        return key.split(":")[0], {}
    attrs = {a.name: _value(a) for a in primitive.attribute}
    return primitive.op_type, attrs | ({"instance": primitive.instance_name} if primitive.instance_name else {})


def _scope(item: Any) -> str:
    return item.domain.rsplit("/", 1)[0] if "/" in item.domain else item.domain


def _constant(item: Any) -> Any:
    for attribute in item.attribute:
        if attribute.name == "value":
            return _value(attribute)
    return None


def _value(attribute: Any) -> Any:
    kind = mind_ir_pb2.AttributeProto.AttributeType.Name(attribute.type)
    if kind in ("TUPLE", "LIST"):
        return tuple(_value(v) for v in attribute.values)
    if kind == "TENSORS":
        return _array(attribute.tensors[0]) if attribute.tensors else None
    if kind == "TENSOR":
        return _array(attribute.t)
    if kind == "BOOL":
        return bool(attribute.ints[0] if attribute.ints else attribute.i)
    if kind in _INTEGERS:
        return int(attribute.ints[0] if attribute.ints else attribute.i)
    if kind in ("FLOAT", "FLOAT16", "FLOAT32"):
        return float(attribute.floats[0] if attribute.floats else attribute.f)
    if kind in ("DOUBLE", "FLOAT64"):
        return float(attribute.doubles[0] if attribute.doubles else attribute.d)
    if kind == "STRING":
        raw = attribute.strings[0] if attribute.strings else attribute.s
        return raw.decode()
    return None


def _array(tensor: Any) -> np.ndarray | None:
    dtype = _NUMPY_TYPES.get(tensor.data_type)
    if dtype is None or not tensor.raw_data:
        return None
    return np.frombuffer(tensor.raw_data, dtype).reshape(tuple(tensor.dims))


def _shape(item: Any) -> tuple[Any, ...]:
    for attribute in item.attribute:
        if attribute.name == "shape":
            return _shape_of(attribute)
    return ()


def _dtype(item: Any) -> Any:
    """The type of what an operator computes: a name, or a tuple of names."""
    for attribute in item.attribute:
        if attribute.name == "shape":
            return _dtype_of(attribute)
    return ""


def _dtype_of(attribute: Any) -> Any:
    kind = mind_ir_pb2.AttributeProto.AttributeType.Name(attribute.type)
    if kind in ("TUPLE", "LIST"):
        return tuple(_dtype_of(v) for v in attribute.values)
    dtype = _NUMPY_TYPES.get(attribute.tensors[0].data_type) if attribute.tensors else None
    return np.dtype(dtype).name if dtype else ""


def _shape_of(attribute: Any) -> tuple[Any, ...]:
    kind = mind_ir_pb2.AttributeProto.AttributeType.Name(attribute.type)
    if kind in ("TUPLE", "LIST"):
        return tuple(_shape_of(v) for v in attribute.values)
    return tuple(attribute.tensors[0].dims) if attribute.tensors else ()
