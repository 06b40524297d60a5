"""ONNX rules of operators that move values around, repeat them, or put them side by side."""

from typing import Any

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.batch import Multiple
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node


@onnx_rule("Reshape", "View", "Flatten", "FlattenExt", "Squeeze", "ExpandDims", "UnsqueezeExt", "InnerUnsqueeze",
           "ExpandDimsView", "ViewAs")
def _reshaped(node: Node, writer: Writer) -> str:
    return writer.reshape(writer.tensor(node.inputs[0]), node.shape)


@onnx_rule("Transpose", "Permute", "TransposeView")
def _transposed(node: Node, writer: Writer) -> str:
    rank = len(node.shape)
    return writer.add("Transpose", writer.tensor(node.inputs[0]),
                      perm=[int(n) % rank for n in writer.constant(node.inputs[1])])


@onnx_rule("TransposeExt", "TransposeExtView")
def _two_axes(node: Node, writer: Writer) -> str:
    order = list(range(len(node.shape)))
    one, two = (int(writer.constant(name)) for name in node.inputs[1:3])
    order[one], order[two] = order[two], order[one]
    return writer.add("Transpose", writer.tensor(node.inputs[0]), perm=order)


@onnx_rule("MakeTuple", "make_list", "MakeList")
def _tuple(node: Node, writer: Writer) -> tuple[Any, ...]:
    """A tuple, nested where it has tuples in it."""
    return tuple(writer.value(name) for name in node.inputs)


@onnx_rule("TupleGetItem", "ListGetItem", "list_getitem", "tuple_getitem")
def _item(node: Node, writer: Writer) -> Any:
    return writer.value(node.inputs[0])[int(writer.constant(node.inputs[1]))]


@onnx_rule("Concat")
def _concatenated(node: Node, writer: Writer) -> str:
    parts = [value for name in node.inputs[:-1] for value in writer.tensors(name)]
    return writer.add("Concat", *parts, axis=int(writer.constant(node.inputs[-1])))


@onnx_rule("Stack", "StackExt")
def _stacked(node: Node, writer: Writer) -> str:
    axis = int(node.attrs["axis"] if "axis" in node.attrs else writer.argument(node, 1, 0)) % len(node.shape)
    shape = tuple(n if k != axis else 1 for k, n in enumerate(node.shape))
    return writer.add("Concat", *(writer.reshape(part, shape) for part in writer.tensors(node.inputs[0])), axis=axis)


@onnx_rule("Split", "SplitTensor", "SplitTensorView", "SplitWithSize", "SplitWithSizeView", "Chunk", "ChunkView",
           "SplitV")
def _split(node: Node, writer: Writer) -> tuple[str, ...]:
    return _parts(node, _split_axis(node, writer), writer)


def _split_axis(node: Node, writer: Writer) -> int:
    place = 1 if node.op == "Split" else 2
    axis = node.attrs.get("split_dim", node.attrs.get("axis"))
    return int(writer.argument(node, place, 0) if axis is None else axis) % len(node.shape[0])


def _parts(node: Node, axis: int, writer: Writer) -> tuple[str, ...]:
    x = writer.tensor(node.inputs[0])
    if len(node.shape) == 1:
        return (writer.add("Identity", x),)
    return writer.add("Split", x, writer.vector([shape[axis] for shape in node.shape]), outputs=len(node.shape),
                      axis=axis)


@onnx_rule("Unstack", "UnstackExt", "UnstackExtView")
def _unstacked(node: Node, writer: Writer) -> tuple[str, ...]:
    rank = len(node.shape[0]) + 1
    axis = int(node.attrs["axis"] if "axis" in node.attrs else writer.argument(node, 1, 0)) % rank
    x = writer.tensor(node.inputs[0])
    return tuple(writer.add("Gather", x, writer.array(k, np.int64), axis=axis) for k in range(len(node.shape)))


_Cut = tuple[int, int, int, int]  # begin, end, axis, step


def _sliced(x: str, cuts: list[_Cut], writer: Writer) -> str:
    if not cuts:
        return writer.add("Identity", x)
    return writer.add("Slice", x, *(writer.vector(column) for column in zip(*cuts)))


