"""ONNX rules of arithmetic that ONNX has no operator of its own for: remainders, angles, logarithms of other bases."""

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node

_FLOOR, _TRUNCATE = ("floor", 2), ("trunc", 1)  # how mint.div's rounding mode is written down


def _operands(node: Node, writer: Writer) -> list[str]:
    return [writer.operand(name, node.dtype) for name in node.inputs[:2]]


def _floating(node: Node) -> bool:
    return np.issubdtype(np.dtype(node.dtype), np.floating)


def truncated(x: str, node: Node, writer: Writer) -> str:
    """The whole part of numbers, towards zero."""
    below = writer.add("Less", x, writer.array(0, node.dtype))
    return writer.add("Where", below, writer.add("Ceil", x), writer.add("Floor", x))


@onnx_rule("FloorDiv", "FloorDivScalar", "InplaceFloorDivide", "InplaceFloorDivides")
def _floor_divided(node: Node, writer: Writer) -> str:
    x, y = _operands(node, writer)
    if _floating(node):
        return writer.add("Floor", writer.add("Div", x, y))
    rest = writer.add("Mod", x, y)  # of the divisor's sign, so that the division is exact
    return writer.add("Div", writer.add("Sub", x, rest), y)


@onnx_rule("TruncateDiv")
def _truncated_quotient(node: Node, writer: Writer) -> str:
    quotient = writer.add("Div", *_operands(node, writer))  # that of integers is truncated
    return truncated(quotient, node, writer) if _floating(node) else quotient


@onnx_rule("DivMod", "DivMods", "InplaceDivMod", "InplaceDivMods")
def _rounded_quotient(node: Node, writer: Writer) -> str:
    mode = writer.argument(node, 2)
    if mode in _FLOOR:
        return _floor_divided(node, writer)
    if mode in _TRUNCATE:
        return _truncated_quotient(node, writer)
    if mode is not None:
        raise ExportError(f"{node} rounds by {mode!r}, which has no ONNX rule; use floor, trunc or None")
    return writer.add("Div", *_operands(node, writer))


@onnx_rule("FloorMod", "RemainderTensorTensor", "RemainderTensorScalar", "RemainderScalarTensor",
           "InplaceRemainderTensorTensor", "InplaceRemainderTensorScalar")
def _remainder(node: Node, writer: Writer) -> str:
    """Of the divisor's sign."""
    x, y = _operands(node, writer)
    if not _floating(node):
        return writer.add("Mod", x, y)
    return writer.add("Sub", x, writer.add("Mul", writer.add("Floor", writer.add("Div", x, y)), y))


@onnx_rule("Mod", "TruncateMod", "Fmod", "FmodTensor", "FmodScalar")
def _truncated_remainder(node: Node, writer: Writer) -> str:
    """Of the dividend's sign."""
    return writer.add("Mod", *_operands(node, writer), fmod=1)


@onnx_rule("Trunc")
def _truncated(node: Node, writer: Writer) -> str:
    return truncated(writer.tensor(node.inputs[0]), node, writer)


@onnx_rule("Frac")
def _fraction(node: Node, writer: Writer) -> str:
    x = writer.tensor(node.inputs[0])
    return writer.add("Sub", x, truncated(x, node, writer))


@onnx_rule("Atan2", "Atan2Ext")
def _angle(node: Node, writer: Writer) -> str:
    """The angle of the point (x, y): atan(y / x), moved by pi where x is negative, and pi / 2 where x is zero."""
    y, x = _operands(node, writer)
    zero, half, whole = (writer.array(value, node.dtype) for value in (0, np.pi / 2, np.pi))
    below = writer.add("Less", y, zero)
    turned = writer.add("Where", below, writer.add("Neg", whole), whole)
    plain = writer.add("Atan", writer.add("Div", y, x))
    angle = writer.add("Where", writer.add("Less", x, zero), writer.add("Add", plain, turned), plain)
    upright = writer.add("Mul", writer.add("Sign", y), half)
    return writer.add("Where", writer.add("Equal", x, zero), upright, angle)


