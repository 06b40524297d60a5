"""A convolution with filters of each sample's own: written with a group for each sample, whose number ONNX fixes."""

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.batch import Multiple
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node


def cut_windows(x: str, sizes: tuple[int, ...], kernel: list[int], pads: list[int], strides: list[int],
                dilations: list[int], dtype: str, writer: Writer) -> tuple[str, list[int]]:
    """The windows of images (N, C, H, W) as (N, C, kernel height, kernel width, rows, columns), and rows and columns.

    Picked along each axis: place of the window times stride, plus place in the window times dilation.
    """
    if any(pads):
        x = writer.add("Pad", x, writer.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64), writer.array(0, dtype))
    counts = []
    for axis, k in ((2, 0), (4, 1)):  # the second axis has moved by one, because the first became two
        reach = int(sizes[k]) + pads[k] + pads[k + 2] - dilations[k] * (kernel[k] - 1) - 1
        counts.append(reach // strides[k] + 1)
        inside, windows = np.arange(kernel[k]) * dilations[k], np.arange(counts[-1]) * strides[k]
        x = writer.add("Gather", x, writer.array(inside[:, None] + windows, np.int64), axis=axis)
    return writer.add("Transpose", x, perm=[0, 1, 2, 4, 3, 5]), counts


def convolution_of_each(node: Node, group: Multiple, kernel: list[int], pads: list[int], strides: list[int],
                        dilations: list[int], writer: Writer) -> str:
    """The windows of each sample times its own filters, so that the batch stays open.

    The images are (1, N C, H, W), the filters (N O, C / g, height, width), and there are N g groups.
    """
    x, weight = node.inputs[:2]
    (one, channels, *sizes), (rows, columns) = writer.shape(x), writer.shape(weight)[:2]
    if one != 1 or not isinstance(channels, Multiple) or not isinstance(rows, Multiple) or len(sizes) != 2:
        raise ExportError(f"{node} has as many groups as the batch, which ONNX has no form for")
    batch, groups = Multiple(int(group) // group.each, 1), group.each
    images = writer.reshape(writer.tensor(x), (batch, channels.each, *sizes))
    windows, counts = cut_windows(images, tuple(sizes), kernel, pads, strides, dilations, node.dtype, writer)
    length = int(columns) * int(np.prod(kernel))
    windows = writer.reshape(windows, (batch, groups, length, int(np.prod(counts))))
    filters = writer.reshape(writer.tensor(weight, node.dtype), (batch, groups, rows.each // groups, length))
    return writer.reshape(writer.add("MatMul", filters, windows), node.shape)
