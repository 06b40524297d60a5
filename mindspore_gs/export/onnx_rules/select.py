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
    place = int(writer.argument(node, axis)) % max(len(writer.shape(table)), 1)
    shared = int(writer.argument(node, 3, 0)) if node.op != "IndexSelect" else 0
    if shared:
        return _gather_of_each(node, place, shared % len(writer.shape(indices)), writer)
    return writer.add("Gather", writer.tensor(table), writer.tensor(indices), axis=place)


def _gather_of_each(node: Node, axis: int, shared: int, writer: Writer) -> str:
    """Other indices for each sample: the first ``shared`` axes are those of both; the axis goes behind them."""
    table, indices = (writer.tensor(name) for name in node.inputs[:2])
    rank, count = len(writer.shape(node.inputs[0])), len(writer.shape(node.inputs[1])) - shared
    moved = writer.add("Transpose", table, perm=[*range(shared), axis, *(k for k in range(shared, rank) if k != axis)])
    lifted = writer.add("Unsqueeze", writer.add("Cast", indices, to=writer.type_number("int64")),
                        writer.array([-1], np.int64))
    found = writer.add("GatherND", moved, lifted, batch_dims=shared)
    between = axis - shared  # axes of the table that are in front of the indices' own
    order = [*range(shared), *range(shared + count, shared + count + between), *range(shared, shared + count),
             *range(shared + count + between, rank + count - 1)]
    return writer.add("Transpose", found, perm=order)


@onnx_rule("GatherD")
def _gather_elements(node: Node, writer: Writer) -> str:
    x, axis, indices = node.inputs[:3]
    return writer.add("GatherElements", writer.tensor(x), writer.tensor(indices), axis=int(writer.constant(axis)))


@onnx_rule("GatherNd")
def _gather_nd(node: Node, writer: Writer) -> str:
    return writer.add("GatherND", writer.tensor(node.inputs[0]), writer.tensor(node.inputs[1], "int64"))


_WRITTEN = {"Update": ("none", ""), "Add": ("add", ""), "Sub": ("add", "Neg"), "Mul": ("mul", "")}


@onnx_rule(*(f"TensorScatter{name}" for name in _WRITTEN))
def _written(node: Node, writer: Writer) -> str:
    """Some entries get other values, are added to, or multiplied."""
    x, indices, updates = node.inputs[:3]
    reduction, change = _WRITTEN[node.op.removeprefix("TensorScatter")]
    value = writer.tensor(updates, node.dtype)
    return writer.add("ScatterND", writer.tensor(x), writer.tensor(indices, "int64"),
                      writer.add(change, value) if change else value, reduction=reduction)


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


def _along(indices: str, axis: int, shape: tuple[int, ...], writer: Writer) -> str:
    """Indices of entries along an axis, repeated for every place of the other axes."""
    line = writer.reshape(indices, [-1 if k == axis else 1 for k in range(len(shape))])
    return writer.add("Expand", line, writer.vector(shape))


@onnx_rule("IndexAdd", "InplaceIndexAdd", "IndexAddExt", "InplaceIndexAddExt")
def _added_to_entries(node: Node, writer: Writer) -> str:
    """Added to entries along an axis; the newer operators have the axis as an input, and a factor."""
    ext = node.op.endswith("Ext")
    x, indices, updates = node.inputs[0], node.inputs[1 + ext], node.inputs[2 + ext]
    axis = int(writer.constant(node.inputs[1]) if ext else node.attrs["axis"]) % len(node.shape)
    added, factor = writer.tensor(updates, node.dtype), writer.argument(node, 4, 1) if ext else 1
    if factor != 1:
        added = writer.add("Mul", added, writer.array(factor, node.dtype))
    places = _along(writer.tensor(indices, "int64"), axis, writer.shape(updates), writer)
    return writer.add("ScatterElements", writer.tensor(x), places, added, axis=axis, reduction="add")


@onnx_rule("IndexFill", "IndexFillScalar", "IndexFillTensor", "InplaceIndexFillScalar", "InplaceIndexFillTensor")
def _filled_entries(node: Node, writer: Writer) -> str:
    """One number in entries along an axis."""
    x, dim, indices, value = node.inputs[:4]
    axis = int(writer.constant(dim)) % len(node.shape)
    count = writer.shape(indices)[0] if writer.shape(indices) else 1
    shape = tuple(count if k == axis else n for k, n in enumerate(node.shape))
    values = writer.add("Expand", writer.operand(value, node.dtype), writer.vector(shape))
    places = _along(writer.tensor(indices, "int64"), axis, shape, writer)
    return writer.add("ScatterElements", writer.tensor(x), places, values, axis=axis)


