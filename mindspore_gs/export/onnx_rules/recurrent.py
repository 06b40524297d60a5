"""ONNX rules of recurrent layers. MindIR has LSTM as one operator; GRU and RNN come as the operators of each step."""

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node

_GATES = 4


@onnx_rule("LSTM")
def _lstm(node: Node, writer: Writer) -> tuple[str, ...]:
    """One layer in one direction; nn.LSTM makes several layers and directions of these.

    MindSpore has all weights in one vector, the input's first, with the gates in the order input, forget, cell, output;
    ONNX has them in the order input, output, forget, cell.
    """
    inputs, hidden, layers = (int(node.attrs[key]) for key in ("input_size", "hidden_size", "num_layers"))
    if layers != 1 or node.attrs["bidirectional"] or int(node.attrs.get("proj_size", 0)):
        raise ExportError(f"{node} has several layers, two directions or a projection in one operator, which has no "
                          "ONNX rule; use nn.LSTM")
    x, h, c = (writer.tensor(name) for name in node.inputs[:3])
    flat = writer.reshape(writer.tensor(node.inputs[3], node.dtype[0]), (-1,))
    rows = _GATES * hidden
    weights = [_gates(flat, begin, (rows, width), writer) for begin, width in ((0, inputs), (rows * inputs, hidden))]
    bias = ""
    if node.attrs["has_bias"]:
        own = _gates(flat, rows * (inputs + hidden), (rows,), writer)
        bias = writer.add("Concat", own, writer.array(np.zeros((1, rows), node.dtype[0])), axis=1)
    y, last_h, last_c = writer.add("LSTM", x, *weights, bias, "", h, c, outputs=3, hidden_size=hidden)
    return (writer.reshape(y, node.shape[0]), last_h, last_c, *("" for _ in node.shape[3:]))


def _gates(flat: str, begin: int, shape: tuple[int, ...], writer: Writer) -> str:
    """A matrix or vector out of the vector of weights: the gates in ONNX's order, and an axis for the direction."""
    ends = (writer.array([n], np.int64) for n in (begin, begin + int(np.prod(shape)), 0))
    parts = writer.add("Split", writer.reshape(writer.add("Slice", flat, *ends), (1, *shape)), outputs=_GATES, axis=1)
    return writer.add("Concat", *(parts[k] for k in (0, 3, 1, 2)), axis=1)
