"""The only file that knows MindIR's protobuf: export a network and decode what comes out."""

import tempfile
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.train import mind_ir_pb2

from mindspore_gs._cells import evaluating
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import TraceError, first_line
from mindspore_gs.graph.ir import Graph, Node

_BOOKKEEPING = {"UpdateState", "Load", "Depend"}
_NUMPY_TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
                10: np.float16, 11: np.float64}
_INTEGERS = {"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"}


class _InTraining(nn.Cell):
    """Shows a network to ``ms.export`` in training mode, which export would switch off."""

    def __init__(self, net: nn.Cell):
        super().__init__(auto_prefix=False)
        self.net = net
        self.net.set_train(True)

    def set_train(self, mode: bool = True) -> nn.Cell:
        """Stay as it is."""
        return self

    def construct(self, *inputs: ms.Tensor) -> Any:
        """What the network returns."""
        return self.net(*inputs)


def export_graph(net: nn.Cell, inputs: tuple[ms.Tensor, ...], training: bool = False) -> Graph:
    """Export ``net`` to MindIR and read its graph. The caller's network keeps its training flags.

    Args:
        net: the network.
        inputs: what it is called with.
        training: the graph that is trained, with auxiliary heads and dropout, instead of the deployed one.
    """
    with tempfile.TemporaryDirectory() as folder, evaluating(net), nothing_left_behind():
        path = Path(folder) / "trace"
        shown = _InTraining(net) if training else net
        try:
            ms.export(shown, *inputs, file_name=str(path), file_format="MINDIR")
        except Exception as error:
            shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
            raise TraceError(f"{type(net).__name__} cannot be exported to MindIR with inputs of shape {shapes}; "
                             f"pass inputs that the network takes (MindSpore says: {first_line(error)})") from error
        model = mind_ir_pb2.ModelProto()
        model.ParseFromString(path.with_suffix(".mindir").read_bytes())
    return decode(model)


def decode(model: Any) -> Graph:
    """Decode a ``ModelProto``; memory bookkeeping and casts of parameters (mixed precision) disappear."""
    proto = model.graph
    own_names = {p.name: p.name.removeprefix(proto.name + ":") for p in proto.parameter}

    def short(name: str) -> str:
        return own_names.get(name, name)

    primitives = {p.name: p for p in model.primitives}
    parameters = {short(p.name): tuple(p.dims) for p in proto.parameter}
    inputs = {v.name: tuple(v.tensor[0].dims) if v.tensor else () for v in proto.input}
    constants: dict[str, Any] = {}
    aliases: dict[str, str] = {}
    nodes: list[Node] = []
    for item in proto.node:
        reads = tuple(aliases.get(short(name), short(name)) for name in item.input)
        output = short(item.output[0])
        op, attrs = _operator(item, primitives)
        if op == "Constant":
            constants[output] = _constant(item)
        elif op == "UpdateState":
            constants[output] = None
        elif op in _BOOKKEEPING or (op == "Cast" and reads[0] in parameters):
            aliases[output] = reads[0]
        else:
            nodes.append(Node(output, op, reads, attrs, _shape(item), _scope(item)))
    outputs = tuple(aliases.get(short(v.name), short(v.name)) for v in proto.output)
    return Graph(_live(nodes, outputs), constants, parameters, inputs, outputs)


def _live(nodes: list[Node], outputs: tuple[str, ...]) -> tuple[Node, ...]:
    """The nodes that an output depends on; the rest only fed memory bookkeeping."""
    needed, live = set(outputs), []
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


def _shape_of(attribute: Any) -> tuple[Any, ...]:
    kind = mind_ir_pb2.AttributeProto.AttributeType.Name(attribute.type)
    if kind in ("TUPLE", "LIST"):
        return tuple(_shape_of(v) for v in attribute.values)
    return tuple(attribute.tensors[0].dims) if attribute.tensors else ()