@onnx_rule("Log2", "Log10")
def _logarithm(node: Node, writer: Writer) -> str:
    base = np.log(2.0 if node.op == "Log2" else 10.0)
    return writer.add("Div", writer.add("Log", writer.tensor(node.inputs[0], node.dtype)),
                      writer.array(base, node.dtype))


@onnx_rule("Exp2")
def _power_of_two(node: Node, writer: Writer) -> str:
    return writer.add("Pow", writer.array(2, node.dtype), writer.tensor(node.inputs[0], node.dtype))


@onnx_rule("Sinc")
def _sinc(node: Node, writer: Writer) -> str:
    """sin(pi x) / (pi x), and 1 at zero."""
    x = writer.add("Mul", writer.tensor(node.inputs[0], node.dtype), writer.array(np.pi, node.dtype))
    zero = writer.add("Equal", x, writer.array(0, node.dtype))
    value = writer.add("Div", writer.add("Sin", x), x)
    return writer.add("Where", zero, writer.array(1, node.dtype), value)


@onnx_rule("Fmax", "Fmin")
def _extremum_of_numbers(node: Node, writer: Writer) -> str:
    """What is not a number gives way to the other."""
    x, y = _operands(node, writer)
    best = writer.add("Max" if node.op == "Fmax" else "Min", x, y)
    best = writer.add("Where", writer.add("IsNaN", x), y, best)
    return writer.add("Where", writer.add("IsNaN", y), x, best)


@onnx_rule("Heaviside")
def _step(node: Node, writer: Writer) -> str:
    """0 below zero, 1 above, and the second operand at zero."""
    x, y = _operands(node, writer)
    zero = writer.array(0, node.dtype)
    above = writer.add("Cast", writer.add("Greater", x, zero), to=writer.type_number(node.dtype))
    return writer.add("Where", writer.add("Equal", x, zero), y, above)


@onnx_rule("Cross")
def _cross(node: Node, writer: Writer) -> str:
    """The product of vectors of three numbers: a1 b2 - a2 b1 with the axis turned by one and by two."""
    axis = int(writer.option(node, "dim", 2, _FIRST_OF_THREE))
    if axis == _FIRST_OF_THREE:
        axis = next(k for k, n in enumerate(node.shape) if n == 3)
    x, y = _operands(node, writer)
    once, twice = (writer.array(order, np.int64) for order in ((1, 2, 0), (2, 0, 1)))
    turned = [writer.add("Gather", value, order, axis=axis) for value, order in (
        (x, once), (y, twice), (x, twice), (y, once))]
    return writer.add("Sub", writer.add("Mul", *turned[:2]), writer.add("Mul", *turned[2:]))


_FIRST_OF_THREE = -65530  # how MindSpore writes down that no axis was given


@onnx_rule("IsClose")
def _close(node: Node, writer: Writer) -> str:
    """|x - y| <= atol + rtol |y|, or equal; two that are not a number only where the code says so."""
    dtype = writer.dtype(node.inputs[0])
    x, y = (writer.operand(name, dtype) for name in node.inputs[:2])
    relative, absolute = (writer.array(float(writer.option(node, key, place, default)), dtype)
                          for place, (key, default) in enumerate((("rtol", 1e-5), ("atol", 1e-8)), 2))
    allowed = writer.add("Add", absolute, writer.add("Mul", relative, writer.add("Abs", y)))
    near = writer.add("LessOrEqual", writer.add("Abs", writer.add("Sub", x, y)), allowed)
    near = writer.add("Or", near, writer.add("Equal", x, y))
    if writer.option(node, "equal_nan", 4, False):
        near = writer.add("Or", near, writer.add("And", writer.add("IsNaN", x), writer.add("IsNaN", y)))
    return near


@onnx_rule("Erfc")
def _complementary_error(node: Node, writer: Writer) -> str:
    return writer.add("Sub", writer.array(1, node.dtype), writer.add("Erf", writer.tensor(node.inputs[0], node.dtype)))


@onnx_rule("Logit")
def _logit(node: Node, writer: Writer) -> str:
    """log(x / (1 - x)), with x clipped to [eps, 1 - eps] where eps is not negative."""
    x, eps = writer.tensor(node.inputs[0]), float(writer.option(node, "eps", 1, -1.0))
    if eps >= 0:
        x = writer.add("Clip", x, writer.array(eps, node.dtype), writer.array(1 - eps, node.dtype))
    return writer.add("Log", writer.add("Div", x, writer.add("Sub", writer.array(1, node.dtype), x)))


