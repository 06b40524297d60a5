"""ONNX rules of convolutions and matrix products."""

from typing import Any

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.batch import Multiple
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_rules.samples import convolution_of_each
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node


def needs_channels_first(node: Node) -> None:
    """Refuse an operator whose channels are the last axis.

    Raises:
        ExportError: it has them there.
    """
    layout = node.attrs.get("format", node.attrs.get("data_format", "NCHW"))
    if layout not in ("NCHW", "NCDHW", "DefaultFormat"):
        raise ExportError(f"{node} has the data format {layout!r}, but ONNX has channels in front; use NCHW")


def as_many(value: Any, rank: int) -> list[int]:
    """One number for each spatial axis, from a number or the last ones of a tuple."""
    return [int(n) for n in value[-rank:]] if isinstance(value, tuple) and len(value) >= rank else [
        int(value[0] if isinstance(value, tuple) else value)] * rank


def same_padding(sizes: tuple[int, ...], kernel: list[int], strides: list[int], dilations: list[int]) -> list[int]:
    """ONNX's padding, begins and then ends, that makes the output ceil(size / stride) long; odd rests go to the end."""
    totals = [max((-(-int(n) // s) - 1) * s + (k - 1) * d + 1 - int(n), 0)
              for n, k, s, d in zip(sizes, kernel, strides, dilations)]
    return [t // 2 for t in totals] + [t - t // 2 for t in totals]


def paired(pads: Any, rank: int) -> list[int]:
    """ONNX's padding from MindSpore's: (begin, end) of each axis, or one number for each axis."""
    if isinstance(pads, tuple) and len(pads) == 2 * rank:
        return [int(n) for n in (*pads[0::2], *pads[1::2])]
    return as_many(pads, rank) * 2


def _window(node: Node, writer: Writer) -> tuple[list[int], list[int], list[int]]:
    """Kernel, strides and dilations of a convolution that has its channels first."""
    needs_channels_first(node)
    rank = len(node.shape) - 2
    return ([int(n) for n in writer.shape(node.inputs[1])[2:]], as_many(_first(node, "stride", "strides"), rank),
            as_many(_first(node, "dilation", "dilations"), rank))


@onnx_rule("Conv2D", "Conv3D")
def _convolution(node: Node, writer: Writer) -> str:
    kernel, strides, dilations = _window(node, writer)
    x, weight = node.inputs[:2]
    pads = _pads(node, tuple(writer.shape(x)[2:]), kernel, strides, dilations)
    group = _first(node, "group", "groups")
    if isinstance(group, Multiple):
        return convolution_of_each(node, group, kernel, pads, strides, dilations, writer)
    group = int(group)
    if set(kernel) == set(strides) == {group} == {1} and not any(pads) and _reordered(writer.tensor(x), writer):
        return _points(node, writer)
    return writer.add("Conv", writer.tensor(x), writer.tensor(weight, node.dtype), kernel_shape=kernel, pads=pads,
                      strides=strides, dilations=dilations, group=group)


def _reordered(value: str, writer: Writer) -> bool:
    """Whether a value comes, through a softmax or not, from axes in an order that is no layout of images.

    MindSpore Lite's converter loses the layout there, and refuses the convolution (YOLOv8's boxes are such a place).
    """
    maker = writer.maker(value)
    if maker is not None and maker.op_type == "Softmax":
        maker = writer.maker(maker.input[0])
    return maker is not None and maker.op_type == "Transpose" and \
        list(maker.attribute[0].ints) not in ([0, 1, 2, 3], [0, 2, 3, 1], [0, 3, 1, 2])


def _points(node: Node, writer: Writer) -> str:
    """A convolution of single points as a matrix product."""
    x, weight = node.inputs[:2]
    shape, (rows, columns) = writer.shape(x), writer.shape(weight)[:2]
    points = writer.reshape(writer.tensor(x), (shape[0], columns, int(np.prod(shape[2:]))))
    matrix = writer.reshape(writer.tensor(weight, node.dtype), (rows, columns))
    return writer.reshape(writer.add("MatMul", matrix, points), (shape[0], rows, *shape[2:]))


def _first(node: Node, *keys: str) -> Any:
    return next(node.attrs[key] for key in keys if key in node.attrs)


def _pads(node: Node, sizes: tuple[int, ...], kernel: list[int], strides: list[int], dilations: list[int]) -> list[int]:
    mode = str(node.attrs["pad_mode"]).lower()
    if mode in ("same", "1"):
        return same_padding(sizes, kernel, strides, dilations)
    if mode in ("valid", "2"):
        return [0, 0] * len(kernel)
    return paired(node.attrs["pad"], len(kernel))


@onnx_rule("Conv1DExt", "Conv2DExt", "Conv3DExt", "Conv1DPadding", "Conv2DPadding", "Conv3DPadding")
def _convolution_ext(node: Node, writer: Writer) -> str:
    x, weight = node.inputs[:2]
    rank = len(node.shape) - 2
    kernel = [int(n) for n in writer.shape(weight)[2:]]
    strides, dilations = as_many(writer.argument(node, 3, 1), rank), as_many(writer.argument(node, 5, 1), rank)
    padding = writer.argument(node, 4, 0)
    if padding in ("same", 1) and node.op.endswith("Padding"):
        pads = same_padding(tuple(writer.shape(x)[2:]), kernel, strides, dilations)
    elif padding in ("valid", 2) and node.op.endswith("Padding"):
        pads = [0, 0] * rank
    else:
        pads = as_many(padding, rank) * 2
    return writer.add("Conv", writer.tensor(x), writer.tensor(weight, node.dtype), *_bias(node, 2, writer),
                      kernel_shape=kernel, pads=pads, strides=strides, dilations=dilations,
                      group=int(writer.argument(node, 6, 1)))


def _bias(node: Node, place: int, writer: Writer) -> tuple[str, ...]:
    """The bias as an input of the operator; nothing where there is none."""
    name = node.inputs[place]
    return () if writer.graph.constants.get(name, 0) is None else (writer.tensor(name, node.dtype),)


@onnx_rule("Conv2DTranspose", "Conv2DBackpropInput", "Conv3DTranspose")
def _transposed_convolution(node: Node, writer: Writer) -> str:
    kernel, strides, dilations = _window(node, writer)
    x, weight = node.inputs[:2]
    sizes = tuple(int(n) for n in node.shape[2:])
    pads = _pads(node, sizes, kernel, strides, dilations)
    reached = [(int(n) - 1) * s + (k - 1) * d + 1 - a - b for n, s, k, d, a, b in zip(
        writer.shape(x)[2:], strides, kernel, dilations, pads[:len(kernel)], pads[len(kernel):])]
    return writer.add("ConvTranspose", writer.tensor(x), writer.tensor(weight, node.dtype), kernel_shape=kernel,
                      pads=pads, strides=strides, dilations=dilations, group=int(_first(node, "group", "groups")),
                      output_padding=[n - r for n, r in zip(sizes, reached)])


@onnx_rule("MatMul", "BatchMatMul", "MatMulExt", "BatchMatMulExt", "Mm", "Mv", "Dot", "Dense")
def _product(node: Node, writer: Writer) -> str:
    """x y, either of them transposed; a dense layer's weight always is."""
    left, right = (writer.tensor(name, node.dtype) for name in node.inputs[:2])
    flags = [False, True] if node.op == "Dense" else [False, False]
    if node.op in ("MatMul", "BatchMatMul"):
        flags = [bool(writer.argument(node, k, False)) for k in (2, 3)]
    left, right = (_swapped(value, len(writer.shape(name)), writer) if flag else value
                   for value, name, flag in zip((left, right), node.inputs, flags))
    product = writer.add("MatMul", left, right)
    bias = _bias(node, 2, writer) if node.op == "Dense" else ()
    return writer.add("Add", product, *bias) if bias else product


def _swapped(value: str, rank: int, writer: Writer) -> str:
    """The last two axes change places."""
    return writer.add("Transpose", value, perm=[*range(rank - 2), rank - 1, rank - 2])


@onnx_rule("Embedding")
def _embedding(node: Node, writer: Writer) -> str:
    return writer.add("Gather", writer.tensor(node.inputs[1]), writer.tensor(node.inputs[0]), axis=0)


@onnx_rule("EmbeddingLookup")
def _looked_up(node: Node, writer: Writer) -> str:
    """Rows from an offset on; zeros for an index that the table has not."""
    count = int(writer.shape(node.inputs[0])[0])
    index = writer.add("Sub", writer.tensor(node.inputs[1], "int64"), writer.operand(node.inputs[2], "int64"))
    row = writer.add("Clip", index, writer.array(0, np.int64), writer.array(count - 1, np.int64))
    inside = writer.add("Unsqueeze", writer.add("Equal", row, index), writer.array([-1], np.int64))
    rows = writer.add("Gather", writer.tensor(node.inputs[0]), row, axis=0)
    return writer.add("Where", inside, rows, writer.array(0, node.dtype))


@onnx_rule("MatrixDeterminant")
def _determinant(node: Node, writer: Writer) -> str:
    return writer.add("Det", writer.tensor(node.inputs[0]))


@onnx_rule("OneHot", "OneHotExt")
def _one_hot(node: Node, writer: Writer) -> str:
    """Written out, because ONNX's operator counts negative indices from the end: here they have no place."""
    indices, depth = node.inputs[:2]
    on, off = (writer.operand(name, node.dtype) for name in node.inputs[2:4])
    axis = int(writer.argument(node, 4, -1)) % len(node.shape)
    lifted = writer.add("Unsqueeze", writer.tensor(indices, "int64"), writer.array([axis], np.int64))
    places = np.arange(int(writer.constant(depth))).reshape([-1 if k == axis else 1 for k in range(len(node.shape))])
    return writer.add("Where", writer.add("Equal", lifted, writer.array(places, np.int64)), on, off)
