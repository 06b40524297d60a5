"""ONNX rules of operators that take values by index, sort them, or find the largest."""

from typing import Any

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node


@onnx_rule("Gather", "GatherV2", "IndexSelect")
def _gather(node: Node, writer: Writer) -> str:
    table, indices, axis = node.inputs[0], node.inputs[1], 2
    if node.op == "IndexSelect":
        indices, axis = node.inputs[2], 1
    if writer.argument(node, 3, 0):
        raise ExportError(f"{node} takes other indices for each sample (batch_dims), which has no ONNX rule; use "
                          "ops.gather_elements")
    return writer.add("Gather", writer.tensor(table), writer.tensor(indices), axis=int(writer.argument(node, axis)))


@onnx_rule("GatherD")
def _gather_elements(node: Node, writer: Writer) -> str:
    x, axis, indices = node.inputs[:3]
    return writer.add("GatherElements", writer.tensor(x), writer.tensor(indices), axis=int(writer.constant(axis)))


@onnx_rule("GatherNd")
def _gather_nd(node: Node, writer: Writer) -> str:
    return writer.add("GatherND", writer.tensor(node.inputs[0]), writer.tensor(node.inputs[1], "int64"))


@onnx_rule("SelectExt", "SelectView", "SelectExtView")
def _one_position(node: Node, writer: Writer) -> str:
    x, axis, index = node.inputs[:3]
    return writer.add("Gather", writer.tensor(x), writer.array(int(writer.constant(index)), np.int64),
                      axis=int(writer.constant(axis)))


def _own(node: Node, key: str, place: int, writer: Writer, default: Any) -> Any:
    return node.attrs[key] if key in node.attrs else writer.argument(node, place, default)


@onnx_rule("Argmax", "ArgMaxExt", "Argmin", "ArgMinExt")
def _position(node: Node, writer: Writer) -> str:
    x, axis = writer.tensor(node.inputs[0]), _own(node, "axis", 1, writer, None)
    keep = bool(writer.argument(node, 2, False)) if node.op.endswith("Ext") else False
    if axis is None:
        x, axis, keep = writer.reshape(x, (-1,)), 0, False
    op = "ArgMax" if "ax" in node.op[3:6] else "ArgMin"
    return writer.add("Cast", writer.add(op, x, axis=int(axis), keepdims=int(keep)), to=writer.type_number(node.dtype))


@onnx_rule("ArgMaxWithValue", "ArgMinWithValue", "MaxDim", "MinDim")
def _position_and_value(node: Node, writer: Writer) -> tuple[str, str]:
    """(index, value), or the other way round for the newer operators."""
    x = writer.tensor(node.inputs[0])
    axis, keep = int(_own(node, "axis", 1, writer, 0)), int(bool(_own(node, "keep_dims", 2, writer, False)))
    largest, first = "Max" in node.op, 0 if node.op.startswith("Arg") else 1
    index = writer.add("Cast", writer.add("ArgMax" if largest else "ArgMin", x, axis=axis, keepdims=keep),
                       to=writer.type_number(node.dtype[first]))
    value = writer.add("ReduceMax" if largest else "ReduceMin", x, axes=[axis], keepdims=keep)
    return (index, value) if first == 0 else (value, index)


@onnx_rule("TopK", "TopkExt")
def _largest(node: Node, writer: Writer) -> tuple[str, str]:
    ext = node.op == "TopkExt"
    axis, largest = (int(writer.argument(node, 2, -1)), int(writer.argument(node, 3, True))) if ext else (-1, 1)
    sort = bool(writer.argument(node, 4, True)) if ext else bool(_own(node, "sorted", 2, writer, True))
    values, indices = writer.add("TopK", writer.tensor(node.inputs[0]), writer.vector([writer.argument(node, 1)]),
                                 outputs=2, axis=axis, largest=largest, sorted=int(sort))
    return values, writer.add("Cast", indices, to=writer.type_number(node.dtype[1]))


@onnx_rule("Sort", "SortExt")
def _sorted(node: Node, writer: Writer) -> tuple[str, str]:
    axis = int(_own(node, "axis", 1, writer, -1))
    descending = bool(_own(node, "descending", 2, writer, False))
    size = writer.shape(node.inputs[0])[axis]
    values, indices = writer.add("TopK", writer.tensor(node.inputs[0]), writer.vector([size]), outputs=2, axis=axis,
                                 largest=int(descending), sorted=1)
    return values, writer.add("Cast", indices, to=writer.type_number(node.dtype[1]))
