"""ONNX rules of pooling."""

from typing import Any

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.onnx_rules.products import as_many, needs_channels_first, paired, same_padding
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node


@onnx_rule("MaxPool", "MaxPool3D", "AvgPool3D")
def _pool(node: Node, writer: Writer) -> str:
    needs_channels_first(node)
    rank = len(node.shape) - 2
    kernel, strides = (as_many(node.attrs[key], rank) for key in ("kernel_size", "strides"))
    pads = _pads(str(node.attrs["pad_mode"]), node, writer, kernel, strides)
    if node.op != "AvgPool3D":
        options = _as_long({"kernel_shape": kernel, "strides": strides, "pads": pads,
                            "ceil_mode": int(bool(node.attrs.get("ceil_mode")))}, node.shape, node, writer)
        return writer.add("MaxPool", writer.tensor(node.inputs[0]), **options)
    return _mean({"kernel_shape": kernel, "strides": strides, "pads": pads,
                  "ceil_mode": int(bool(node.attrs.get("ceil_mode"))),
                  "count_include_pad": int(bool(node.attrs.get("count_include_pad", True)))},
                 node.attrs.get("divisor_override"), node, writer)


def _mean(options: dict[str, Any], divisor: int | None, node: Node, writer: Writer) -> str:
    """Means of windows; or their sums over a number of the code's own."""
    x = writer.tensor(node.inputs[0])
    if not divisor:
        exact = _as_long(options, node.shape, node, writer)
        if exact is not options and options["count_include_pad"]:  # the padding counts, what is beyond it does not
            x, exact = _with_zeros(x, options, exact, node, writer)
        return writer.add("AveragePool", x, **exact)
    if options["ceil_mode"]:
        raise ExportError(f"{node} divides by a number of its own (divisor_override) in windows that reach beyond the "
                          "padding (ceil_mode), which ONNX has no form for; leave one of them out")
    share = int(np.prod(options["kernel_shape"])) / int(divisor)
    means = writer.add("AveragePool", x, **(options | {"count_include_pad": 1}))
    return writer.add("Mul", means, writer.array(share, node.dtype))