@onnx_rule("IsNegInf")
def _negative_infinity(node: Node, writer: Writer) -> str:
    return writer.add("IsInf", writer.tensor(node.inputs[0]), detect_positive=0)


@onnx_rule("IsFinite")
def _finite(node: Node, writer: Writer) -> str:
    x = writer.tensor(node.inputs[0])
    return writer.add("Not", writer.add("Or", writer.add("IsInf", x), writer.add("IsNaN", x)))


@onnx_rule("NanToNum")
def _finite_numbers(node: Node, writer: Writer) -> str:
    """Numbers in the place of those that are not finite; by default zero and the type's largest and smallest."""
    x, most = writer.tensor(node.inputs[0]), np.finfo(node.dtype)
    values = [writer.option(node, key, place, default) for key, place, default in (
        ("nan", 1, 0.0), ("posinf", 2, most.max), ("neginf", 3, most.min))]
    x = writer.add("Where", writer.add("IsNaN", x), writer.array(values[0], node.dtype), x)
    for value, sign in zip(values[1:], ({"detect_negative": 0}, {"detect_positive": 0})):
        x = writer.add("Where", writer.add("IsInf", x, **sign), writer.array(value, node.dtype), x)
    return x


@onnx_rule("Xlogy", "Xdivy")
def _zero_at_zero(node: Node, writer: Writer) -> str:
    """x log(y), or x / y; zero where x is."""
    x, y = _operands(node, writer)
    zero = writer.array(0, node.dtype)
    value = writer.add("Mul", x, writer.add("Log", y)) if node.op == "Xlogy" else writer.add("Div", x, y)
    return writer.add("Where", writer.add("Equal", x, zero), zero, value)


@onnx_rule("DivNoNan", "MulNoNan")
def _zero_beside_zero(node: Node, writer: Writer) -> str:
    """x / y or x y; zero where y is, whatever x is."""
    x, y = _operands(node, writer)
    zero = writer.array(0, node.dtype)
    value = writer.add("Div" if node.op == "DivNoNan" else "Mul", x, y)
    return writer.add("Where", writer.add("Equal", y, zero), zero, value)


@onnx_rule("Lerp", "LerpScalar")
def _between(node: Node, writer: Writer) -> str:
    """start + weight (end - start)."""
    start, end, weight = (writer.operand(name, node.dtype) for name in node.inputs[:3])
    return writer.add("Add", start, writer.add("Mul", weight, writer.add("Sub", end, start)))


@onnx_rule("Addcmul", "Addcdiv", "AddcmulExt", "AddcdivExt")
def _added_product(node: Node, writer: Writer) -> str:
    """x + value a b, or x + value a / b."""
    x, left, right = (writer.operand(name, node.dtype) for name in node.inputs[:3])
    value = writer.operand(node.inputs[3], node.dtype) if len(node.inputs) > 3 else writer.array(1, node.dtype)
    inner = writer.add("Mul" if "mul" in node.op else "Div", left, right)
    return writer.add("Add", x, writer.add("Mul", value, inner))


@onnx_rule("LogAddExp", "LogAddExp2")
def _sum_of_powers(node: Node, writer: Writer) -> str:
    """log(exp(x) + exp(y)) = max(x, y) + log(1 + exp(-|x - y|)), to base e or 2."""
    x, y = _operands(node, writer)
    base = writer.array(np.log(2) if node.op == "LogAddExp2" else 1, node.dtype)
    apart = writer.add("Neg", writer.add("Mul", writer.add("Abs", writer.add("Sub", x, y)), base))
    more = writer.add("Log", writer.add("Add", writer.add("Exp", apart), writer.array(1, node.dtype)))
    return writer.add("Add", writer.add("Max", x, y), writer.add("Div", more, base))


@onnx_rule("Hypot")
def _hypotenuse(node: Node, writer: Writer) -> str:
    x, y = _operands(node, writer)
    return writer.add("Sqrt", writer.add("Add", writer.add("Mul", x, x), writer.add("Mul", y, y)))
