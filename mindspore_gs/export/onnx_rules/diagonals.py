"""ONNX rules of operators that make diagonals, take them out, or keep a band around them."""

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.batch import Multiple
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node


def _two(value: int | tuple[int, ...]) -> tuple[int, int]:
    """First and last diagonal, from a number or from both."""
    numbers = value if isinstance(value, tuple) else (value,)
    return int(numbers[0]), int(numbers[-1])


def _size(node: Node, shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of the matrices in the last two axes.

    Raises:
        ExportError: one of them is the batch.
    """
    if any(isinstance(n, Multiple) for n in shape[-2:]):
        raise ExportError(f"{node} has a diagonal along the batch, which has no ONNX rule")
    return int(shape[-2]), int(shape[-1])


def _places(rows: int, columns: int, first: int, last: int, align: str) -> tuple[np.ndarray, int]:
    """Where each number of a matrix is stored, counted over all diagonals, -1 where it is on none of them.

    The topmost diagonal comes first. All are as long as the longest; ``align`` says on which side shorter ones are
    filled, those above the middle and those below it.
    """
    longest = min(rows + min(last, 0), columns - max(first, 0))
    above, below = align.split("_")
    row, column = np.indices((rows, columns))
    diagonal = column - row
    length = np.minimum(rows + np.minimum(diagonal, 0), columns - np.maximum(diagonal, 0))
    left = ((diagonal >= 0) & (above == "LEFT")) | ((diagonal <= 0) & (below == "LEFT"))
    along = np.minimum(row, column) + np.where(left, 0, longest - length)
    inside = (diagonal >= first) & (diagonal <= last)
    return np.where(inside, (last - diagonal) * longest + along, -1), longest


def _alignment(node: Node) -> str:
    return str(node.attrs.get("align", "RIGHT_LEFT"))


def _on_diagonals(values: str, other: str, node: Node, bounds: tuple[int, int], writer: Writer) -> str:
    """``values`` on the diagonals of a matrix, and ``other`` elsewhere."""
    places, longest = _places(*_size(node, node.shape), *bounds, _alignment(node))
    flat = writer.reshape(values, (*node.shape[:-2], longest * (bounds[1] - bounds[0] + 1)))
    picked = writer.add("Gather", flat, writer.array(np.maximum(places, 0), np.int64), axis=len(node.shape) - 2)
    return writer.add("Where", writer.array(places >= 0), picked, other)


@onnx_rule("MatrixDiagV3")
def _matrix_of_diagonals(node: Node, writer: Writer) -> str:
    bounds = _two(writer.constant(node.inputs[1]))
    return _on_diagonals(writer.tensor(node.inputs[0]), writer.operand(node.inputs[4], node.dtype), node, bounds,
                         writer)


@onnx_rule("MatrixSetDiagV3")
def _matrix_with_diagonals(node: Node, writer: Writer) -> str:
    x, values, k = node.inputs[:3]
    return _on_diagonals(writer.tensor(values, node.dtype), writer.tensor(x), node, _two(writer.constant(k)), writer)


@onnx_rule("MatrixDiagPartV3")
def _diagonals_of_a_matrix(node: Node, writer: Writer) -> str:
    """Picked from the flat matrix; where a diagonal is shorter than the longest, the number for filling."""
    shape = writer.shape(node.inputs[0])
    (rows, columns), bounds = _size(node, shape), _two(writer.constant(node.inputs[1]))
    places, longest = _places(rows, columns, *bounds, _alignment(node))
    sources = np.full(longest * (bounds[1] - bounds[0] + 1), -1)
    inside = places.ravel() >= 0
    sources[places.ravel()[inside]] = np.flatnonzero(inside)
    flat = writer.reshape(writer.tensor(node.inputs[0]), (*shape[:-2], rows * columns))
    picked = writer.add("Gather", flat, writer.array(np.maximum(sources, 0), np.int64), axis=len(shape) - 2)
    filled = writer.add("Where", writer.array(sources >= 0), picked, writer.operand(node.inputs[2], node.dtype))
    return writer.reshape(filled, node.shape)


@onnx_rule("MatrixBandPart")
def _band(node: Node, writer: Writer) -> str:
    """What is at most so many places below and above the diagonal; a negative number keeps all of that side."""
    rows, columns = _size(node, node.shape)
    below, above = (int(writer.constant(name)) for name in node.inputs[1:3])
    row, column = np.indices((rows, columns))
    kept = ((below < 0) | (row - column <= below)) & ((above < 0) | (column - row <= above))
    return writer.add("Where", writer.array(kept), writer.tensor(node.inputs[0]), writer.array(0, node.dtype))


@onnx_rule("Diag")
def _diagonal_matrix(node: Node, writer: Writer) -> str:
    """A tensor of the shape s becomes one of the shape (s, s), with it where both places are the same."""
    if any(isinstance(n, Multiple) for n in node.shape):
        raise ExportError(f"{node} makes a matrix along the batch, which has no ONNX rule")
    shape = tuple(int(n) for n in node.shape[:len(node.shape) // 2])
    kept = np.eye(int(np.prod(shape)), dtype=bool).reshape(*shape, *shape)
    return writer.add("Where", writer.array(kept), writer.tensor(node.inputs[0]), writer.array(0, node.dtype))


@onnx_rule("Trace", "TraceExt", "TraceV2")
def _trace(node: Node, writer: Writer) -> str:
    """The sum of the diagonal of a matrix."""
    if len(writer.shape(node.inputs[0])) != 2:
        raise ExportError(f"{node} is the trace of more than one matrix, which has no ONNX rule; use ops.diagonal and "
                          "a sum")
    rows, columns = _size(node, writer.shape(node.inputs[0]))
    on = writer.array(np.eye(rows, columns), writer.dtype(node.inputs[0]))
    total = writer.add("ReduceSum", writer.add("Mul", writer.tensor(node.inputs[0]), on), keepdims=0)
    return writer.add("Cast", total, to=writer.type_number(node.dtype))


@onnx_rule("Outer", "Ger")
def _outer(node: Node, writer: Writer) -> str:
    """Each number of one vector times each number of the other."""
    left, right = (writer.tensor(name, node.dtype) for name in node.inputs[:2])
    return writer.add("Mul", writer.add("Unsqueeze", left, writer.array([-1], np.int64)),
                      writer.add("Unsqueeze", right, writer.array([-2], np.int64)))
