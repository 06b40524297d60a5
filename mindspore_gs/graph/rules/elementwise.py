"""Channel rules of elementwise operators: operands unite position by position."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import NONE, compress, none_ids
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.roles import Role
from mindspore_gs.graph.rules.registry import channel_rule, flatten, several_outputs


_SUMS = ("Add", "AddExt", "Adds", "InplaceAddExt", "Sub", "SubExt", "Subs", "InplaceSubExt", "AddN")


@channel_rule(*_SUMS)
def _add(node: Node, flows: list[Any], channels: Channels) -> Flow:
    terms = [flow for flow in flatten(flows) if len(flow.shape) or flow.constant is not None]
    terms = terms[:2] if node.op.endswith("Ext") else terms
    _note_sum(node, terms, channels)
    zero = all(term.zero or _is_zero(term) for term in terms)
    return replace(elementwise(node, terms, channels), zero=zero, writers=frozenset())


def _note_sum(node: Node, terms: list[Flow], channels: Channels) -> None:
    """Remember which convolutions write into a sum of activations of the same width."""
    wide = [term for term in terms if term.varying and term.shape == node.shape]
    if len(wide) > 1:
        channels.sums.append(node)
        channels.residual.update(*(term.writers for term in wide))


def _is_zero(flow: Flow) -> bool:
    return flow.constant is not None and not np.any(flow.constant)


@channel_rule("Mul", "Muls", "InplaceMuls", "InplaceMul")
def _mul(node: Node, flows: list[Any], channels: Channels) -> Flow:
    zero = any(flow.zero and flow.has_channels for flow in flows)
    return replace(elementwise(node, flows, channels), zero=zero)


@channel_rule("Div", "Divs", "RealDiv", "DivMod")
def _div(node: Node, flows: list[Any], channels: Channels) -> Flow:
    zero = flows[0].zero and not (flows[1].zero and flows[1].has_channels)
    return replace(elementwise(node, flows[:2], channels), zero=zero)


@channel_rule("Maximum", "Minimum")
def _extremum(node: Node, flows: list[Any], channels: Channels) -> Flow:
    bounds = [flow.constant for flow in flows if flow.constant is not None]
    harmless = all(np.all(np.asarray(b) <= 0 if node.op == "Maximum" else np.asarray(b) >= 0) for b in bounds)
    zero = harmless and all(flow.zero for flow in flows if flow.constant is None)
    return replace(elementwise(node, flows, channels), zero=zero)


@channel_rule("ClampScalar", "ClipByValue")
def _clamp(node: Node, flows: list[Any], channels: Channels) -> Flow:
    low, high = (flow.constant for flow in flows[1:3])
    around_zero = (low is None or np.all(np.asarray(low) <= 0)) and (high is None or np.all(np.asarray(high) >= 0))
    return replace(flows[0], zero=flows[0].zero and bool(around_zero), parameter=None, constant=None)


@channel_rule("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual", "LogicalAnd", "LogicalOr")
def _compare(node: Node, flows: list[Any], channels: Channels) -> Flow:
    return elementwise(node, flows, channels)


@channel_rule("Select", "Where")
def _select(node: Node, flows: list[Any], channels: Channels) -> Flow:
    zero = all(flow.zero or _is_zero(flow) for flow in flows[1:3])
    return replace(elementwise(node, flows, channels), zero=zero)


def elementwise(node: Node, flows: list[Flow], channels: Channels) -> Flow:
    """Unite the channels of the operands position by position, broadcasting as the operator does."""
    rank = len(node.shape)
    result, extent = none_ids(rank), (1,) * rank
    for flow in flows:
        if not flow.shape:
            continue
        _note_role(flow, node, channels)
        shape = (1,) * (rank - len(flow.shape)) + flow.shape
        ids = _operand_ids(flow, shape, result, channels)
        result = _meet(result, extent, ids, shape, node, channels)
        extent = tuple(max(a, b) for a, b in zip(extent, shape))
    varying = any(flow.varying for flow in flows)
    return Flow(node.shape, result, writers=_writers(flows), varying=varying)


def _note_role(flow: Flow, node: Node, channels: Channels) -> None:
    """A parameter that meets channels entry by entry scales them, or shifts them."""
    if flow.parameter is not None:
        role = Role.SHIFT if node.op in _SUMS else Role.SCALE
        for axis in range(len(flow.shape)):
            channels.roles.setdefault((flow.parameter, axis), role)


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
    "Square", "Sqrt", "Sin", "Sign", "LeakyReLUExt", "LeakyReLU", "Elu", "EluExt", "SeLU", "SeLUExt", "CeLU", "Mish",
    "Softsign", "Erf", "Cast", "Identity", "Dropout", "StopGradient", "Contiguous", "Round", "Floor", "Ceil", "HShrink",
    "SoftShrink", "Asin", "Atan", "Tan", "Expm1", "Log1p", "TensorMove", "Copy", "InplaceReLU", "Trunc", "Rint",
)
_NONZERO_AT_ZERO = (
    "Sigmoid", "HSigmoid", "Exp", "Cos", "Softplus", "SoftplusExt", "Rsqrt", "Reciprocal", "Log", "Erfc", "LogSigmoid",
    "LogSigmoidExt", "LogicalNot", "IsNan", "IsFinite", "OnesLike",
)


@channel_rule(*_ZERO_AT_ZERO)
def _unary(node: Node, flows: list[Any], channels: Channels) -> Any:
    if several_outputs(node):
        return tuple(flows[0] for _ in node.shape)
    keep = flows[0].parameter if node.op in ("Cast", "Identity") else None
    return replace(flows[0], parameter=keep, constant=None)


@channel_rule(*_NONZERO_AT_ZERO)
def _unary_nonzero(node: Node, flows: list[Any], channels: Channels) -> Flow:
    return replace(flows[0], zero=False, parameter=None, constant=None)


@channel_rule("ZerosLike")
def _zeros_like(node: Node, flows: list[Any], channels: Channels) -> Flow:
    return replace(flows[0], zero=True, parameter=None, constant=None)


@channel_rule("Pow", "PowTensorScalar")
def _pow(node: Node, flows: list[Any], channels: Channels) -> Flow:
    exponent = flows[1].constant
    zero = flows[0].zero and exponent is not None and bool(np.all(np.asarray(exponent) > 0))
    return replace(elementwise(node, flows, channels), zero=zero)


@channel_rule("PReLU")
def _prelu(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, slope = flows
    if slope.parameter is None:
        channels.refuse(x, Blocked.COMPUTED_WEIGHT, node)
    elif slope.shape != (1,):
        channels.roles[slope.parameter, 0] = Role.SCALE
        channels.consume_with(channels.vector(x, 1, node), channels.parameter_ids(slope.parameter, 0), node)
    return x
