"""ONNX rules of operators that cut an image into windows, and put windows together."""

from typing import Any

import numpy as np

from mindspore_gs.export.onnx_rules.products import as_many
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node


def _options(node: Node, writer: Writer, first: int) -> dict[str, list[int]]:
    """Kernel, dilation, padding and stride, of both axes; attributes, or inputs from a place on."""
    found: dict[str, Any] = {}
    for place, (name, keys, default) in enumerate((
            ("kernel", ("ksizes", "kernel_size"), 1), ("dilation", ("dilations", "dilation"), 1),
            ("padding", ("pads", "padding"), 0), ("stride", ("strides", "stride"), 1)), first):
        given = next((node.attrs[key] for key in keys if node.attrs.get(key) is not None), None)
        found[name] = as_many(writer.argument(node, place, default) if given is None else given, 2)
    return found


@onnx_rule("Im2Col", "Im2ColExt")
def _cut(node: Node, writer: Writer) -> str:
    """Picked along each axis: place of the window times stride, plus place in the window times dilation."""
    options, shape = _options(node, writer, 1), writer.shape(node.inputs[0])
    height, width = options["padding"]
    x = writer.add("Pad", writer.tensor(node.inputs[0]), writer.array([0, 0, height, width] * 2, np.int64),
                   writer.array(0, node.dtype))
    counts = []
    for axis, place in ((2, 0), (4, 1)):  # the second axis has moved by one, because the first became two
        kernel, dilation, padding, stride = (options[key][place] for key in ("kernel", "dilation", "padding", "stride"))
        counts.append((int(shape[2 + place]) + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
        inside, windows = np.arange(kernel) * dilation, np.arange(counts[-1]) * stride
        x = writer.add("Gather", x, writer.array(inside[:, None] + windows, np.int64), axis=axis)
    return writer.reshape(writer.add("Transpose", x, perm=[0, 1, 2, 4, 3, 5]), node.shape)


@onnx_rule("Col2Im", "Col2ImExt")
def _put_together(node: Node, writer: Writer) -> str:
    """A transposed convolution in which each place of a window has a filter that is one there: sums where they meet."""
    options = _options(node, writer, 2)
    batch, channels, *sizes = node.shape
    kernel, count = options["kernel"], int(np.prod(options["kernel"]))
    windows = [(int(size) + 2 * p - d * (k - 1) - 1) // s + 1 for size, p, d, k, s in zip(
        sizes, options["padding"], options["dilation"], kernel, options["stride"])]
    filters = np.tile(np.eye(count, dtype=node.dtype).reshape(count, 1, *kernel), (int(channels), 1, 1, 1))
    x = writer.reshape(writer.tensor(node.inputs[0]), (batch, int(channels) * count, *windows))
    reached = [(n - 1) * s + d * (k - 1) + 1 - 2 * p for n, s, d, k, p in zip(
        windows, options["stride"], options["dilation"], kernel, options["padding"])]
    return writer.add("ConvTranspose", x, writer.array(filters), kernel_shape=kernel, group=int(channels),
                      strides=options["stride"], dilations=options["dilation"], pads=options["padding"] * 2,
                      output_padding=[int(n) - r for n, r in zip(sizes, reached)])