@onnx_rule("StridedSlice")
def _strided(node: Node, writer: Writer) -> str:
    """NumPy's indexing: begins, ends and steps, with bits for what is left out, added, and taken away."""
    new, shrink = (int(writer.argument(node, place, 0)) for place in (7, 8))
    shape = writer.shape(node.inputs[0])
    kept = [cut for cut in _cuts(node, len(shape), writer)
            if cut[3] != 1 or cut[0] != 0 or not _whole(cut[1], shape[cut[2]])]
    value = _sliced(writer.tensor(node.inputs[0]), kept, writer)
    return writer.reshape(value, node.shape) if new or shrink else value


def _cuts(node: Node, rank: int, writer: Writer) -> list[_Cut]:
    """What is cut out along each axis that the index names."""
    begins, ends, steps = (writer.constant(name) for name in node.inputs[1:4])
    begin_mask, end_mask, ellipsis, new, shrink = (int(writer.argument(node, k, 0)) for k in range(4, 9))
    cuts: list[_Cut] = []
    axis = 0
    for k, (begin, end, step) in enumerate(zip(begins, ends, steps)):
        if ellipsis >> k & 1:
            axis = rank - sum(not new >> later & 1 for later in range(k + 1, len(begins)))
        elif shrink >> k & 1:
            cuts.append((begin, begin + 1 if begin != -1 else _END, axis, 1))
            axis += 1
        elif not new >> k & 1:
            cuts.append((_bound(begin, step, begin_mask >> k & 1, True), _bound(end, step, end_mask >> k & 1, False),
                         axis, step))
            axis += 1
    return cuts


_END = 2 ** 31 - 1


def _bound(value: int, step: int, masked: int, first: bool) -> int:
    """A begin or an end; where it is left out, that of the axis in the direction of the step."""
    if not masked:
        return value
    return 0 if first and step > 0 else _END if (not first and step > 0) or first else -_END


def _whole(end: int, size: int) -> bool:
    """Whether an end is that of the axis, at any batch."""
    if isinstance(end, Multiple) or isinstance(size, Multiple):
        return int(end) >= _END or (isinstance(end, Multiple) and isinstance(size, Multiple) and end.each == size.each)
    return end >= size


@onnx_rule("Slice")
def _slice(node: Node, writer: Writer) -> str:
    begins, sizes = (writer.constant(name) for name in node.inputs[1:3])
    shape = writer.shape(node.inputs[0])
    entries = [(b, _END if n == -1 or (b == 0 and _whole(n, size)) else _sum(b, n), axis, 1)
               for axis, (b, n, size) in enumerate(zip(begins, sizes, shape))]
    kept = [entry for entry in entries if entry[0] != 0 or entry[1] != _END]
    return _sliced(writer.tensor(node.inputs[0]), kept, writer)


def _sum(begin: int, length: int) -> int:
    if not isinstance(begin, Multiple) and not isinstance(length, Multiple):
        return begin + length
    each = getattr(begin, "each", 0) + getattr(length, "each", 0)
    if any(n and not isinstance(n, Multiple) for n in (begin, length)):
        raise ExportError("a slice begins at a number and is as long as the batch, which has no ONNX rule")
    return Multiple(int(begin) + int(length), each)


@onnx_rule("SliceExt", "SliceExtView", "Narrow", "NarrowView")
def _slice_of_an_axis(node: Node, writer: Writer) -> str:
    axis, begin, end = (writer.constant(name) for name in node.inputs[1:4])
    step = 1 if node.op.startswith("Narrow") else writer.argument(node, 4, 1)
    end = _sum(begin, end) if node.op.startswith("Narrow") else end
    return _sliced(writer.tensor(node.inputs[0]), [(begin, end, axis, step)], writer)


