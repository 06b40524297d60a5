"""ONNX rules of activation functions."""

import numpy as np

from mindspore_gs.export.onnx_rules.elementwise import along_channels
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node


@onnx_rule("Mish", "MishExt")
def _mish(node: Node, writer: Writer) -> str:
    """x tanh(softplus(x)), which is one operator only from opset 18 on."""
    x = writer.tensor(node.inputs[0])
    return writer.add("Mul", x, writer.add("Tanh", writer.add("Softplus", x)))


@onnx_rule("HSigmoid")
def _hard_sigmoid(node: Node, writer: Writer) -> str:
    return writer.add("HardSigmoid", writer.tensor(node.inputs[0]), alpha=1 / 6, beta=0.5)


@onnx_rule("SiLU", "InplaceSiLU", "Swish")
def _silu(node: Node, writer: Writer) -> str:
    x = writer.tensor(node.inputs[0])
    return writer.add("Mul", x, writer.add("Sigmoid", x))


@onnx_rule("GeLU")
def _gelu_by_tanh(node: Node, writer: Writer) -> str:
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
    x = writer.tensor(node.inputs[0])
    cube = writer.add("Mul", writer.add("Mul", x, x), x)
    inner = writer.add("Add", x, writer.add("Mul", cube, writer.array(0.044715, node.dtype)))
    tanh = writer.add("Tanh", writer.add("Mul", inner, writer.array(np.sqrt(2 / np.pi), node.dtype)))
    return _half_of_one_more(x, tanh, node, writer)


@onnx_rule("GeluExt", "GeLUExt")
def _gelu_ext(node: Node, writer: Writer) -> str:
    """0.5 x (1 + erf(x / sqrt(2))), or with tanh where the code says so."""
    if writer.argument(node, 1, 0) in (1, "tanh"):
        return _gelu_by_tanh(node, writer)
    x = writer.tensor(node.inputs[0])
    erf = writer.add("Erf", writer.add("Div", x, writer.array(np.sqrt(2), node.dtype)))
    return _half_of_one_more(x, erf, node, writer)


def _half_of_one_more(x: str, factor: str, node: Node, writer: Writer) -> str:
    more = writer.add("Add", factor, writer.array(1, node.dtype))
    return writer.add("Mul", writer.add("Mul", x, more), writer.array(0.5, node.dtype))


@onnx_rule("FastGeLU", "FastGelu")
def _fast_gelu(node: Node, writer: Writer) -> str:
    """x sigmoid(1.702 x), as MindSpore writes it: x exp(0.851 (x - |x|)) / (1 + exp(-1.702 |x|))."""
    x = writer.tensor(node.inputs[0])
    return writer.add("Mul", x, writer.add("Sigmoid", writer.add("Mul", x, writer.array(1.702, node.dtype))))


@onnx_rule("Elu", "EluExt", "InplaceElu")
def _elu(node: Node, writer: Writer) -> str:
    return writer.add("Elu", writer.tensor(node.inputs[0]), alpha=float(writer.option(node, "alpha", 1, 1.0)))


@onnx_rule("SeLU", "SeLUExt")
def _selu(node: Node, writer: Writer) -> str:
    return writer.add("Selu", writer.tensor(node.inputs[0]))


@onnx_rule("LeakyReLU", "LeakyReLUExt")
def _leaky(node: Node, writer: Writer) -> str:
    slope = writer.option(node, "negative_slope", 1, 0.01)
    return writer.add("LeakyRelu", writer.tensor(node.inputs[0]), alpha=float(slope))


@onnx_rule("PReLU")
def _prelu(node: Node, writer: Writer) -> str:
    return writer.add("PRelu", writer.tensor(node.inputs[0]), along_channels(node, writer))


@onnx_rule("CeLU")
def _celu(node: Node, writer: Writer) -> str:
    return writer.add("Celu", writer.tensor(node.inputs[0]), alpha=float(writer.option(node, "alpha", 1, 1.0)))


@onnx_rule("HShrink", "SoftShrink")
def _shrunk(node: Node, writer: Writer) -> str:
    """Zero between -lambda and lambda; outside x, or x moved by lambda towards zero."""
    width = float(writer.option(node, "lambd", 1, 0.5))
    return writer.add("Shrink", writer.tensor(node.inputs[0]), lambd=width,
                      bias=width if node.op == "SoftShrink" else 0.0)


@onnx_rule("SoftplusExt")
def _softplus_ext(node: Node, writer: Writer) -> str:
    """log(1 + exp(beta x)) / beta, and x where beta x is above a threshold."""
    x, beta = writer.tensor(node.inputs[0]), writer.array(writer.argument(node, 1, 1), node.dtype)
    inner = writer.add("Mul", x, beta)
    above = writer.add("Greater", inner, writer.array(writer.argument(node, 2, 20), node.dtype))
    return writer.add("Where", above, x, writer.add("Div", writer.add("Softplus", inner), beta))


@onnx_rule("LogSigmoid", "LogSigmoidExt")
def _log_sigmoid(node: Node, writer: Writer) -> str | tuple[str, str]:
    """-log(1 + exp(-x)); the newer operator also hands out what its gradient needs."""
    soft = writer.add("Softplus", writer.add("Neg", writer.tensor(node.inputs[0])))
    output = str(writer.add("Neg", soft))
    return (output, "") if isinstance(node.dtype, tuple) else output


@onnx_rule("GLU", "Glu", "Swiglu")
def _gated(node: Node, writer: Writer) -> str:
    """One half of an axis, times the sigmoid of the other; the SiLU of one half times the other."""
    axis = int(writer.option(node, "axis", 1, -1))
    left, right = writer.add("Split", writer.tensor(node.inputs[0]), outputs=2, axis=axis)
    if node.op == "Swiglu":
        left, right = writer.add("Mul", left, right), left
    return writer.add("Mul", left, writer.add("Sigmoid", right))


@onnx_rule("Threshold", "InplaceThreshold")
def _threshold(node: Node, writer: Writer) -> str:
    """x above the threshold, and a number elsewhere."""
    x, (bound, value) = writer.tensor(node.inputs[0]), (writer.operand(name, node.dtype) for name in node.inputs[1:3])
    return writer.add("Where", writer.add("Greater", x, bound), x, value)


@onnx_rule("ReLUV2")
def _relu_with_mask(node: Node, writer: Writer) -> tuple[str, str]:
    return writer.add("Relu", writer.tensor(node.inputs[0])), ""


@onnx_rule("Softmax", "LogSoftmax", "LogSoftmaxExt")
def _softmax(node: Node, writer: Writer) -> str:
    """Over one axis; over several it is written out."""
    x, axes = writer.tensor(node.inputs[0]), writer.argument(node, 1, -1)
    axes = axes if isinstance(axes, tuple) else (axes,)
    if len(axes) == 1:
        return writer.add("Softmax" if node.op == "Softmax" else "LogSoftmax", x, axis=int(axes[0]))
    powers = writer.add("Exp", writer.add("Sub", x, writer.add("ReduceMax", x, axes=list(axes), keepdims=1)))
    return writer.add("Div", powers, writer.add("ReduceSum", powers, writer.array(axes, np.int64), keepdims=1))
