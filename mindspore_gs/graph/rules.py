"""Channel rules: for each operator, what happens to the channels of its inputs.

A rule takes the node, the flows of its inputs and the :class:`~mindspore_gs.graph.flow.Channels` to write into,
and returns the flow of the output. An operator without a rule blocks whatever touches it.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import NONE, compress, expand, none_ids
from mindspore_gs.graph.ir import Node

Rule = Callable[[Node, list[Any], Channels], Any]
_RULES: dict[str, Rule] = {}


def channel_rule(*operators: str) -> Callable[[Rule], Rule]:
    """Register a rule for operators; a second rule for an operator is refused."""

    def register(rule: Rule) -> Rule:
        for operator in operators:
            if operator in _RULES:
                raise ValueError(f"operator {operator} has a channel rule already")
            _RULES[operator] = rule
        return rule

    return register


def apply_rule(node: Node, flows: list[Any], channels: Channels) -> Any:
    """The flow of ``node``'s output; where there is no rule, its inputs are blocked."""
    return _RULES.get(node.op, _unknown)(node, flows, channels)


def _unknown(node: Node, flows: list[Any], channels: Channels) -> Any:
    for flow in _flatten(flows):
        channels.refuse(flow, Blocked.UNKNOWN_OPERATOR, node)
    if node.shape and isinstance(node.shape[0], tuple):
        return tuple(Flow(shape, none_ids(len(shape))) for shape in node.shape)
    return channels.plain(node)


def _flatten(flows: Any) -> list[Flow]:
    if isinstance(flows, Flow):
        return [flows]
    return [flow for item in flows for flow in _flatten(item)]


# Operators that make channels