@onnx_rule("Tile")
def _tiled(node: Node, writer: Writer) -> str:
    counts, shape = writer.constant(node.inputs[1]), writer.shape(node.inputs[0])
    rank = max(len(counts), len(shape))
    x = writer.tensor(node.inputs[0])
    if rank > len(shape):
        x = writer.reshape(x, (*(1 for _ in range(rank - len(shape))), *shape))
    return writer.add("Tile", x, writer.vector([*(1 for _ in range(rank - len(counts))), *counts]))


@onnx_rule("BroadcastTo", "ExpandAs", "Expand", "BroadcastToView")
def _broadcast(node: Node, writer: Writer) -> str:
    return writer.add("Expand", writer.tensor(node.inputs[0]), writer.vector(node.shape))


@onnx_rule("ReverseV2")
def _reversed(node: Node, writer: Writer) -> str:
    axes = node.attrs["axis"] if "axis" in node.attrs else writer.argument(node, 1)
    cuts = [(-1, -_END, int(axis), -1) for axis in (axes if isinstance(axes, tuple) else (axes,))]
    return _sliced(writer.tensor(node.inputs[0]), cuts, writer)


@onnx_rule("Roll")
def _rolled(node: Node, writer: Writer) -> str:
    """Two slices, the other way round."""
    shifts, axes = ((node.attrs[key] if key in node.attrs else writer.argument(node, place))
                    for key, place in (("shift", 1), ("axis", 2)))
    value = writer.tensor(node.inputs[0])
    pairs = zip(*(part if isinstance(part, tuple) else (part,) for part in (shifts, axes)))
    for shift, axis in pairs:
        cut = -int(shift) % int(node.shape[axis]) if not isinstance(node.shape[axis], Multiple) else -int(shift)
        back = _sliced(value, [(cut, _END, axis, 1)], writer)
        front = _sliced(value, [(0, cut, axis, 1)], writer)
        value = writer.add("Concat", back, front, axis=int(axis))
    return value


@onnx_rule("DepthToSpace", "SpaceToDepth")
def _blocks(node: Node, writer: Writer) -> str:
    size = node.attrs["block_size"] if "block_size" in node.attrs else writer.argument(node, 1)
    options: dict[str, Any] = {"mode": "DCR"} if node.op == "DepthToSpace" else {}
    return writer.add(node.op, writer.tensor(node.inputs[0]), blocksize=int(size), **options)


