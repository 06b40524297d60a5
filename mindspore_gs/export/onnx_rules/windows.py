"""ONNX rules of operators that cut an image into windows, and put windows together."""

from typing import Any

import numpy as np

from mindspore_gs.export.onnx_rules.products import as_many
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_rules.samples import cut_windows
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
    options, sizes = _options(node, writer, 1), tuple(writer.shape(node.inputs[0])[2:])
    windows, _ = cut_windows(writer.tensor(node.inputs[0]), sizes, options["kernel"], options["padding"] * 2,
                             options["stride"], options["dilation"], node.dtype, writer)
    return writer.reshape(windows, node.shape)


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
