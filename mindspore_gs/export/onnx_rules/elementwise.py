"""ONNX rules of operators that compute each number from the numbers at the same place."""

from collections.abc import Sequence

import numpy as np

from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node

_UNARY = {"ReLU": "Relu", "InplaceReLU": "Relu", "Sigmoid": "Sigmoid", "Tanh": "Tanh", "Exp": "Exp",
          "InplaceExp": "Exp", "Log": "Log", "InplaceLog": "Log", "Sqrt": "Sqrt", "Neg": "Neg", "Abs": "Abs",
          "Erf": "Erf", "Floor": "Floor", "InplaceFloor": "Floor", "Ceil": "Ceil", "Rint": "Round",
          "Sin": "Sin", "Cos": "Cos", "Tan": "Tan", "Asin": "Asin", "Acos": "Acos", "ACos": "Acos", "Atan": "Atan",
          "Sinh": "Sinh",
          "Cosh": "Cosh", "Asinh": "Asinh", "Acosh": "Acosh", "Atanh": "Atanh", "Sign": "Sign", "InplaceSign": "Sign",
          "InplaceTanh": "Tanh", "InplaceSigmoid": "Sigmoid", "Contiguous": "Identity", "Copy": "Identity",
          "Clone": "Identity", "Reciprocal": "Reciprocal", "Inv": "Reciprocal", "Softsign": "Softsign",
          "AcosExt": "Acos", "AsinExt": "Asin", "AtanExt": "Atan", "AcoshExt": "Acosh", "AsinhExt": "Asinh",
          "HSwish": "HardSwish", "ReLUV3": "Relu",
          "Identity": "Identity", "StopGradient": "Identity",
          "TensorMove": "Identity", "IsNan": "IsNaN", "IsInf": "IsInf", "Softplus": "Softplus"}
_BINARY = {"Add": "Add", "Adds": "Add", "Sub": "Sub", "Subs": "Sub", "Mul": "Mul", "Muls": "Mul",
           "Div": "Div", "Divs": "Div", "RealDiv": "Div", "Pow": "Pow", "PowTensorScalar": "Pow",
           "PowScalarTensor": "Pow", "InplaceMul": "Mul", "InplaceMuls": "Mul", "InplaceDiv": "Div",
           "InplaceDivs": "Div", "Maximum": "Max", "Minimum": "Min"}
_COMPARING = {"Equal": "Equal", "Greater": "Greater", "GreaterEqual": "GreaterOrEqual", "Less": "Less",
              "LessEqual": "LessOrEqual", "LogicalAnd": "And", "LogicalOr": "Or", "LogicalXor": "Xor",
              "EqualScalar": "Equal", "EqScalar": "Equal", "GreaterScalar": "Greater",
              "GreaterEqualScalar": "GreaterOrEqual",
              "LessScalar": "Less", "LessEqualScalar": "LessOrEqual"}


@onnx_rule(*_UNARY)
def _unary(node: Node, writer: Writer) -> str:
    """Roots, powers and the like of integers are floats."""
    floating = np.issubdtype(np.dtype(node.dtype), np.floating)
    return writer.add(_UNARY[node.op], writer.tensor(node.inputs[0], node.dtype if floating else ""))


@onnx_rule("Round")
def _rounded(node: Node, writer: Writer) -> str:
    """To as many decimals, halves to the even side."""
    x, decimals = writer.tensor(node.inputs[0]), int(writer.argument(node, 1, 0))
    if not decimals:
        return writer.add("Round", x) if np.issubdtype(np.dtype(node.dtype), np.floating) else x
    unit = writer.array(10.0 ** decimals, node.dtype)
    return writer.add("Div", writer.add("Round", writer.add("Mul", x, unit)), unit)


@onnx_rule("LogicalNot", "BoolNot")
def _negated(node: Node, writer: Writer) -> str:
    return writer.add("Not", writer.tensor(node.inputs[0], "bool"))


@onnx_rule(*_BINARY)
def _binary(node: Node, writer: Writer) -> str:
    """Truth values are multiplied by And."""
    op = "And" if node.dtype == "bool" and _BINARY[node.op] == "Mul" else _BINARY[node.op]
    return writer.add(op, *(writer.operand(name, node.dtype) for name in node.inputs[:2]))


@onnx_rule("AddExt", "InplaceAddExt", "SubExt", "InplaceSubExt", "AddScalar", "SubScalar", "InplaceAddsExt",
           "InplaceSubScalar")
def _scaled_sum(node: Node, writer: Writer) -> str:
    """x + alpha * y."""
    x, y = (writer.operand(name, node.dtype) for name in node.inputs[:2])
    alpha = writer.argument(node, 2, 1)
    if alpha != 1:
        y = writer.add("Mul", y, writer.array(alpha, node.dtype))
    return writer.add("Sub" if "Sub" in node.op else "Add", x, y)


@onnx_rule(*_COMPARING)
def _comparison(node: Node, writer: Writer) -> str:
    dtype = "bool" if node.op.startswith("Logical") else _common_type(node, writer)
    return writer.add(_COMPARING[node.op], *(writer.operand(name, dtype) for name in node.inputs[:2]))


