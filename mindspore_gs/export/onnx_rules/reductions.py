"""ONNX rules of operators that make one number of many along axes."""

from typing import Any

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.batch import Multiple
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node

_REDUCTIONS = {"ReduceMean": "ReduceMean", "MeanExt": "ReduceMean", "ReduceSum": "ReduceSum", "SumExt": "ReduceSum",
               "ReduceMax": "ReduceMax", "Amax": "ReduceMax", "Max": "ReduceMax", "ReduceMin": "ReduceMin",
               "Amin": "ReduceMin", "Min": "ReduceMin", "ReduceProd": "ReduceProd", "ProdExt": "ReduceProd",
               "LogSumExp": "ReduceLogSumExp"}


def reduced(op: str, value: str, axes: tuple[int, ...] | None, keep: bool, writer: Writer) -> str:
    """A reduction of ``value`` over ``axes``; over all where they are None or empty."""
    if op == "ReduceSum":
        extra = (writer.array(axes, np.int64),) if axes else ()
        return writer.add(op, value, *extra, keepdims=int(keep))
    attributes: dict[str, Any] = {"axes": list(axes)} if axes else {}
    return writer.add(op, value, keepdims=int(keep), **attributes)


def _axes(node: Node, writer: Writer) -> tuple[int, ...] | None:
    axes = writer.argument(node, 1)
    return tuple(int(n) for n in axes) if isinstance(axes, tuple) else None if axes is None else (int(axes),)


@onnx_rule(*_REDUCTIONS)
def _reduction(node: Node, writer: Writer) -> str:
    return reduced(_REDUCTIONS[node.op], writer.tensor(node.inputs[0], node.dtype), _axes(node, writer),
                   bool(writer.argument(node, 2, False)), writer)


@onnx_rule("ReduceAll", "ReduceAny")
def _logical(node: Node, writer: Writer) -> str:
    numbers = writer.add("Cast", writer.tensor(node.inputs[0]), to=writer.type_number("int32"))
    op = "ReduceMin" if node.op == "ReduceAll" else "ReduceMax"
    result = reduced(op, numbers, _axes(node, writer), bool(writer.argument(node, 2, False)), writer)
    return writer.add("Cast", result, to=writer.type_number("bool"))


@onnx_rule("Var", "Std", "ReduceStd", "VarMean", "StdMean")
def _variance(node: Node, writer: Writer) -> Any:
    """Sum of squared distances from the mean, over their number less the correction."""
    x, several = node.inputs[0], isinstance(node.dtype, tuple)
    dtype = node.dtype[0] if several else node.dtype
    axes = _axes(node, writer) or tuple(range(len(writer.shape(x))))
    correction, keep = int(writer.argument(node, 2, 1)), bool(writer.argument(node, 3, False))
    value = writer.tensor(x)
    squares = writer.add("Sub", value, reduced("ReduceMean", value, axes, True, writer))
    mean = reduced("ReduceMean", writer.add("Mul", squares, squares), axes, keep, writer)
    count = int(np.prod([writer.shape(x)[axis] for axis in axes]))
    result = writer.add("Mul", mean, writer.array(count / max(count - correction, 1), dtype)) if correction else mean
    if node.op.startswith(("Std", "ReduceStd")):
        result = writer.add("Sqrt", result)
    return (result, reduced("ReduceMean", value, axes, keep, writer)) if several else result


@onnx_rule("Cdist")
def _distances(node: Node, writer: Writer) -> str:
    """Of each row of one matrix from each row of the other: the p-norm of the difference."""
    left = writer.add("Unsqueeze", writer.tensor(node.inputs[0]), writer.array([-2], np.int64))
    right = writer.add("Unsqueeze", writer.tensor(node.inputs[1]), writer.array([-3], np.int64))
    return p_norm(writer.add("Sub", left, right), float(writer.option(node, "p", 2, 2.0)), (-1,), False, node, writer)


@onnx_rule("Norm", "LpNormV2", "LinalgVectorNorm", "LpNorm")
def _norm(node: Node, writer: Writer) -> str:
    """(sum |x|^p)^(1/p) for p of 1 and 2, and powers otherwise."""
    old = node.op == "LpNorm"
    power = float(node.attrs.get("p", 2) if old else writer.argument(node, 1, 2.0))
    axes = node.attrs.get("axis") if old else writer.argument(node, 2)
    axes = axes if isinstance(axes, tuple) or axes is None else (axes,)
    keep = bool(node.attrs.get("keep_dims", False) if old else writer.argument(node, 3, False))
    return p_norm(writer.tensor(node.inputs[0], node.dtype), power, axes, keep, node, writer)


def p_norm(x: str, power: float, axes: tuple[int, ...] | None, keep: bool, node: Node, writer: Writer) -> str:
    """(sum |x|^p)^(1/p); the largest or smallest |x| for infinite powers, how many are not zero for p = 0."""
    x = writer.add("Abs", x)
    if np.isinf(power):
        return reduced("ReduceMax" if power > 0 else "ReduceMin", x, axes, keep, writer)
    if power == 0:
        return reduced("ReduceSum", writer.add("Sign", x), axes, keep, writer)
    if power in (1.0, 2.0):
        return reduced("ReduceL1" if power == 1 else "ReduceL2", x, axes, keep, writer)
    total = reduced("ReduceSum", writer.add("Pow", x, writer.array(power, node.dtype)), axes, keep, writer)
    return writer.add("Pow", total, writer.array(1 / power, node.dtype))


