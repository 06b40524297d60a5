"""ONNX rules of normalisation."""

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.onnx_rules.products import needs_channels_first
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node


@onnx_rule("BatchNorm", "BatchNormExt")
def _batch_norm(node: Node, writer: Writer) -> tuple[str, ...]:
    """With moving statistics; what else the operator returns is not computed."""
    needs_channels_first(node)
    places = {"BatchNorm": (5, 6), "BatchNormExt": (5, 7)}[node.op]
    if writer.argument(node, places[0], False):
        raise ExportError(f"{node} uses the statistics of the batch, so that a sample's output depends on the others; "
                          "export the network with use_batch_statistics=None or False")
    x = writer.tensor(node.inputs[0])
    vectors = [_vector(name, default, node, writer) for name, default in zip(node.inputs[1:5], (1, 0, 0, 1))]
    output = writer.add("BatchNormalization", x, *vectors, epsilon=float(writer.argument(node, places[1], 1e-5)))
    return (output, *("" for _ in node.shape[1:]))


def _vector(name: str, default: int, node: Node, writer: Writer) -> str:
    """One number for each channel; a default where the code gives None."""
    if writer.graph.constants.get(name, 0) is None:
        return writer.array(np.full(int(node.shape[0][1]), default, node.dtype[0]))
    return writer.tensor(name)


@onnx_rule("LayerNorm", "LayerNormExt", "LayerNormV3")
def _layer_norm(node: Node, writer: Writer) -> tuple[str, ...]:
    """Over the last axes, as many as the weight has."""
    shape, dtype = node.shape[0], node.dtype[0]
    if node.op == "LayerNormExt":
        normalised = writer.argument(node, 1)
        axis, places, epsilon = len(shape) - len(normalised), (2, 3), writer.argument(node, 4, 1e-5)
    else:
        axis, places, epsilon = writer.argument(node, 3, -1) % len(shape), (1, 2), writer.argument(node, 5, 1e-7)
        if axis != writer.argument(node, 4, axis) % len(shape):
            raise ExportError(f"{node} has parameters of other axes than it normalises, which ONNX has no form for")
    weight, bias = (node.inputs[place] for place in places)
    ones = np.ones([int(n) for n in shape[axis:]], dtype)
    scale = writer.array(ones) if writer.graph.constants.get(weight, 0) is None else writer.tensor(weight, dtype)
    shift = () if writer.graph.constants.get(bias, 0) is None else (writer.tensor(bias, dtype),)
    output = writer.add("LayerNormalization", writer.tensor(node.inputs[0]), scale, *shift, axis=int(axis),
                        epsilon=float(epsilon))
    return (output, *("" for _ in node.shape[1:]))


@onnx_rule("GroupNorm")
def _group_norm(node: Node, writer: Writer) -> tuple[str, ...]:
    """An instance normalisation of each group, then scale and shift of each channel."""
    shape, dtype = node.shape[0], node.dtype[0]
    groups = int(writer.argument(node, 1))
    parts = writer.add("Reshape", writer.tensor(node.inputs[0]), writer.array([0, groups, -1], np.int64))
    normal = writer.add("InstanceNormalization", parts, writer.array(np.ones(groups, dtype)),
                        writer.array(np.zeros(groups, dtype)), epsilon=float(writer.argument(node, 4, 1e-5)))
    value = writer.reshape(normal, shape)
    for name, op in zip(node.inputs[2:4], ("Mul", "Add")):
        if writer.graph.constants.get(name, 0) is not None:
            vector = writer.reshape(writer.tensor(name, dtype), (-1, *(1 for _ in shape[2:])))
            value = writer.add(op, value, vector)
    return (value, *("" for _ in node.shape[1:]))


@onnx_rule("InstanceNorm")
def _instance_norm(node: Node, writer: Writer) -> tuple[str, ...]:
    x, weight, bias = (writer.tensor(name) for name in node.inputs[:3])
    output = writer.add("InstanceNormalization", x, weight, bias, epsilon=float(node.attrs.get("epsilon", 1e-5)))
    return (output, *("" for _ in node.shape[1:]))


@onnx_rule("RmsNorm")
def _rms_norm(node: Node, writer: Writer) -> tuple[str, ...]:
    """x gamma / sqrt(mean(x^2) + epsilon), over the last axes, as many as gamma has."""
    x, gamma = (writer.tensor(name, node.dtype[0]) for name in node.inputs[:2])
    axes = list(range(-len(writer.shape(node.inputs[1])), 0))
    squares = writer.add("ReduceMean", writer.add("Mul", x, x), axes=axes, keepdims=1)
    root = writer.add("Sqrt", writer.add("Add", squares, writer.array(writer.argument(node, 2, 1e-6), node.dtype[0])))
    return (writer.add("Mul", writer.add("Div", x, root), gamma), *("" for _ in node.shape[1:]))


@onnx_rule("L2Normalize")
def _l2_normalised(node: Node, writer: Writer) -> str:
    """x / sqrt(max(sum(x^2), epsilon))."""
    axis = node.attrs["axis"] if "axis" in node.attrs else writer.argument(node, 1, 0)
    axes = axis if isinstance(axis, tuple) else (axis,)
    epsilon = node.attrs.get("epsilon", writer.argument(node, 2, 1e-4))
    x = writer.tensor(node.inputs[0])
    squares = writer.add("ReduceSum", writer.add("Mul", x, x), writer.array(axes, np.int64), keepdims=1)
    return writer.add("Div", x, writer.add("Sqrt", writer.add("Max", squares, writer.array(epsilon, node.dtype))))


@onnx_rule("LRN")
def _local_response(node: Node, writer: Writer) -> str:
    """x / (bias + alpha sum(x^2))^beta over the channels nearby; ONNX's alpha is of the mean."""
    radius, bias, alpha, beta = (float(writer.option(node, key, place, default)) for place, (key, default) in enumerate(
        (("depth_radius", 5), ("bias", 1.0), ("alpha", 1.0), ("beta", 0.5)), 1))
    size = 2 * int(radius) + 1
    return writer.add("LRN", writer.tensor(node.inputs[0]), size=size, bias=bias, alpha=alpha * size, beta=beta)
