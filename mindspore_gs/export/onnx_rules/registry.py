"""The table of ONNX rules, and the error for operators that have none."""

from collections.abc import Callable
from typing import Any

from mindspore_gs.errors import ExportError, first_line
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node

Rule = Callable[[Node, Writer], Any]
_RULES: dict[str, Rule] = {}


def onnx_rule(*operators: str) -> Callable[[Rule], Rule]:
    """Register how operators are written to ONNX; a second rule for an operator is refused.

    A rule takes the :class:`~mindspore_gs.graph.ir.Node` and the
    :class:`~mindspore_gs.export.onnx_writer.Writer`, adds ONNX operators, and returns the name of the output, or a
    tuple of names where the operator has several.

    Args:
        operators: their names in MindIR, as the error about a missing rule gives them.

    Returns:
        A decorator that leaves the function as it is.

    Raises:
        ValueError: an operator has a rule already.

    Examples:
        >>> from mindspore_gs.export import onnx_rule
        >>> @onnx_rule("Celu")
        ... def celu(node, writer):
        ...     return writer.add("Celu", writer.tensor(node.inputs[0]), alpha=float(writer.constant(node.inputs[1])))
    """

    def register(rule: Rule) -> Rule:
        for operator in operators:
            if operator in _RULES:
                raise ValueError(f"operator {operator} has an ONNX rule already")
            _RULES[operator] = rule
        return rule

    return register


def apply_rule(node: Node, writer: Writer) -> Any:
    """Write an operator.

    Raises:
        ExportError: there is no rule for it, or the rule does not know this use of it.
    """
    rule, where = _RULES.get(node.op), f"operator {node.op} in {node.scope or 'the network'}"
    if rule is None:
        raise ExportError(f"{where} has no ONNX rule; write that cell with other operators, add a rule with "
                          f"mindspore_gs.export.onnx_rule({node.op!r}), or use export_mindir()")
    try:
        return rule(node, writer)
    except ExportError:
        raise
    except Exception as error:
        if node.dtype == "":
            raise ExportError(f"{where} computes numbers of a type that NumPy and ONNX's engines do not have, such as "
                              "bfloat16; compute in float32 or float16, or use export_mindir()") from error
        raise ExportError(f"{where} is used in a way that its ONNX rule does not know ({first_line(error)}); write "
                          "that cell with other operators, or use export_mindir()") from error


def operators() -> tuple[str, ...]:
    """The operators that have a rule, in alphabetical order."""
    return tuple(sorted(_RULES))