@onnx_rule("CumProd")
def _running_product(node: Node, writer: Writer) -> str:
    """Times itself, moved by 1, 2, 4 and so on, with ones in front: as many steps as the length has bits."""
    axis = int(writer.constant(node.inputs[1])) % len(node.shape)
    exclusive, reverse = (bool(writer.option(node, key, place, False)) for place, key in (
        (2, "exclusive"), (3, "reverse")))
    x, length = writer.tensor(node.inputs[0]), node.shape[axis]
    if isinstance(length, Multiple):
        raise ExportError(f"{node} multiplies along the batch, which has no ONNX rule")
    if exclusive:
        x = _moved(x, 1, axis, node, reverse, writer)
    step = 1
    while step < length:
        x = writer.add("Mul", x, _moved(x, step, axis, node, reverse, writer))
        step *= 2
    return x


def _moved(x: str, step: int, axis: int, node: Node, reverse: bool, writer: Writer) -> str:
    """Moved by some places along an axis; ones take the places that get free."""
    return _pushed(x, (-step, step) if reverse else (step, -step), axis, len(node.shape), writer.array(1, node.dtype),
                   writer)


def _pushed(x: str, numbers: tuple[int, int], axis: int, rank: int, fill: str, writer: Writer) -> str:
    """As many places added in front and behind along an axis; a negative number takes them away."""
    begins, ends = ([number if k == axis else 0 for k in range(rank)] for number in numbers)
    return writer.add("Pad", x, writer.array([*begins, *ends], np.int64), fill)


@onnx_rule("Cummax", "Cummin", "CumminExt")
def _running_extremum(node: Node, writer: Writer) -> tuple[str, str]:
    """Compared with itself, moved by 1, 2, 4 and so on; of equal numbers the last one's place counts."""
    shape, dtype = node.shape[0], node.dtype[0]
    axis = int(writer.option(node, "axis", 1, 0)) % len(shape)
    if isinstance(shape[axis], Multiple):
        raise ExportError(f"{node} goes along the batch, which has no ONNX rule")
    largest, step = node.op == "Cummax", 1
    worst = np.iinfo(dtype) if np.issubdtype(np.dtype(dtype), np.integer) else np.finfo(dtype)
    fill = writer.array(worst.min if largest else worst.max, dtype)
    value, size = writer.tensor(node.inputs[0]), int(shape[axis])
    places = np.arange(size).reshape([-1 if k == axis else 1 for k in range(len(shape))])
    index = writer.add("Expand", writer.array(places, np.int64), writer.vector(shape))
    while step < size:
        earlier = _pushed(value, (step, -step), axis, len(shape), fill, writer)
        place = _pushed(index, (step, -step), axis, len(shape), writer.array(0, np.int64), writer)
        better = writer.add("Greater" if largest else "Less", earlier, value)
        value, index = writer.add("Where", better, earlier, value), writer.add("Where", better, place, index)
        step *= 2
    return value, writer.add("Cast", index, to=writer.type_number(node.dtype[1]))


@onnx_rule("CumulativeLogsumexp")
def _running_log_sum(node: Node, writer: Writer) -> str:
    """log(cumsum(exp(x - m))) + m, with the maximum m along the axis."""
    axis = int(writer.constant(node.inputs[1]))
    flags = {key: int(bool(writer.option(node, key, place, False))) for key, place in (("exclusive", 2),
                                                                                       ("reverse", 3))}
    x = writer.tensor(node.inputs[0])
    largest = reduced("ReduceMax", x, (axis,), True, writer)
    powers = writer.add("Exp", writer.add("Sub", x, largest))
    sums = writer.add("CumSum", powers, writer.array(axis, np.int64), **flags)
    return writer.add("Add", writer.add("Log", sums), largest)


@onnx_rule("Nansum")
def _sum_of_numbers(node: Node, writer: Writer) -> str:
    """What is not a number counts as zero."""
    x = writer.tensor(node.inputs[0], node.dtype)
    numbers = writer.add("Where", writer.add("IsNaN", x), writer.array(0, node.dtype), x)
    axes = node.attrs["axis"] if "axis" in node.attrs else writer.argument(node, 1)
    axes = axes if isinstance(axes, tuple) or axes is None else (axes,)
    return reduced("ReduceSum", numbers, axes, bool(writer.option(node, "keep_dims", 2, False)), writer)


@onnx_rule("CountNonZero")
def _counted(node: Node, writer: Writer) -> str:
    x = writer.tensor(node.inputs[0])
    other = writer.add("Not", writer.add("Equal", x, writer.array(0, writer.dtype(node.inputs[0]))))
    numbers = writer.add("Cast", other, to=writer.type_number(node.dtype))
    return reduced("ReduceSum", numbers, _axes(node, writer), False, writer)


@onnx_rule("CumSum", "CumsumExt")
def _running_sum(node: Node, writer: Writer) -> str:
    flags = {key: int(bool(writer.argument(node, place, False))) for key, place in (("exclusive", 2), ("reverse", 3))}
    axis = writer.array(int(writer.argument(node, 1)), np.int64)
    return writer.add("CumSum", writer.tensor(node.inputs[0], node.dtype), axis,
                      **(flags if node.op == "CumSum" else {}))