@onnx_rule("ChannelShuffle")
def _shuffled(node: Node, writer: Writer) -> str:
    """Channels in groups, one of each group after the other."""
    (batch, channels), groups = node.shape[:2], int(node.attrs["group"])
    parts = writer.reshape(writer.tensor(node.inputs[0]), (batch, groups, int(channels) // groups, -1))
    return writer.reshape(writer.add("Transpose", parts, perm=[0, 2, 1, 3]), node.shape)


@onnx_rule("ZerosLike", "OnesLike", "ZerosLikeExt", "OnesLikeExt", "Zeros", "Ones", "NewZeros", "NewOnes",
           "InplaceZero")
def _filled_with_one_number(node: Node, writer: Writer) -> str:
    number = writer.array(np.asarray(0 if "Zero" in node.op else 1, node.dtype))
    return writer.add("Expand", number, writer.vector(node.shape))


@onnx_rule("Fill", "FillV2", "FillScalar", "FillTensor", "FullLike", "NewFull", "InplaceFillScalar",
           "InplaceFillTensor")
def _filled(node: Node, writer: Writer) -> str:
    place = 2 if node.op in ("Fill", "NewFull") else 1
    return writer.add("Expand", writer.operand(node.inputs[place], node.dtype), writer.vector(node.shape))


@onnx_rule("Tril", "TrilExt", "Triu", "TriuExt")
def _triangle(node: Node, writer: Writer) -> str:
    diagonal = writer.array(int(writer.option(node, "diagonal", 1, 0)), np.int64)
    return writer.add("Trilu", writer.tensor(node.inputs[0]), diagonal, upper=int(node.op.startswith("Triu")))


@onnx_rule("Repeat")
def _repeated(node: Node, writer: Writer) -> str:
    return _tiled(node, writer)


@onnx_rule("RepeatInterleaveInt")
def _each_repeated(node: Node, writer: Writer) -> str:
    """Each entry along an axis several times in a row; without an axis, each number of the flat tensor."""
    count, axis = int(writer.constant(node.inputs[1])), writer.argument(node, 2)
    x, shape = writer.tensor(node.inputs[0]), writer.shape(node.inputs[0])
    place = len(shape) if axis is None else int(axis) % len(shape) + 1
    lifted = writer.add("Unsqueeze", x, writer.array([place], np.int64))
    copies = writer.add("Tile", lifted, writer.array([count if k == place else 1 for k in range(len(shape) + 1)],
                                                     np.int64))
    return writer.reshape(copies, node.shape)


@onnx_rule("TExt")
def _matrix_transposed(node: Node, writer: Writer) -> str:
    return writer.add("Transpose", writer.tensor(node.inputs[0]), perm=list(range(len(node.shape)))[::-1])


@onnx_rule("Diagonal", "DiagonalView")
def _diagonal(node: Node, writer: Writer) -> str:
    """Picked from the two axes as one; they are the last ones first."""
    shape = writer.shape(node.inputs[0])
    offset, one, two = (int(writer.option(node, key, place, default)) for place, (key, default) in enumerate(
        (("offset", 0), ("dim1", 0), ("dim2", 1)), 1))
    one, two = one % len(shape), two % len(shape)
    if isinstance(shape[one], Multiple) or isinstance(shape[two], Multiple):
        raise ExportError(f"{node} takes a diagonal along the batch, which has no ONNX rule")
    others = [k for k in range(len(shape)) if k not in (one, two)]
    rows, columns = int(shape[one]), int(shape[two])
    flat = writer.reshape(writer.add("Transpose", writer.tensor(node.inputs[0]), perm=[*others, one, two]),
                          [*(shape[k] for k in others), rows * columns])
    row = np.arange(max(-offset, 0), max(-offset, 0) + int(node.shape[-1]))
    return writer.add("Gather", flat, writer.array(row * columns + row + offset, np.int64), axis=len(others))


@onnx_rule("Eye", "Range", "Arange", "LinSpace", "LinSpaceExt")
def _known_numbers(node: Node, writer: Writer) -> str:
    """Numbers that the code alone decides are a constant; those up to the batch are counted."""
    given = [writer.constant(name) for name in node.inputs]
    if any(isinstance(value, Multiple) for value in given):
        if node.op not in ("Range", "Arange"):
            raise ExportError(f"{node} counts as far as the batch, which has no ONNX rule")
        return writer.add("Range", *(writer.operand(name, node.dtype) for name in node.inputs[:3]))
    if node.op == "Eye":
        return writer.array(np.eye(int(given[0]), int(given[1]), dtype=node.dtype))
    if node.op.startswith("LinSpace"):
        return writer.array(np.linspace(given[0], given[1], int(given[2])).astype(node.dtype))
    return writer.array(np.arange(*given[:3]).astype(node.dtype))


@onnx_rule("TriuIndices", "TrilIndices")
def _places_of_a_triangle(node: Node, writer: Writer) -> str:
    """Rows and columns of the places of a triangle, a constant."""
    rows, columns, offset = (int(node.attrs.get(key, 0)) for key in ("row", "col", "offset"))
    places = (np.triu_indices if node.op.startswith("Triu") else np.tril_indices)(rows, offset, columns)
    return writer.array(np.stack(places), node.dtype)


@onnx_rule("Meshgrid")
def _mesh(node: Node, writer: Writer) -> tuple[str, ...]:
    """Each vector along an axis of its own; with the indexing xy the first two change places."""
    rank, swapped = len(node.shape[0]), writer.option(node, "indexing", 1, "xy") in ("xy", 1)
    found = []
    for k, value in enumerate(writer.tensors(node.inputs[0])):
        axis = 1 - k if swapped and k < 2 <= rank else k
        line = writer.reshape(value, [-1 if j == axis else 1 for j in range(rank)])
        found.append(writer.add("Expand", line, writer.vector(node.shape[k])))
    return tuple(found)