@channel_rule("Conv2D")
def _conv2d(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, w = flows[:2]
    if w.parameter is None:
        channels.refuse(x, Blocked.COMPUTED_WEIGHT, node)
        return channels.plain(node)
    groups = int(node.attrs.get("group", 1))
    outputs = channels.parameter_ids(w.parameter, 0)
    if groups == 1:
        channels.consume_with(channels.consume(x, 1, node), channels.parameter_ids(w.parameter, 1), node)
    elif groups == x.shape[1]:
        channels.grouped[w.parameter] = groups
        ids = channels.vector(x, 1, node)
        channels.consume_with(np.repeat(ids, len(outputs) // groups), outputs, node)
    else:
        _tie_groups(channels.consume(x, 1, node), w.parameter, groups, channels, node)
    return _product(node, w.parameter, 0, 1, channels)


def _tie_groups(ids: np.ndarray, weight: str, groups: int, channels: Channels, node: Node) -> None:
    """Each group keeps the same positions, so the k-th channels of all groups go together."""
    inputs = ids.reshape(groups, -1)
    outputs = channels.parameter_ids(weight, 0).reshape(groups, -1)
    channels.consume_with(inputs, np.broadcast_to(channels.parameter_ids(weight, 1), inputs.shape), node)
    channels.unite(outputs[:1], outputs, node)


@channel_rule("MatMul", "BatchMatMul", "MatMulExt", "Dense")
def _matmul(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, w = flows[:2]
    if x.parameter is not None or w.parameter is None or len(w.shape) != 2:
        for flow in (x, w):
            channels.refuse(flow, Blocked.TWO_ACTIVATIONS, node)
        return channels.plain(node)
    transposed = node.op == "Dense" or (len(flows) > 3 and bool(flows[3].constant))
    if node.op != "Dense" and len(flows) > 2 and flows[2].constant:
        channels.refuse(x, Blocked.UNKNOWN_OPERATOR, node)
        return channels.plain(node)
    out_axis, in_axis = (0, 1) if transposed else (1, 0)
    ids = channels.consume(x, len(x.shape) - 1, node)
    channels.consume_with(ids, channels.parameter_ids(w.parameter, in_axis), node)
    if len(flows) > 2 and node.op == "Dense" and flows[2].parameter:
        channels.unite(channels.parameter_ids(flows[2].parameter, 0), channels.parameter_ids(w.parameter, 0), node)
    return _product(node, w.parameter, out_axis, len(node.shape) - 1, channels)


def _product(node: Node, weight: str, weight_axis: int, axis: int, channels: Channels) -> Flow:
    """Output of a convolution or dense layer: its channels are those of the weight."""
    ids = channels.parameter_ids(weight, weight_axis)
    channels.outputs[weight] = weight_axis
    shape = [1] * len(node.shape)
    shape[axis] = len(ids)
    return Flow(node.shape, ids.reshape(shape))


@channel_rule("BiasAdd")
def _bias_add(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, bias = flows[:2]
    if bias.parameter is None:
        return _elementwise(node, flows, channels)
    ids = channels.vector(x, 1, node)
    channels.consume_with(ids, channels.parameter_ids(bias.parameter, 0), node)
    channels.shifts.add((bias.parameter, 0))
    return replace(x, zero=False)


@channel_rule("BatchNorm", "BatchNormExt")
def _batch_norm(node: Node, flows: list[Any], channels: Channels) -> tuple[Flow, ...]:
    x = flows[0]
    ids = channels.vector(x, 1, node)
    for position, flow in enumerate(flows[1:5]):
        if flow.parameter is None:
            channels.block(ids, Blocked.COMPUTED_WEIGHT, node)
            continue
        channels.consume_with(ids, channels.parameter_ids(flow.parameter, 0), node)
        if position < 2:
            channels.shifts.add((flow.parameter, 0))
    rest = tuple(Flow(shape, none_ids(len(shape))) for shape in node.shape[1:])
    return (replace(x, zero=False), *rest)


# Elementwise operators


@channel_rule("Add", "AddExt", "InplaceAddExt", "Sub", "SubExt", "InplaceSubExt", "AddN")
def _add(node: Node, flows: list[Any], channels: Channels) -> Flow:
    terms = [flow for flow in _flatten(flows) if len(flow.shape) or flow.constant is not None]
    terms = terms[:2] if node.op.endswith("Ext") else terms
    _note_sum(node, terms, channels)
    zero = all(term.zero or _is_zero(term) for term in terms)
    return replace(_elementwise(node, terms, channels), zero=zero, writers=frozenset())


def _note_sum(node: Node, terms: list[Flow], channels: Channels) -> None:
    """Remember which convolutions write into a sum of activations of the same width."""
    wide = [term for term in terms if term.varying and term.shape == node.shape]
    if len(wide) > 1:
        channels.sums.append(node)
        channels.residual.update(*(term.writers for term in wide))


def _is_zero(flow: Flow) -> bool:
    return flow.constant is not None and not np.any(flow.constant)


@channel_rule("Mul", "Muls")
def _mul(node: Node, flows: list[Any], channels: Channels) -> Flow:
    zero = any(flow.zero and flow.has_channels for flow in flows)
    return replace(_elementwise(node, flows, channels), zero=zero)


@channel_rule("Div", "RealDiv", "DivMod")
def _div(node: Node, flows: list[Any], channels: Channels) -> Flow:
    zero = flows[0].zero and not (flows[1].zero and flows[1].has_channels)
    return replace(_elementwise(node, flows[:2], channels), zero=zero)


@channel_rule("Maximum", "Minimum")
def _extremum(node: Node, flows: list[Any], channels: Channels) -> Flow:
    bounds = [flow.constant for flow in flows if flow.constant is not None]
    harmless = all(np.all(np.asarray(b) <= 0 if node.op == "Maximum" else np.asarray(b) >= 0) for b in bounds)
    zero = harmless and all(flow.zero for flow in flows if flow.constant is None)
    return replace(_elementwise(node, flows, channels), zero=zero)


def _elementwise(node: Node, flows: list[Flow], channels: Channels) -> Flow:
    """Unite the channels of the operands position by position, broadcasting as the operator does."""
    rank = len(node.shape)
    result, extent = none_ids(rank), (1,) * rank
    for flow in flows:
        if not flow.shape:
            continue
        shape = (1,) * (rank - len(flow.shape)) + flow.shape
        ids = _operand_ids(flow, shape, result, channels)
        result = _meet(result, extent, ids, shape, node, channels)
        extent = tuple(max(a, b) for a, b in zip(extent, shape))
    varying = any(flow.varying for flow in flows)
    return Flow(node.shape, result, writers=_writers(flows), varying=varying)


def _writers(flows: Iterable[Flow]) -> frozenset[str]:
    return frozenset().union(*(flow.writers for flow in flows))


def _operand_ids(flow: Flow, shape: tuple[int, ...], partner: np.ndarray, channels: Channels) -> np.ndarray:
    """Ids of an operand; a parameter with several long axes takes them from the axis where its partner has channels."""
    axes = [k for k, n in enumerate(shape) if n > 1]
    if flow.parameter is None or len(axes) < 2:
        return flow.ids.reshape((1,) * (len(shape) - flow.ids.ndim) + flow.ids.shape)
    long = [k for k in axes if partner.shape[k] > 1]
    if len(long) != 1:
        return none_ids(len(shape))
    axis = long[0]
    ids = channels.parameter_ids(flow.parameter, axis - len(shape) + len(flow.shape))
    return ids.reshape([-1 if k == axis else 1 for k in range(len(shape))])


def _meet(left: np.ndarray, left_shape: tuple[int, ...], right: np.ndarray, right_shape: tuple[int, ...],
          node: Node, channels: Channels) -> np.ndarray:
    a, b = np.broadcast_arrays(left, right)
    both = (a != NONE) & (b != NONE)
    if both.any():
        channels.edges.append((a[both], b[both]))
    channels.block(a[(b == NONE) & _spans(left, right_shape)], Blocked.CONSTANT, node)
    channels.block(b[(a == NONE) & _spans(right, left_shape)], Blocked.CONSTANT, node)
    return compress(np.where(a != NONE, a, b))


def _spans(ids: np.ndarray, other_shape: tuple[int, ...]) -> bool:
    """Whether the other operand has an entry of its own for each channel, rather than one broadcast to all."""
    axes = [k for k, n in enumerate(ids.shape) if n > 1]
    return bool(axes) and any(other_shape[k] > 1 for k in axes)


_ZERO_AT_ZERO = (
    "ReLU", "ReLU6", "ReLUV2", "HSwish", "SiLU", "GeLU", "GeluExt", "Gelu", "FastGeLU", "Tanh", "Abs", "Neg",
    "Square", "Sqrt", "Sin", "Sign", "LeakyReLUExt", "LeakyReLU", "Elu", "EluExt", "SeLUExt", "Mish", "Softsign",
    "Erf", "Cast", "Identity", "Dropout", "StopGradient", "Contiguous", "Round", "Floor", "Ceil", "HShrink",
    "SoftShrink", "Asin", "Atan", "Tan", "Expm1", "Log1p", "TensorMove", "Copy",
)
_NONZERO_AT_ZERO = ("Sigmoid", "HSigmoid", "Exp", "Cos", "Softplus", "Rsqrt", "Reciprocal", "Log", "Erfc", "LogSigmoid")


@channel_rule(*_ZERO_AT_ZERO)
def _unary(node: Node, flows: list[Any], channels: Channels) -> Any:
    if node.shape and isinstance(node.shape[0], tuple):
        return tuple(flows[0] for _ in node.shape)
    keep = flows[0].parameter if node.op in ("Cast", "Identity") else None
    return replace(flows[0], parameter=keep, constant=None)


@channel_rule(*_NONZERO_AT_ZERO)
def _unary_nonzero(node: Node, flows: list[Any], channels: Channels) -> Flow:
    return replace(flows[0], zero=False, parameter=None, constant=None)


@channel_rule("Pow")
def _pow(node: Node, flows: list[Any], channels: Channels) -> Flow:
    exponent = flows[1].constant
    zero = flows[0].zero and exponent is not None and bool(np.all(np.asarray(exponent) > 0))
    return replace(_elementwise(node, flows, channels), zero=zero)


@channel_rule("PReLU")
def _prelu(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, slope = flows
    if slope.parameter is None:
        channels.refuse(x, Blocked.COMPUTED_WEIGHT, node)
    elif slope.shape != (1,):
        channels.consume_with(channels.vector(x, 1, node), channels.parameter_ids(slope.parameter, 0), node)
    return x


# Operators over space and over channels


@channel_rule("MaxPool", "AvgPool", "MaxPoolV2", "AvgPool2D", "MaxPoolWithArgmax", "MaxPoolWithArgmaxV2",
              "MaxPoolWithMask", "AdaptiveAvgPool2D", "AdaptiveAvgPool2DExt", "AdaptiveMaxPool2D", "ResizeBilinearV2",
              "ResizeNearestNeighbor", "ResizeNearestNeighborV2", "ResizeBicubic", "UpsampleNearest2D",
              "UpsampleBilinear2D")
def _spatial(node: Node, flows: list[Any], channels: Channels) -> Any:
    x = flows[0]
    if any(n > 1 for n in x.ids.shape[2:]):
        channels.refuse(x, Blocked.MERGED_AXES, node)
        x = replace(x, ids=none_ids(len(x.shape)))
    if node.shape and isinstance(node.shape[0], tuple):
        places = [replace(x.with_ids(shape, x.ids), zero=False) for shape in node.shape[1:]]
        return (x.with_ids(node.shape[0], x.ids), *places)
    return x.with_ids(node.shape, x.ids)


@channel_rule("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "MeanExt", "SumExt", "ReduceProd", "ReduceStd")
def _reduce(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x = flows[0]
    axes = _axes(flows[1].constant if len(flows) > 1 else None, len(x.shape))
    if any(x.ids.shape[k] > 1 for k in axes):
        exact = node.op in ("ReduceSum", "SumExt") and x.zero
        if not exact:
            channels.refuse(x, Blocked.MIXES_CHANNELS, node)
        return replace(channels.plain(node), varying=x.varying)
    kept = len(node.shape) == len(x.shape)
    ids = x.ids if kept else x.ids.reshape([n for k, n in enumerate(x.ids.shape) if k not in axes])
    return x.with_ids(node.shape, ids)


def _axes(value: Any, rank: int) -> set[int]:
    if value is None or (isinstance(value, tuple) and not value):
        return set(range(rank))
    values = value if isinstance(value, tuple) else np.asarray(value).reshape(-1)
    return {int(k) % rank for k in values}


# Layout operators: the same operator in NumPy, on the ids


@channel_rule("Reshape", "View")
def _reshape(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x = flows[0]
    ids = compress(expand(x.ids, x.shape).reshape(node.shape))
    if _long(ids) > _long(x.ids):
        _tie_blocks(ids, node, channels)
    return x.with_ids(node.shape, ids)


def _long(ids: np.ndarray) -> int:
    return sum(n > 1 for n in ids.shape)


def _tie_blocks(ids: np.ndarray, node: Node, channels: Channels) -> None:
    """Channels split into blocks (a channel shuffle): the k-th of each block go together, so that blocks stay alike."""
    axis = min((k for k, n in enumerate(ids.shape) if n > 1), key=lambda k: ids.shape[k])
    channels.unite(ids.take([0], axis=axis), ids, node)


@channel_rule("Flatten", "FlattenExt", "Squeeze", "ExpandDims", "UnsqueezeExt")
def _same_order(node: Node, flows: list[Any], channels: Channels) -> Flow:
    return _reshape(node, flows, channels)


@channel_rule("Transpose", "Permute")
def _transpose(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, order = flows[0], flows[1].constant
    return x.with_ids(node.shape, x.ids.transpose([int(k) for k in order]))


@channel_rule("StridedSlice")
def _strided_slice(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, begin, end, step = flows[0], *(flow.constant for flow in flows[1:4])
    masks = [int(flow.constant or 0) for flow in flows[4:9]]
    if any(masks[2:]) or None in (begin, end, step):
        return _unknown(node, flows[:1], channels)
    index = []
    for k in range(len(begin)):
        first = None if masks[0] >> k & 1 else begin[k]
        last = None if masks[1] >> k & 1 else end[k]
        index.append(slice(first, last, step[k]))
    return _indexed(node, x, tuple(index), channels)


@channel_rule("Slice")
def _slice(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, begin, size = flows[0], flows[1].constant, flows[2].constant
    if begin is None or size is None:
        return _unknown(node, flows[:1], channels)
    return _indexed(node, x, tuple(slice(b, None if n < 0 else b + n) for b, n in zip(begin, size)), channels)


def _indexed(node: Node, x: Flow, index: tuple[slice, ...], channels: Channels) -> Flow:
    """Take a part; where it is a part of the channels, its bounds are numbers in the network's code."""
    cut = [k for k, part in enumerate(index) if x.ids.shape[k] > 1 and part.indices(x.shape[k]) != (0, x.shape[k], 1)]
    if cut:
        channels.refuse(x, Blocked.FIXED_BY_CODE, node)
    ids = compress(expand(x.ids, x.shape)[index])
    return x.with_ids(node.shape, ids)


@channel_rule("Concat")
def _concat(node: Node, flows: list[Any], channels: Channels) -> Flow:
    parts = flows[0] if isinstance(flows[0], tuple) else tuple(flows[:-1])
    axis = int(flows[-1].constant if isinstance(flows[-1], Flow) and flows[-1].constant is not None
               else node.attrs.get("axis", 0))
    ids = compress(np.concatenate([expand(part.ids, part.shape) for part in parts], axis=axis))
    zero = all(part.zero or not part.has_channels for part in parts)
    return Flow(node.shape, ids, zero=zero, writers=_writers(parts), varying=any(part.varying for part in parts))


@channel_rule("PadV3", "Pad")
def _pad(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x = flows[0]
    amounts = _pad_amounts(node, flows, len(x.shape))
    if amounts is None:
        return _unknown(node, flows[:1], channels)
    ids = _padded(x, amounts)
    fill = flows[2].constant if len(flows) > 2 else 0
    return replace(x.with_ids(node.shape, ids), zero=x.zero and fill is not None and not np.any(fill))


def _padded(x: Flow, amounts: list[tuple[int, int]]) -> np.ndarray:
    """A border in space belongs to each channel; a border of channels belongs to none."""
    inner = [amount if n > 1 or x.shape[k] == 1 else (0, 0) for k, (n, amount) in enumerate(zip(x.ids.shape, amounts))]
    shape = tuple(x.shape[k] if amount != (0, 0) else n for k, (n, amount) in enumerate(zip(x.ids.shape, inner)))
    return compress(np.pad(expand(x.ids, shape), inner, constant_values=NONE))


def _pad_amounts(node: Node, flows: list[Any], rank: int) -> list[tuple[int, int]] | None:
    if node.op == "Pad":
        return [tuple(pair) for pair in node.attrs.get("paddings", ())] or None
    flat = flows[1].constant
    if flat is None or node.attrs.get("mode", "constant") != "constant":
        return None
    flat = [int(n) for n in np.asarray(flat).reshape(-1)]
    pairs = list(zip(flat[::2], flat[1::2]))[::-1]
    amounts = [(0, 0)] * (rank - len(pairs)) + pairs
    return amounts if all(n >= 0 for pair in amounts for n in pair) else None


@channel_rule("MakeTuple")
def _make_tuple(node: Node, flows: list[Any], channels: Channels) -> tuple[Any, ...]:
    return tuple(flows)


@channel_rule("TupleGetItem")
def _tuple_get_item(node: Node, flows: list[Any], channels: Channels) -> Any:
    return flows[0][int(flows[1].constant)]
