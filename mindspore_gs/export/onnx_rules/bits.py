"""ONNX rules of operators on the bits of integers, which ONNX has from opset 18 on: they are computed bit by bit."""

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node

_LOGIC = {"BitwiseAnd": "And", "BitwiseOr": "Or", "BitwiseXor": "Xor"}


@onnx_rule(*_LOGIC, *(f"{name}{kind}" for name in _LOGIC for kind in ("Tensor", "Scalar")))
def _of_two(node: Node, writer: Writer) -> str:
    logic = _LOGIC[node.op.removesuffix("Tensor").removesuffix("Scalar")]
    x, y = (writer.operand(name, node.dtype) for name in node.inputs[:2])
    if node.dtype == "bool":
        return writer.add(logic, x, y)
    values = _worth(node)
    both = writer.add(logic, _bits(x, values, writer), _bits(y, values, writer))
    number = writer.add("Cast", both, to=writer.type_number("int64"))
    total = writer.add("MatMul", number, writer.array(values))  # onnxruntime's ReduceSum of int64 is right to 53 bits
    return writer.add("Cast", total, to=writer.type_number(node.dtype))


@onnx_rule("Invert")
def _inverted(node: Node, writer: Writer) -> str:
    """Of the two's complement: -1 - x; of an unsigned number: the largest one less x."""
    x = writer.operand(node.inputs[0], node.dtype)
    if node.dtype == "bool":
        return writer.add("Not", x)
    values = _worth(node)
    ones = writer.array(values.sum())
    turned = writer.add("Sub", ones, writer.add("Cast", x, to=writer.type_number("int64")))
    return writer.add("Cast", turned, to=writer.type_number(node.dtype))


def _worth(node: Node) -> np.ndarray:
    """What each bit of a type counts for; the last one of signed numbers counts below zero."""
    dtype = np.dtype(node.dtype)
    if dtype == np.uint64:
        raise ExportError(f"{node} works on the bits of uint64, which has no ONNX rule; use int64")
    width = 8 * dtype.itemsize
    sign = -1 if dtype.kind == "i" else 1
    return np.array([2 ** k for k in range(width - 1)] + [sign * 2 ** (width - 1)], np.int64)


def _bits(x: str, values: np.ndarray, writer: Writer) -> str:
    """Truth values along a new last axis: the bits, lowest first."""
    number = writer.add("Cast", x, to=writer.type_number("int64"))
    number = writer.add("Unsqueeze", number, writer.vector([-1]))
    powers = writer.array(values[:-1])
    rest = writer.add("Mod", number, powers)  # never below zero, so that the division is exact
    halves = writer.add("Div", writer.add("Sub", number, rest), powers)
    low = writer.add("Cast", writer.add("Mod", halves, writer.array(2, "int64")), to=writer.type_number("bool"))
    if values[-1] > 0:
        top = writer.add("GreaterOrEqual", number, writer.array(values[-1]))
    else:
        top = writer.add("Less", number, writer.array(0, "int64"))
    return writer.add("Concat", low, top, axis=-1)