def _as_long(options: dict[str, Any], shape: tuple[int, ...], node: Node, writer: Writer) -> dict[str, Any]:
    """Options with which ONNX makes as many windows as MindSpore: in ceil_mode, opset 17 also makes a last one that
    begins behind the input and its padding in front, which MindSpore leaves out. Then the end is padded by hand."""
    kernel, strides, pads = (options[key] for key in ("kernel_shape", "strides", "pads"))
    rank, dilations = len(kernel), options.get("dilations", [1] * len(kernel))
    sizes, counts = ([int(n) for n in part[2:]] for part in (writer.shape(node.inputs[0]), shape))
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel)]
    made = [-(-(n + a + b - r) // s) + 1 for n, a, b, r, s in zip(sizes, pads[:rank], pads[rank:], reach, strides)]
    if not options["ceil_mode"] or made == counts:
        return options
    ends = [max((count - 1) * s + r - n - a, 0) for count, s, r, n, a in zip(
        counts, strides, reach, sizes, pads[:rank])]
    return options | {"ceil_mode": 0, "pads": [*pads[:rank], *ends]}


def _with_zeros(x: str, options: dict[str, Any], exact: dict[str, Any], node: Node,
                writer: Writer) -> tuple[str, dict[str, Any]]:
    """The input with its padding as zeros, and options for what is to be added to it yet."""
    rank, zeros = len(options["kernel_shape"]), options["pads"]
    padded = writer.add("Pad", x, writer.array([0, 0, *zeros[:rank], 0, 0, *zeros[rank:]], np.int64),
                        writer.array(0, node.dtype))
    ends = [max(b - a, 0) for a, b in zip(zeros[rank:], exact["pads"][rank:])]
    return padded, exact | {"count_include_pad": 0, "pads": [0] * rank + ends}


def _pads(mode: str, node: Node, writer: Writer, kernel: list[int], strides: list[int]) -> list[int]:
    mode = mode.lower()
    if mode in ("same", "1"):
        return same_padding(tuple(writer.shape(node.inputs[0])[2:]), kernel, strides, [1] * len(kernel))
    if mode in ("valid", "2"):
        return [0, 0] * len(kernel)
    return paired(node.attrs.get("pad_list", 0), len(kernel))


@onnx_rule("AvgPool")
def _average(node: Node, writer: Writer) -> str:
    """Padded places do not count."""
    kernel, strides = (as_many(writer.argument(node, place), 2) for place in (1, 2))
    pads = _pads(str(writer.argument(node, 3)), node, writer, kernel, strides)
    return writer.add("AveragePool", writer.tensor(node.inputs[0]), kernel_shape=kernel, strides=strides, pads=pads,
                      count_include_pad=0)


@onnx_rule("AvgPool1D", "AvgPool2D", "AvgPool3DExt")
def _average_ext(node: Node, writer: Writer) -> str:
    rank = len(node.shape) - 2
    kernel = as_many(writer.argument(node, 1), rank)
    strides = as_many(writer.argument(node, 2, tuple(kernel)) or tuple(kernel), rank)
    return _mean({"kernel_shape": kernel, "strides": strides, "pads": as_many(writer.argument(node, 3, 0), rank) * 2,
                  "ceil_mode": int(writer.argument(node, 4, False)),
                  "count_include_pad": int(writer.argument(node, 5, True))}, writer.argument(node, 6), node, writer)


@onnx_rule("MaxPoolV2", "MaxPoolWithArgmax")
def _maximum_of_old(node: Node, writer: Writer) -> Any:
    """The older forms of the maximum; of the one with places only the maxima."""
    several = isinstance(node.dtype, tuple)
    if several:
        _refuse_indices(node, writer)
    needs_channels_first(node)
    kernel, strides = (as_many(node.attrs[key][-2:] if isinstance(node.attrs[key], tuple) else node.attrs[key], 2)
                       for key in ("kernel_size", "strides"))
    pads = _pads(str(node.attrs["pad_mode"]), node, writer, kernel, strides)
    output = writer.add("MaxPool", writer.tensor(node.inputs[0]), kernel_shape=kernel, strides=strides, pads=pads)
    return (output, "") if several else output


@onnx_rule("MaxPoolWithMask", "MaxPoolWithIndices", "MaxPoolWithArgmaxV2", "MaxPool3DWithArgmax")
def _maximum(node: Node, writer: Writer) -> tuple[str, str]:
    """The maxima, and where they were; MindSpore counts places in each channel, ONNX through the whole tensor."""
    rank = len(node.shape[0]) - 2
    keys = (("kernel_size", "ksize"), ("strides",), ("pads",), ("dilation",), ("ceil_mode",))
    values = [writer.argument(node, place, next((node.attrs[key] for key in names if key in node.attrs), None))
              for place, names in enumerate(keys, 1)]
    kernel, strides, pads, dilations = (as_many(value if value is not None else 1, rank) for value in values[:4])
    options: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "pads": pads * 2, "dilations": dilations,
               "ceil_mode": int(bool(values[4]))}
    x, options = writer.tensor(node.inputs[0]), _as_long(options, node.shape[0], node, writer)
    if not _reads_places(node, writer):
        return writer.add("MaxPool", x, **options), ""
    output, places = writer.add("MaxPool", x, outputs=2, **options)
    size = int(np.prod([int(n) for n in writer.shape(node.inputs[0])[2:]]))
    places = writer.add("Mod", places, writer.array(size, np.int64))
    return output, writer.add("Cast", places, to=writer.type_number(node.dtype[1]))


@onnx_rule("MaxUnpool2D")
def _unpooled(node: Node, writer: Writer) -> str:
    """Each maximum back to the place where it was, zeros elsewhere."""
    needs_channels_first(node)
    (batch, channels, *sizes), line = node.shape, (*node.shape[:2], -1)
    values = writer.reshape(writer.tensor(node.inputs[0]), line)
    places = writer.reshape(writer.tensor(node.inputs[1], "int64"), line)
    area = int(np.prod([int(n) for n in sizes]))
    zeros = writer.add("Expand", writer.array(0, node.dtype), writer.vector((batch, channels, area)))
    return writer.reshape(writer.add("ScatterElements", zeros, places, values, axis=2), node.shape)


def _reads_places(node: Node, writer: Writer) -> bool:
    """Whether anything but the first output of a maximum is read."""
    return any(reader.op != "TupleGetItem" or writer.argument(reader, 1) != 0
               for reader in writer.graph.consumers_of(node.name)) or node.name in writer.graph.outputs


def _refuse_indices(node: Node, writer: Writer) -> None:
    """Only the first output of a maximum may be read."""
    if _reads_places(node, writer):
        raise ExportError(f"{node} is asked where its maxima are, and ONNX counts these places otherwise; "
                          "use export_mindir()")


@onnx_rule("AdaptiveAvgPool1D", "AdaptiveAvgPool2D", "AdaptiveAvgPool2DExt", "AdaptiveAvgPool3D",
           "AdaptiveAvgPool3DExt")
def _adaptive(node: Node, writer: Writer) -> str:
    """Means over windows that need not be equally long: a product with a matrix of shares along each axis."""
    rank, count = len(node.shape), int(node.op.partition("Pool")[2][0])
    sizes = [int(n) for n in writer.shape(node.inputs[0])[-count:]]
    parts = [int(n) for n in node.shape[-count:]]
    x = writer.tensor(node.inputs[0])
    if parts == [1] * count and rank == count + 2:
        return writer.add("GlobalAveragePool", x)
    for axis, (size, number) in enumerate(zip(sizes, parts), rank - count):
        if size != number:
            x = _along(x, axis, rank, writer.array(_shares(size, number), node.dtype), writer)
    return writer.add("Identity", x) if sizes == parts else x


def _along(x: str, axis: int, rank: int, matrix: str, writer: Writer) -> str:
    """Multiply a matrix with every line of ``x`` along an axis."""
    order = [k for k in range(rank) if k not in (axis, rank - 1)] + ([axis] if axis < rank - 1 else []) + [rank - 1]
    if axis == rank - 1:
        return writer.add("MatMul", x, writer.add("Transpose", matrix, perm=[1, 0]))
    if axis == rank - 2:
        return writer.add("MatMul", matrix, x)
    moved = writer.add("MatMul", matrix, writer.add("Transpose", x, perm=order))
    return writer.add("Transpose", moved, perm=[order.index(k) for k in range(rank)])


def _shares(size: int, parts: int) -> Any:
    """Row i has the share of each position in the mean over floor(i n / m) to ceil((i + 1) n / m)."""
    matrix = np.zeros((parts, size))
    for k in range(parts):
        begin, end = k * size // parts, -(-(k + 1) * size // parts)
        matrix[k, begin:end] = 1 / (end - begin)
    return matrix


@onnx_rule("AdaptiveMaxPool1D", "AdaptiveMaxPool2D", "AdaptiveMaxPool3D")
def _adaptive_maximum(node: Node, writer: Writer) -> Any:
    """The maxima of windows that are cut out one by one."""
    several = bool(node.shape) and isinstance(node.shape[0], tuple)
    if several:
        _refuse_indices(node, writer)
    shape, count = node.shape[0] if several else node.shape, int(node.op[-2])
    value, rank = writer.tensor(node.inputs[0]), len(shape)
    for axis, size in enumerate(writer.shape(node.inputs[0])[-count:], rank - count):
        value = _window_maxima(value, axis, int(size), int(shape[axis]), writer)
    return (value, "") if several else value


def _window_maxima(value: str, axis: int, size: int, parts: int, writer: Writer) -> str:
    windows = []
    for k in range(parts):
        begin, end = k * size // parts, -(-(k + 1) * size // parts)
        window = writer.add("Slice", value, *(writer.array([n], np.int64) for n in (begin, end, axis)))
        windows.append(writer.add("ReduceMax", window, axes=[axis], keepdims=1))
    return writer.add("Concat", *windows, axis=axis)