@onnx_rule("IndexPut")
def _put_by_index(node: Node, writer: Writer) -> str:
    """Values at places whose indices come axis by axis, from the first one on; replaced or added."""
    x, values, indices = node.inputs[:3]
    columns, shapes = writer.tensors(indices), _shapes_of(indices, writer)
    count = max(int(shape[0]) for shape in shapes)
    places = [writer.add("Expand", writer.add("Cast", column, to=writer.type_number("int64")),
                         writer.array([count], np.int64)) for column in columns]
    lifted = [writer.add("Unsqueeze", place, writer.array([-1], np.int64)) for place in places]
    updates = writer.add("Expand", writer.tensor(values, node.dtype), writer.vector((count, *node.shape[len(places):]))
                         if len(places) < len(node.shape) else writer.array([count], np.int64))
    return writer.add("ScatterND", writer.tensor(x), writer.add("Concat", *lifted, axis=-1), updates,
                      reduction="add" if int(node.attrs.get("accumulate", 0)) else "none")


def _shapes_of(name: str, writer: Writer) -> list[tuple[int, ...]]:
    """The shapes of the tensors in a tuple."""
    if name in writer.graph.constants:
        return [np.shape(value) for value in writer.graph.constants[name]]
    return [writer.shape(part) for part in writer.graph.producers[name].inputs]


@onnx_rule("UnsortedSegmentSum")
def _sums_of_segments(node: Node, writer: Writer) -> str:
    """Entries of one segment are added; a negative segment is none, so its entries are added as zeros."""
    values, segments = node.inputs[:2]
    if len(writer.shape(segments)) != 1:
        raise ExportError(f"{node} has segments of more than one axis, which has no ONNX rule; flatten them")
    places, zero = writer.tensor(segments, "int64"), writer.array(0, node.dtype)
    none = writer.add("Less", places, writer.array(0, np.int64))
    apart = writer.reshape(none, [-1, *(1 for _ in writer.shape(values)[1:])])
    added = writer.add("Where", apart, zero, writer.tensor(values))
    index = writer.add("Unsqueeze", writer.add("Max", places, writer.array(0, np.int64)), writer.array([-1], np.int64))
    return writer.add("ScatterND", writer.add("Expand", zero, writer.vector(node.shape)), index, added, reduction="add")


@onnx_rule("ReverseSequence")
def _turned_round(node: Node, writer: Writer) -> str:
    """The first entries of each sample, as many as its length says, in reverse; ONNX wants both axes in front."""
    time, batch = (int(writer.option(node, key, place, default)) % len(node.shape) for place, (key, default) in
                   enumerate((("seq_dim", 1), ("batch_dim", 0)), 2))
    order = [batch, time, *(k for k in range(len(node.shape)) if k not in (batch, time))]
    x = writer.add("Transpose", writer.tensor(node.inputs[0]), perm=order)
    turned = writer.add("ReverseSequence", x, writer.tensor(node.inputs[1], "int64"), batch_axis=0, time_axis=1)
    return writer.add("Transpose", turned, perm=[order.index(k) for k in range(len(order))])


@onnx_rule("SearchSorted")
def _found_places(node: Node, writer: Writer) -> str:
    """How many numbers of the sorted row are smaller; or not larger, from the right."""
    row, values = node.inputs[:2]
    if any(name not in writer.graph.constants or writer.constant(name) is not None for name in node.inputs[2:3]):
        raise ExportError(f"{node} has a sorter, which has no ONNX rule; sort the row first")
    right = bool(writer.option(node, "right", 4, False))
    dtype = np.result_type(writer.dtype(row), writer.dtype(values)).name
    line = writer.tensor(row, dtype)
    if len(writer.shape(row)) > 1:
        line = writer.add("Unsqueeze", line, writer.array([-2], np.int64))
    lifted = writer.add("Unsqueeze", writer.tensor(values, dtype), writer.array([-1], np.int64))
    before = writer.add("LessOrEqual" if right else "Less", line, lifted)
    counts = writer.add("Cast", before, to=writer.type_number(node.dtype))
    return writer.add("ReduceSum", counts, writer.array([-1], np.int64), keepdims=0)


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