@onnx_rule("NotEqual", "NotEqualScalar", "NeScalar")
def _different(node: Node, writer: Writer) -> str:
    dtype = _common_type(node, writer)
    return writer.add("Not", writer.add("Equal", *(writer.operand(name, dtype) for name in node.inputs[:2])))


def _common_type(node: Node, writer: Writer) -> str:
    """The type of the operands of a comparison: that of a tensor where the other is a number of the code.

    An integer that is compared with a number like 0.5 becomes a float.
    """
    types = [np.dtype(dtype) for dtype in map(writer.dtype, node.inputs[:2]) if dtype]
    if any(isinstance(writer.graph.constants.get(name), float) for name in node.inputs[:2]):
        types = [dtype if np.issubdtype(dtype, np.floating) else np.dtype(np.float32) for dtype in types]
    return np.result_type(*types).name if types else "float32"


@onnx_rule("AddN", "AccumulateNV2")
def _sum_of_all(node: Node, writer: Writer) -> str:
    return writer.add("Sum", *writer.tensors(node.inputs[0]))


@onnx_rule("BiasAdd")
def _bias(node: Node, writer: Writer) -> str:
    return writer.add("Add", writer.tensor(node.inputs[0]), along_channels(node, writer))


def along_channels(node: Node, writer: Writer) -> str:
    """The second input: one number for each channel, along axis 1, or one for all."""
    vector = writer.tensor(node.inputs[1], node.dtype)
    return writer.reshape(vector, (-1, *(1 for _ in node.shape[2:]))) if len(node.shape) > 2 else vector


@onnx_rule("Square")
def _square(node: Node, writer: Writer) -> str:
    x = writer.tensor(node.inputs[0])
    return writer.add("Mul", x, x)


@onnx_rule("SquaredDifference")
def _squared_difference(node: Node, writer: Writer) -> str:
    difference = writer.add("Sub", *(writer.operand(name, node.dtype) for name in node.inputs[:2]))
    return writer.add("Mul", difference, difference)


@onnx_rule("Rsqrt")
def _inverse_root(node: Node, writer: Writer) -> str:
    return writer.add("Reciprocal", writer.add("Sqrt", writer.tensor(node.inputs[0], node.dtype)))


@onnx_rule("Expm1")
def _exponential_minus_one(node: Node, writer: Writer) -> str:
    power = writer.add("Exp", writer.tensor(node.inputs[0], node.dtype))
    return writer.add("Sub", power, writer.array(1, node.dtype))


@onnx_rule("Log1p")
def _logarithm_of_one_more(node: Node, writer: Writer) -> str:
    more = writer.add("Add", writer.tensor(node.inputs[0], node.dtype), writer.array(1, node.dtype))
    return writer.add("Log", more)


@onnx_rule("ReLU6", "Hardtanh", "InplaceHardtanh", "ClampScalar", "ClampTensor", "ClipByValue")
def _clipped(node: Node, writer: Writer) -> str:
    """Between two bounds; either may be missing, or a tensor of any shape that can be broadcast."""
    x = writer.tensor(node.inputs[0], node.dtype)
    if node.op == "ReLU6":
        return writer.add("Clip", x, writer.array(0, node.dtype), writer.array(6, node.dtype))
    for name, op in zip(node.inputs[1:3], ("Max", "Min")):
        if name not in writer.graph.constants or writer.graph.constants[name] is not None:
            x = writer.add(op, x, writer.operand(name, node.dtype))
    return x


@onnx_rule("Cast")
def _cast(node: Node, writer: Writer) -> str:
    if node.inputs[0] in writer.graph.constants:
        return writer.operand(node.inputs[0], node.dtype)
    return writer.tensor(node.inputs[0], node.dtype)


@onnx_rule("Select", "Where")
def _where(node: Node, writer: Writer) -> str:
    condition, *values = node.inputs[:3]
    sides = [writer.operand(value, node.dtype) for value in values]
    return chosen(writer.tensor(condition, "bool"), sides, node.dtype, writer)


def chosen(condition: str, sides: Sequence[str], dtype: str, writer: Writer) -> str:
    """One of two where a condition holds, the other elsewhere; onnxruntime chooses neither truth values nor short
    integers, so the former are combined and the latter made long ones for this."""
    left, right = sides
    if dtype == "bool":
        one, other = writer.add("And", condition, left), writer.add("And", writer.add("Not", condition), right)
        return writer.add("Or", one, other)
    if dtype not in ("int8", "int16", "uint16", "uint32"):
        return writer.add("Where", condition, left, right)
    long = (writer.add("Cast", side, to=writer.type_number("int64")) for side in sides)
    return writer.add("Cast", writer.add("Where", condition, *long), to=writer.type_number(dtype))


@onnx_rule("MaskedFill", "MaskedFillScalar", "InplaceMaskedFillScalar", "InplaceMaskedFillTensor")
def _masked(node: Node, writer: Writer) -> str:
    x, mask, value = node.inputs[:3]
    values = writer.operand(value, node.dtype), writer.tensor(x)
    return chosen(writer.tensor(mask, "bool"), values, node.dtype, writer)
