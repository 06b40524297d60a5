"""MindSpore's tanh on a CPU, which is right to 1e-4 only: with it, a file that has the true one can be compared."""

from pathlib import Path
from typing import Any

import numpy as np

_ENDS = 5.0  # MindSpore's kernel returns -1 and 1 beyond
_ABOVE, _BELOW = (1.0, 378.0, 17325.0, 135135.0), (28.0, 3150.0, 62370.0, 135135.0)


def has_tanh(path: Path) -> bool:
    """Whether an ONNX file computes a hyperbolic tangent."""
    import onnx

    return any(node.op_type == "Tanh" for node in onnx.load(path).graph.node)


def with_tanh_of_mindspore(path: Path) -> bytes:
    r"""An ONNX file as bytes, in which tanh is computed as MindSpore's CPU kernel does it.

    That is the fraction

    .. math:: \frac{x^7 + 378 x^5 + 17325 x^3 + 135135 x}{28 x^6 + 3150 x^4 + 62370 x^2 + 135135}

    of Lambert's continued fraction between -5 and 5, and -1 or 1 outside. It differs from tanh by up to 1e-4, which is
    more than two files may differ by.

    Args:
        path: the ONNX file.
    """
    import onnx

    model = onnx.load(path)
    nodes = []
    for number, node in enumerate(model.graph.node):
        nodes += _fraction(node, f"mindspore_tanh_{number}") if node.op_type == "Tanh" else [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _fraction(node: Any, prefix: str) -> list[Any]:
    """The operators that take the place of one Tanh."""
    from onnx import helper, numpy_helper

    nodes: list[Any] = []

    def add(op: str, *inputs: str) -> str:
        nodes.append(helper.make_node(op, list(inputs), [f"{prefix}/{len(nodes)}"]))
        return f"{prefix}/{len(nodes) - 1}"

    def number(value: float) -> str:
        name = add("Constant")
        nodes[-1].attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.float32(value))))
        return name

    def polynomial(square: str, factors: tuple[float, ...]) -> str:
        value = number(factors[0])
        for factor in factors[1:]:
            value = add("Add", add("Mul", value, square), number(factor))
        return value

    x = add("Cast", node.input[0])
    nodes[-1].attribute.append(helper.make_attribute("to", 1))
    square = add("Mul", x, x)
    inner = add("Div", add("Mul", polynomial(square, _ABOVE), x), polynomial(square, _BELOW))
    inside = add("LessOrEqual", add("Abs", x), number(_ENDS))
    nodes.append(helper.make_node("Where", [inside, inner, add("Sign", x)], [node.output[0]]))
    return nodes
