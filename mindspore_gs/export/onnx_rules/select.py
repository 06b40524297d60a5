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


@onnx_rule("TensorScatterUpdate", "TensorScatterAdd", "TensorScatterMul")
def _written(node: Node, writer: Writer) -> str:
    """Some entries get other values, are added to, or multiplied."""
    x, indices, updates = node.inputs[:3]
    reduction = {"Update": "none", "Add": "add", "Mul": "mul"}[node.op.removeprefix("TensorScatter")]
    return writer.add("ScatterND", writer.tensor(x), writer.tensor(indices, "int64"),
                      writer.tensor(updates, node.dtype), reduction=reduction)


_REDUCTIONS = {"none": "none", 0: "none", "add": "add", 1: "add", "multiply": "mul", "mul": "mul", 2: "mul"}


@onnx_rule("TensorScatterElements", "Scatter", "ScatterValue", "ScatterAddExt")
def _written_along_an_axis(node: Node, writer: Writer) -> str:
    """The same along one axis."""
    if node.op == "TensorScatterElements":
        x, indices, updates = node.inputs[:3]
        axis, reduce = (writer.option(node, key, place, default) for place, (key, default) in enumerate(
            (("axis", 0), ("reduce", "none")), 3))
        value = writer.tensor(updates, node.dtype)
    else:
        x, place, indices, updates = node.inputs[:4]
        axis, reduce = writer.constant(place), "add" if node.op == "ScatterAddExt" else writer.argument(node, 4, "none")
        value = writer.operand(updates, node.dtype)
        if node.op == "ScatterValue":
            value = writer.add("Expand", value, writer.vector(writer.shape(indices)))
    reduction = _REDUCTIONS.get(reduce)
    if reduction is None:
        raise ExportError(f"{node} combines values by {reduce!r}, which has no ONNX rule; use add or multiply")
    return writer.add("ScatterElements", writer.tensor(x), writer.tensor(indices, "int64"), value, axis=int(axis),
                      reduction=reduction)


@onnx_rule("ScatterNd")
def _written_into_zeros(node: Node, writer: Writer) -> str:
    """Values that meet in one place are added."""
    zeros = writer.add("Expand", writer.array(np.asarray(0, node.dtype)), writer.vector(node.shape))
    return writer.add("ScatterND", zeros, writer.tensor(node.inputs[0], "int64"),
                      writer.tensor(node.inputs[1], node.dtype), reduction="add")


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


@onnx_rule("Median", "MedianDim")
def _median(node: Node, writer: Writer) -> tuple[str, str]:
    """The lower one of the two in the middle, and where it is."""
    axis = int(writer.option(node, "axis", 1, -1)) % len(writer.shape(node.inputs[0]))
    if node.attrs.get("global_median"):
        raise ExportError(f"{node} is the median of all numbers, which has no ONNX rule; flatten, and name the axis")
    keep = bool(writer.option(node, "keep_dims", 2, False))
    size = int(writer.shape(node.inputs[0])[axis])
    parts = writer.add("TopK", writer.tensor(node.inputs[0]), writer.array([(size + 1) // 2], np.int64), outputs=2,
                       axis=axis, largest=0, sorted=1)
    last = writer.array([-1] if keep else -1, np.int64)
    value, index = (writer.add("Gather", part, last, axis=axis) for part in parts)
    return value, writer.add("Cast", index, to=writer.type_number(node.dtype[1]))


@onnx_rule("Sort", "SortExt")
def _sorted(node: Node, writer: Writer) -> tuple[str, str]:
    axis = int(_own(node, "axis", 1, writer, -1))
    descending = bool(_own(node, "descending", 2, writer, False))
    size = writer.shape(node.inputs[0])[axis]
    values, indices = writer.add("TopK", writer.tensor(node.inputs[0]), writer.vector([size]), outputs=2, axis=axis,
                                 largest=int(descending), sorted=1)
    return values, writer.add("Cast", indices, to=writer.type_number(node.dtype[1]))
