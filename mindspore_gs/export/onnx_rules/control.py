"""ONNX rules of what is no arithmetic: branches that data decides, and operators that only show something."""

from typing import Any

from mindspore_gs.errors import ExportError
from mindspore_gs.export.onnx_rules.elementwise import chosen
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node


@onnx_rule("Choice")
def _chosen(node: Node, writer: Writer) -> Any:
    """Both sides of a branch are computed, and one is taken."""
    condition, *sides = node.inputs
    if len(sides) != 2 or writer.dtype(condition) != "bool":
        raise ExportError(f"{node} chooses one of several functions by number, which has no ONNX rule; use if and else")
    if writer.graph.effects:
        raise ExportError(f"{node} is a branch that data decides, in a network that writes into tensors in place, "
                          "which has no ONNX rule; compute a new tensor instead, or choose with ops.where")
    flag = writer.reshape(writer.tensor(condition), ())
    left, right = (writer.value(side) for side in sides)
    return _either(flag, left, right, writer.dtype(sides[0]), node, writer)


def _either(flag: str, left: Any, right: Any, dtype: Any, node: Node, writer: Writer) -> Any:
    """Of tensors, or of tuples of them, part by part."""
    if isinstance(left, tuple) and isinstance(right, tuple) and len(left) == len(right):
        kinds = dtype if isinstance(dtype, tuple) else ("",) * len(left)
        return tuple(_either(flag, *parts, node, writer) for parts in zip(left, right, kinds))
    if isinstance(left, tuple) or isinstance(right, tuple) or not left or not right:
        raise ExportError(f"the two sides of {node} return different things, which has no ONNX rule")
    return chosen(flag, (left, right), dtype, writer)


@onnx_rule("Loop", "Call")
def _unknown_number_of_rounds(node: Node, writer: Writer) -> str:
    raise ExportError(f"a loop in {node.scope or 'the network'} runs as often as data decides, which has no ONNX rule; "
                      "give it a fixed number of rounds, or use export_mindir()")


@onnx_rule("Print", "ScalarSummary", "TensorSummary", "ImageSummary", "HistogramSummary", "TensorDump")
def _shown(node: Node, writer: Writer) -> str:
    """What only shows or stores something is not part of the file."""
    return ""


@onnx_rule("Assign", "AssignAdd", "AssignSub")
def _state(node: Node, writer: Writer) -> str:
    raise ExportError(f"{node} writes into a parameter while the network runs, and a file keeps nothing from one run "
                      "to the next; take that value as an input and return the new one, or use export_mindir()")
