"""Channel rules of operators that make channels, and of BatchNorm, which finishes them."""

from dataclasses import replace
from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import none_ids
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.operators import CONVOLUTIONS, TRANSPOSED
from mindspore_gs.graph.questions import BLOCKED, HIDDEN
from mindspore_gs.graph.roles import Role
from mindspore_gs.graph.rules.elementwise import elementwise
from mindspore_gs.graph.rules.pairs import multiply
from mindspore_gs.graph.rules.registry import channel_rule, refused


@channel_rule("Conv2D", "Conv3D", weights=True)
def _convolution(node: Node, flows: list[Any], channels: Channels) -> Flow:
    return _convolve(node, flows, int(node.attrs.get("group", 1)), channels)


@channel_rule("Conv2DExt", "Conv2DPadding", weights=True)
def _convolution_ext(node: Node, flows: list[Any], channels: Channels) -> Flow:
    result = _convolve(node, flows[:2], int(flows[6].constant or 1), channels)
    _add_bias(flows[2], flows[1], 0, node, channels)
    return result


def _convolve(node: Node, flows: list[Any], groups: int, channels: Channels) -> Flow:
    x, w = flows[:2]
    if w.parameter is None:
        return _computed(node, x, w, 0, channels)
    x = _apart_in_space(node, x, w, channels)
    outputs = channels.parameter_ids(w.parameter, 0)
    _ask_about_own(node, w.parameter, outputs, channels)
    if groups == 1:
        channels.consume_with(channels.consume(x, 1, node), channels.parameter_ids(w.parameter, 1), node)
    elif groups == x.shape[1]:
        channels.grouped[w.parameter] = groups
        ids = channels.vector(x, 1, node)
        channels.consume_with(np.repeat(ids, len(outputs) // groups), outputs, node)
    else:
        _tie_groups(channels.consume(x, 1, node), w.parameter, groups, channels, node)
    return _product(node, w.parameter, 0, 1, channels)


def _apart_in_space(node: Node, x: Flow, w: Flow, channels: Channels) -> Flow:
    """Channels that lie along space (ECA has them there) meet their neighbours in a kernel."""
    if all(n == 1 for n in x.ids.shape[2:]) or x.ids.shape[1] > 1 or all(n == 1 for n in w.shape[2:]):
        return x
    channels.refuse(x, Blocked.MIXES_CHANNELS, node)
    return replace(x, ids=none_ids(len(x.shape)), parameter=None)


def _ask_about_own(node: Node, weight: str, outputs: np.ndarray, channels: Channels) -> None:
    """A cell of the user's own may hold an operator with a number of channels: a second trace tells."""
    if weight in channels.own_layers and channels.ask(node, ("resized",), outputs) == BLOCKED:
        channels.block(outputs, Blocked.FIXED_BY_CODE, node)


def _tie_groups(ids: np.ndarray, weight: str, groups: int, channels: Channels, node: Node) -> None:
    """Each group keeps the same positions, so the k-th channels of all groups go together."""
    inputs = ids.reshape(groups, -1)
    outputs = channels.parameter_ids(weight, 0).reshape(groups, -1)
    channels.consume_with(inputs, np.broadcast_to(channels.parameter_ids(weight, 1), inputs.shape), node)
    channels.unite(outputs[:1], outputs, node)


@channel_rule("Conv2DTranspose", "Conv2DBackpropInput", "Conv3DTranspose", weights=True)
def _transposed_convolution(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Its weight has the input's channels first. With groups, the k-th channels of all of them go together."""
    x, w = flows[:2]
    if w.parameter is None:
        return _computed(node, x, w, 1, channels)
    x = _apart_in_space(node, x, w, channels)
    groups = int(node.attrs.get("group", node.attrs.get("groups", 1)))
    if groups == x.shape[1] == node.shape[1] != 1:
        return _depthwise_transposed(node, x, w.parameter, groups, channels)
    rows, outputs = (channels.parameter_ids(w.parameter, axis) for axis in (0, 1))
    _ask_about_own(node, w.parameter, outputs, channels)
    _ask_about_own(node, w.parameter, rows, channels)
    rows = rows.reshape(groups, -1)
    channels.consume_with(channels.consume(x, 1, node).reshape(groups, -1), rows, node)
    channels.unite(rows[:1], rows, node)
    if groups > 1 and w.parameter in channels.cuts:
        channels.block(outputs, Blocked.GROUPED_TRANSPOSED, node)
    product = _product(node, w.parameter, 1, 1, channels)
    return replace(product, ids=np.tile(product.ids, (1, groups, *[1] * (len(node.shape) - 2))))


def _depthwise_transposed(node: Node, x: Flow, weight: str, groups: int, channels: Channels) -> Flow:
    """One filter for each channel, and so one row of the weight: inputs and outputs are the same channels."""
    outputs = channels.parameter_ids(weight, 0)
    _ask_about_own(node, weight, outputs, channels)
    channels.grouped[weight] = groups
    channels.consume_with(channels.vector(x, 1, node), outputs, node)
    return _product(node, weight, 0, 1, channels)


@channel_rule("MatMul", "BatchMatMul", "BatchMatMulExt", "MatMulExt", weights=True)
def _matmul(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, w = flows[:2]
    transposes_x = len(flows) > 2 and bool(flows[2].constant)
    transposed = len(flows) > 3 and bool(flows[3].constant)
    rank = len(w.shape)
    if x.parameter is not None or w.parameter is None or rank < 2 or transposes_x:
        return multiply(node, x, w, (transposes_x, transposed), channels)
    outputs, inputs = (rank - 2, rank - 1) if transposed else (rank - 1, rank - 2)  # in front of them: experts, heads
    return _dense(node, x, w.parameter, (outputs, inputs), channels)


@channel_rule("Dense", weights=True)
def _dense_layer(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, w = flows[:2]
    if x.parameter is not None or w.parameter is None:
        return _computed(node, x, w, 0, channels)
    result = _dense(node, x, w.parameter, (0, 1), channels)
    _add_bias(flows[2] if len(flows) > 2 else None, w, 0, node, channels)
    return result


def _dense(node: Node, x: Flow, weight: str, axes: tuple[int, int], channels: Channels) -> Flow:
    """Axes: those of the weight along which outputs and inputs lie."""
    channels.consume_with(channels.consume(x, len(x.shape) - 1, node), channels.parameter_ids(weight, axes[1]), node)
    return _product(node, weight, axes[0], len(node.shape) - 1, channels)


def _add_bias(bias: Flow | None, weight: Flow, axis: int, node: Node, channels: Channels) -> None:
    """The bias that an operator adds by itself; a masked channel's entry is zero. A computed one is not."""
    if bias is None or not bias.shape or weight.parameter is None:
        return
    outputs = channels.parameter_ids(weight.parameter, axis)
    if bias.parameter is None:
        channels.refuse(bias, Blocked.COMPUTED_WEIGHT, node)
        channels.block(outputs, Blocked.COMPUTED_WEIGHT, node)
        return
    channels.unite(channels.parameter_ids(bias.parameter, 0), outputs, node)
    channels.shifts.add((bias.parameter, 0))
    channels.roles[bias.parameter, 0] = Role.BIAS


def _product(node: Node, weight: str, weight_axis: int, axis: int, channels: Channels) -> Flow:
    """Output of a convolution or dense layer: its channels are those of the weight.

    A weight that another layer reads the other way round (a decoder tied to its encoder) makes channels along two axes.
    """
    ids = channels.parameter_ids(weight, weight_axis)
    if channels.outputs.setdefault(weight, weight_axis) != weight_axis:
        channels.shifts.add((weight, weight_axis))
        channels.roles.setdefault((weight, weight_axis), Role.INPUT)
    asked_before = weight in channels.own_layers and node.op in (*CONVOLUTIONS, *TRANSPOSED)
    asks = channels.hidden and not asked_before and weight not in channels.cuts
    if asks and channels.ask(node, (HIDDEN,), ids) == BLOCKED:
        channels.block(ids, Blocked.FIXED_BY_CODE, node)
    shape = [1] * len(node.shape)
    shape[axis] = len(ids)
    return Flow(node.shape, ids.reshape(shape))


def _computed(node: Node, x: Flow, w: Flow, axis: int, channels: Channels) -> Flow:
    """A weight that is computed from a parameter (standardised, quantised): its channels are blocked by name."""
    for name in (channels.current or channels.graph).parameters_behind(node.inputs[1]):
        if len(channels.graph.parameters[name]) == len(w.shape):
            channels.outputs[name] = axis
            channels.block(channels.parameter_ids(name, axis), Blocked.COMPUTED_WEIGHT, node)
    result: Flow = refused(node, [x, w], Blocked.COMPUTED_WEIGHT, channels)
    return result


@channel_rule("BiasAdd", weights=True)
def _bias_add(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, bias = flows[:2]
    if bias.parameter is None:
        rest = (1,) * (len(x.shape) - 2)
        bias = bias.with_ids((*bias.shape, *rest), bias.ids.reshape(*bias.ids.shape, *rest))
        return elementwise(node, [x, bias], channels)[0]
    ids = channels.vector(x, 1, node)
    channels.consume_with(ids, channels.parameter_ids(bias.parameter, 0), node)
    channels.shifts.add((bias.parameter, 0))
    channels.roles[bias.parameter, 0] = Role.BIAS
    return replace(x, zero=x.zero and x.varying and bool(bias.masked_by()))


_NORM_ROLES = (Role.SCALE, Role.SHIFT, Role.STATISTIC, Role.STATISTIC)


@channel_rule("BatchNorm", "BatchNormExt", weights=True)
def _batch_norm(node: Node, flows: list[Any], channels: Channels) -> tuple[Flow, ...]:
    """Every BatchNorm masks its output, so that its channels are zero whatever came in."""
    x = flows[0]
    ids = channels.vector(x, 1, node)
    masked = True
    for position, flow in enumerate(flows[1:5]):
        if flow.parameter is None:
            masked &= position > 1
            channels.block(ids, Blocked.COMPUTED_WEIGHT, node)
            continue
        channels.consume_with(ids, channels.parameter_ids(flow.parameter, 0), node)
        channels.roles[flow.parameter, 0] = _NORM_ROLES[position]
        if position < 2:
            channels.shifts.add((flow.parameter, 0))
    rest = tuple(Flow(shape, none_ids(len(shape))) for shape in node.shape[1:])
    return (replace(x, zero=masked, alive=x.alive[:0]), *rest)


@channel_rule("InstanceNorm", weights=True)
def _instance_norm(node: Node, flows: list[Any], channels: Channels) -> tuple[Flow, ...]:
    """Each channel by itself over space; zero stays away from zero by beta, unless that is masked too."""
    return _batch_norm(node, flows, channels)


@channel_rule("LSTM")
def _lstm(node: Node, flows: list[Any], channels: Channels) -> tuple[Flow, ...]:
    """What comes in can lose channels, the state stays. All weights come in one vector, that of the input first."""
    x = flows[0]
    weight = _first_weight(node, x, channels)
    if weight is None:
        result: tuple[Flow, ...] = refused(node, flows, Blocked.COMPUTED_WEIGHT, channels)
        return result
    channels.consume_with(channels.consume(x, 2, node), channels.parameter_ids(weight, 1), node)
    for flow in flows[1:3]:
        channels.refuse(flow, Blocked.UNKNOWN_OPERATOR, node)
    return tuple(Flow(shape, none_ids(len(shape))) for shape in node.shape)


def _first_weight(node: Node, x: Flow, channels: Channels) -> str | None:
    """The parameter (gates, inputs) with which the vector of weights begins."""
    graph = channels.current or channels.graph
    name = node.inputs[3]
    while name in graph.producers:
        maker = graph.producers[name]
        source = maker.inputs[0]
        if maker.op in ("Reshape", "View") and source in graph.parameters:
            shape = graph.parameters[source]
            channels.shows.add((source, maker.name))
            return source if len(shape) == 2 and shape[1] == x.shape[-1] else None
        name = source if maker.op in ("Cast", "Concat", "MakeTuple", "Reshape", "View") else ""
    return None
