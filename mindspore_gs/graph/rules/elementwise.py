"""Channel rules of elementwise operators: operands unite position by position."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import NONE, compress, none_ids, rows_apart
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.questions import BLOCKED
from mindspore_gs.graph.roles import Role
from mindspore_gs.graph.rules.registry import channel_rule, flatten, several_outputs

_SUMS = ("Add", "AddExt", "Adds", "InplaceAddExt", "InplaceAddsExt", "Sub", "SubExt", "Subs", "InplaceSubExt",
         "InplaceSubsExt", "AddN")


@channel_rule(*_SUMS, weights=True)
def _add(node: Node, flows: list[Any], channels: Channels) -> Flow:
    terms = flatten(flows) if node.op == "AddN" else flows[:2]
    _note_sum(node, terms, channels)
    result, parts = elementwise(node, terms, channels)
    if not result.varying:
        sets = [term.masked_by() for term in terms if not _is_zero(term)]
        joined = frozenset().union(*sets) if all(sets) else frozenset()
        return replace(result, writers=frozenset(), zero=True, silencers=joined)
    return replace(zero_where_all(result, terms, parts, channels), writers=frozenset())


def _note_sum(node: Node, terms: list[Flow], channels: Channels) -> None:
    """Remember which convolutions write into a sum of activations of the same width."""
    wide = [term for term in terms if term.varying and term.shape == node.shape]
    if len(wide) > 1:
        channels.sums.append(node)
        channels.residual.update(*(term.writers for term in wide))


def zero_where_all(result: Flow, terms: list[Flow], parts: list[np.ndarray], channels: Channels) -> Flow:
    """A channel is zero where each operand is: a channel that is zero, zero as a number, or a masked parameter."""
    where = np.ones((1,) * result.ids.ndim, bool)
    for term, ids in zip(terms, parts):
        if _is_zero(term):
            continue
        masked_by = _masked_by(term, ids)
        where = where & ((ids != NONE) if masked_by else _zeros_of(term, ids))
        channels.shifts.update(masked_by)
    return result.with_zeros(where)


def _masked_by(flow: Flow, ids: np.ndarray) -> frozenset[tuple[str, int]]:
    """The (parameter, axis) whose masking makes an operand zero. One of several axes has its partner's channels."""
    if not _many_axes(flow):
        return flow.masked_by()
    offset = ids.ndim - len(flow.shape)
    return frozenset((str(flow.parameter), k - offset) for k, n in enumerate(ids.shape) if n > 1)


def _zeros_of(flow: Flow, ids: np.ndarray) -> np.ndarray:
    """Where an operand is zero: its own channels, once they are masked."""
    if not (flow.zero and flow.varying):
        return np.zeros(ids.shape, bool)
    return (ids != NONE) & ~np.isin(ids, flow.alive)


def _is_zero(flow: Flow) -> bool:
    return flow.constant is not None and not np.any(flow.constant)


@channel_rule("SquaredDifference", "Hypot", weights=True)
def _distance(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Zero where both operands are."""
    result, parts = elementwise(node, flows[:2], channels)
    return zero_where_all(result, flows[:2], parts, channels)


@channel_rule("Xlogy", "Xdivy", "DivNoNan", "Polar", weights=True)
def _zero_if_first(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Zero where the first operand is, whatever the second may be."""
    result, parts = elementwise(node, flows[:2], channels)
    return result.with_zeros(_zeros_of(flows[0], parts[0]))


@channel_rule("Mul", "Muls", "InplaceMuls", "InplaceMul", "MulNoNan", weights=True)
def _mul(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Zero where one factor is, or where a parameter that scales it can be masked."""
    result, parts = elementwise(node, flows, channels)
    if not result.varying:
        known = [flow.masked_by() for flow in flows if flow.masked_by()]
        return replace(result, zero=True, silencers=min(known, key=len, default=frozenset()))
    where = np.zeros((1,) * result.ids.ndim, bool)
    for flow, ids in zip(flows, parts):
        where = where | (np.ones(ids.shape, bool) if _is_zero(flow) else _zeros_of(flow, ids))
    return result.with_zeros(_with_a_masked_scale(flows, parts, where, channels))


def _with_a_masked_scale(flows: list[Flow], parts: list[np.ndarray], where: np.ndarray,
                         channels: Channels) -> np.ndarray:
    """Where a product is zero once a parameter is masked that scales channels, where they are not zero without that."""
    for flow, ids in zip(flows, parts):
        masked_by = _masked_by(flow, ids)
        if masked_by and ((ids != NONE) & ~where).any():
            channels.shifts.update(masked_by)
            where = where | (ids != NONE)
    return where


@channel_rule("Div", "Divs", "RealDiv", "DivMod", "FloorDiv", "FloorMod", "Mod", "TruncateDiv", "TruncateMod", "Fmod",
              weights=True)
def _div(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Zero where the dividend is, unless the divisor is zero as well: a parameter that is masked elsewhere would be."""
    channels.divisors += [(name, axis, node) for name, axis in flows[1].masked_by()]
    result, (above, below) = elementwise(node, flows[:2], channels)
    if not result.varying:
        return replace(result, zero=True, silencers=frozenset() if flows[1].masked_by() else flows[0].masked_by())
    return result.with_zeros(_zeros_of(flows[0], above) & ~_zeros_of(flows[1], below))


@channel_rule("Lerp", "LerpScalar", weights=True)
def _lerp(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Zero where both ends are."""
    result, parts = elementwise(node, flows[:3], channels)
    return zero_where_all(result, flows[:2], parts[:2], channels)


@channel_rule("Addcmul", "AddcmulExt", "Addcdiv", "AddcdivExt", weights=True)
def _add_product(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """The first input, and the second times the third, or by it."""
    result, parts = elementwise(node, flows[:3], channels)
    first, second, third = (_zeros_of(flow, ids) for flow, ids in zip(flows, parts))
    divides = node.op.startswith("Addcdiv")
    return result.with_zeros(first & (second & ~third if divides else second | third))


@channel_rule("Maximum", "Minimum", "Fmax", "Fmin", weights=True)
def _extremum(node: Node, flows: list[Any], channels: Channels) -> Flow:
    bounds = [flow.constant for flow in flows if flow.constant is not None]
    harmless = all(np.all(np.asarray(b) <= 0 if node.op in ("Maximum", "Fmax") else np.asarray(b) >= 0) for b in bounds)
    result, parts = elementwise(node, flows, channels)
    terms = [(flow, ids) for flow, ids in zip(flows, parts) if flow.constant is None]
    result = zero_where_all(result, [flow for flow, _ in terms], [ids for _, ids in terms], channels)
    return replace(result, zero=result.zero and harmless)


@channel_rule("ClampScalar", "ClipByValue")
def _clamp(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Zero stays zero between bounds around it. A bound that is a tensor is one more operand."""
    low, high = (flow.constant for flow in flows[1:3])
    known = all(flow.constant is not None or not flow.shape for flow in flows[1:3])
    around_zero = known and (low is None or np.all(np.asarray(low) <= 0)) and \
        (high is None or np.all(np.asarray(high) >= 0))
    result, parts = elementwise(node, flows[:3], channels)
    return result.with_zeros(_zeros_of(flows[0], parts[0])) if around_zero else result


_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "Greater": np.greater, "GreaterEqual": np.greater_equal, "Less": np.less, "LessEqual": np.less_equal,
    "Equal": np.equal, "NotEqual": np.not_equal}


@channel_rule(*_COMPARED, *(f"{name}Scalar" for name in _COMPARED), weights=True)
def _compare(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Not true, which is zero as a number, where both operands are zero, or one beside a literal, if that says so.

    So spikes are: a neuron whose potential is zero stays below a threshold above zero.
    """
    compares = _COMPARED[node.op.removesuffix("Scalar")]
    result, parts = elementwise(node, flows[:2], channels)
    at_zero = compares(*(0 if flow.constant is None else np.asarray(flow.constant) for flow in flows[:2]))
    if not result.varying or np.any(at_zero):
        return result
    left, right = (np.ones((1,) * result.ids.ndim, bool) if flow.constant is not None else _zeros_of(flow, ids)
                   for flow, ids in zip(flows, parts))
    return result.with_zeros(left & right)


@channel_rule("LogicalAnd", "BitwiseAnd", weights=True)
def _both(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Zero where one operand is."""
    result, parts = elementwise(node, flows[:2], channels)
    return result.with_zeros(_zeros_of(flows[0], parts[0]) | _zeros_of(flows[1], parts[1]))


@channel_rule("LogicalOr", "LogicalXor", "BitwiseOr", "BitwiseXor", "Complex", weights=True)
def _zero_where_both(node: Node, flows: list[Any], channels: Channels) -> Flow:
    result, parts = elementwise(node, flows[:2], channels)
    return result.with_zeros(_zeros_of(flows[0], parts[0]) & _zeros_of(flows[1], parts[1]))


@channel_rule("Atan2", "Heaviside", weights=True)
def _nowhere_zero(node: Node, flows: list[Any], channels: Channels) -> Flow:
    return elementwise(node, flows, channels)[0]


@channel_rule("Select", "Where", weights=True)
def _select(node: Node, flows: list[Any], channels: Channels) -> Flow:
    result, parts = elementwise(node, flows, channels)
    return zero_where_all(result, flows[1:3], parts[1:3], channels)


@channel_rule("MaskedFill", "MaskedFillScalar", "InplaceMaskedFillScalar", "InplaceMaskedFillTensor",
              weights=True)
def _masked_fill(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Where the mask says so, the value instead."""
    result, parts = elementwise(node, flows, channels)
    return zero_where_all(result, [flows[0], flows[2]], [parts[0], parts[2]], channels)


def elementwise(node: Node, flows: list[Flow], channels: Channels) -> tuple[Flow, list[np.ndarray]]:
    """Unite the channels of the operands position by position, broadcasting as the operator does.

    Returns:
        The output, zero nowhere, and the ids of each operand in its layout.
    """
    rank = len(node.shape)
    result, extent = none_ids(rank), (1,) * rank
    parts = [none_ids(rank)] * len(flows)
    for place in sorted(range(len(flows)), key=lambda k: (_many_axes(flows[k]), _may_follow(flows[k]))):
        flow = flows[place]
        if _may_follow(flow) and _follows(node, flow, result, channels):
            continue
        _note_role(flow, node, channels)
        shape = (1,) * (rank - len(flow.shape)) + flow.shape
        ids = _operand_ids(flow, shape, result, node, channels)
        parts[place] = ids
        result = _meet(result, extent, ids, shape, node, channels)
        extent = tuple(max(a, b) for a, b in zip(extent, shape))
    varying = any(flow.varying for flow in flows)
    pliable = all(flow.pliable or (flow.constant is not None and not flow.shape) for flow in flows)
    return Flow(node.shape, result, writers=_writers(flows), varying=varying, pliable=pliable,
                repeated=_repeated(flows, rank)), parts


def _repeated(flows: list[Flow], rank: int) -> frozenset[int]:
    """The axes along which the output is one entry, because an operand was repeated there, and all others have one."""
    shapes = [(1,) * (rank - len(flow.shape)) + flow.shape for flow in flows]
    repeats = [{k + rank - len(flow.shape) for k in flow.repeated} for flow in flows]
    return frozenset(k for k in set().union(*repeats)
                     if all(k in axes or shape[k] == 1 for axes, shape in zip(repeats, shapes)))


def _may_follow(flow: Flow) -> bool:
    return flow.pliable or bool(flow.repeated)


def _follows(node: Node, flow: Flow, partner: np.ndarray, channels: Channels) -> bool:
    """Whether an operand has the shape of its partner, whatever that is.

    A literal of equal entries and random numbers may; so may what is repeated along the partner's channels.
    """
    offset = len(node.shape) - len(flow.shape)
    shape = (1,) * offset + flow.shape
    along = {k - offset for k, n in enumerate(partner.shape) if n > 1}
    if not _spans(partner, shape) or not (flow.pliable or along <= flow.repeated):
        return False
    taken = channels.ask(node, ("of the partner's shape", "fixed"), partner)
    if taken == BLOCKED:
        channels.block(partner, Blocked.FIXED_BY_CODE, node)
    return taken != "fixed"


def _many_axes(flow: Flow) -> bool:
    """Whether an operand is a parameter that takes its channels from its partner, which has to come first."""
    return flow.parameter is not None and sum(n > 1 for n in flow.shape) > 1


def _note_role(flow: Flow, node: Node, channels: Channels) -> None:
    """A parameter that meets channels entry by entry scales them, or shifts them."""
    if flow.parameter is not None:
        role = Role.SHIFT if node.op in _SUMS else Role.SCALE
        for axis in range(len(flow.shape)):
            channels.roles.setdefault((flow.parameter, axis), role)


def _writers(flows: Iterable[Flow]) -> frozenset[str]:
    return frozenset().union(*(flow.writers for flow in flows))


def _operand_ids(flow: Flow, shape: tuple[int, ...], partner: np.ndarray, node: Node,
                 channels: Channels) -> np.ndarray:
    """Ids of an operand.

    A tensor that is one channel as a whole, and is repeated along an axis, leaves the others apart: its channel
    cannot be removed, or nothing would be left. A parameter with several long axes takes the ids of the axis along
    which its partner has channels; its other axes stay.
    """
    none = none_ids(len(shape))
    if not _many_axes(flow):
        repeated = any(n == 1 < size for n, size in zip(shape, node.shape))
        if flow.ids.size == 1 and repeated:
            return none
        return flow.ids.reshape((1,) * (len(shape) - flow.ids.ndim) + flow.ids.shape)
    axis = _axis_of_channels(partner, [k for k, n in enumerate(shape) if n > 1 and partner.shape[k] > 1])
    offset = len(shape) - len(flow.shape)
    for k, n in enumerate(flow.shape):
        if n > 1 and k + offset != axis:
            channels.block(channels.parameter_ids(str(flow.parameter), k), Blocked.COMPUTED_WEIGHT, node)
    if axis is None:
        return none
    ids = channels.parameter_ids(str(flow.parameter), axis - offset)
    return ids.reshape([-1 if k == axis else 1 for k in range(len(shape))])


def _axis_of_channels(ids: np.ndarray, axes: list[int]) -> int | None:
    """Of these axes the one along which every position is another channel, or None.

    Along the tokens of a transformer the channels are the same, or those of another parameter (a class token).
    """
    if len(axes) < 2:
        return axes[0] if axes else None
    found = [k for k in axes if rows_apart(ids, k) is not None]
    return found[0] if len(found) == 1 else None


def _meet(left: np.ndarray, left_shape: tuple[int, ...], right: np.ndarray, right_shape: tuple[int, ...],
          node: Node, channels: Channels) -> np.ndarray:
    a, b = np.broadcast_arrays(left, right)
    both = (a != NONE) & (b != NONE)
    if both.any():
        channels.edges.append((a[both], b[both]))
    channels.block(a[(b == NONE) & _spans(left, right_shape)], Blocked.CONSTANT, node)
    channels.block(b[(a == NONE) & _spans(right, left_shape)], Blocked.CONSTANT, node)
    first, second = (b, a) if (right != NONE).all() and right.size < left.size else (a, b)  # they are one by now
    return compress(np.where(first != NONE, first, second))


def _spans(ids: np.ndarray, other_shape: tuple[int, ...]) -> bool:
    """Whether the other operand has an entry of its own for each channel, rather than one broadcast to all."""
    axes = [k for k, n in enumerate(ids.shape) if n > 1]
    return bool(axes) and any(other_shape[k] > 1 for k in axes)


_ZERO_AT_ZERO = (
    "ReLU", "ReLU6", "ReLUV2", "HSwish", "SiLU", "GeLU", "GeluExt", "Gelu", "FastGeLU", "Tanh", "Abs", "Neg",
    "Square", "Sqrt", "Sin", "Sign", "LeakyReLUExt", "LeakyReLU", "Elu", "EluExt", "SeLU", "SeLUExt", "CeLU", "Mish",
    "Softsign", "Erf", "Cast", "Identity", "Dropout", "StopGradient", "Contiguous", "Round", "Floor", "Ceil", "HShrink",
    "SoftShrink", "Asin", "Atan", "Sinh", "Asinh", "Atanh", "NanToNum", "Tan",
    "Erfinv", "Expm1", "Log1p", "TensorMove", "Copy", "InplaceReLU", "Trunc", "Rint", "Real", "Imag", "Conj", "Angle",
)
_NONZERO_AT_ZERO = (
    "Sigmoid", "HSigmoid", "Exp", "Cos", "Softplus", "SoftplusExt", "Rsqrt", "Reciprocal", "Log", "Erfc", "LogSigmoid",
    "LogSigmoidExt", "LogicalNot", "IsNan", "IsFinite", "OnesLike", "OnesLikeExt", "Cosh", "Acosh", "Acos",
    "Inv", "Sinc", "Lgamma", "Digamma", "IsInf",
)


@channel_rule(*_ZERO_AT_ZERO, weights=True)
def _unary(node: Node, flows: list[Any], channels: Channels) -> Any:
    if several_outputs(node):
        return (flows[0], *(replace(flows[0], zero=False) for _ in node.shape[1:]))
    keep = flows[0].parameter if node.op in ("Cast", "Identity") else None
    if keep is None and _many_axes(flows[0]):
        channels.computed.append((str(flows[0].parameter), node))
    return replace(flows[0], parameter=keep, constant=None)


@channel_rule(*_NONZERO_AT_ZERO)
def _unary_nonzero(node: Node, flows: list[Any], channels: Channels) -> Flow:
    return replace(flows[0], zero=False, parameter=None, constant=None)


@channel_rule("ZerosLike", "ZerosLikeExt")
def _zeros_like(node: Node, flows: list[Any], channels: Channels) -> Flow:
    return replace(flows[0], zero=True, alive=flows[0].alive[:0], parameter=None, constant=None)


@channel_rule("Pow", "PowTensorScalar", weights=True)
def _pow(node: Node, flows: list[Any], channels: Channels) -> Flow:
    exponent = flows[1].constant
    result, parts = elementwise(node, flows, channels)
    if exponent is None or not np.all(np.asarray(exponent) > 0):
        return result
    if np.any(np.asarray(exponent) < 1):
        channels.note_steep(flows[0], node)
    return result.with_zeros(_zeros_of(flows[0], parts[0]))


@channel_rule("PReLU", weights=True)
def _prelu(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, slope = flows
    if slope.parameter is None:
        channels.refuse(x, Blocked.COMPUTED_WEIGHT, node)
    elif slope.shape != (1,):
        channels.roles[slope.parameter, 0] = Role.SCALE
        channels.consume_with(channels.vector(x, 1, node), channels.parameter_ids(slope.parameter, 0), node)
    return x


@channel_rule("FillV2", "FillScalar", "Zeros", "Ones")
def _filled(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """A literal of equal entries that is made when the network runs."""
    value: Any = {"Zeros": 0, "Ones": 1}.get(node.op, flows[1].constant if len(flows) > 1 else None)
    if flows[0].constant is None or value is None or np.size(value) != 1:
        return _random(node, flows, channels)
    entries = np.broadcast_to(np.reshape(value, ()), node.shape)
    return Flow(node.shape, none_ids(len(node.shape)), constant=entries, varying=False, pliable=entries.size > 1)


@channel_rule("StandardNormal", "Normal", "UniformReal", "UniformExt", "Uniform", "RandExt", "Randn", "RandnLike",
              "RandLikeExt", "StandardLaplace", "Gamma", "Poisson", "UniformInt", "NormalFloatFloat",
              "NormalTensorTensor", "NormalTensorFloat", "NormalFloatTensor")
def _random(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Random numbers, whose shape may be that of what they meet."""
    for flow in flatten(flows):
        channels.refuse(flow, Blocked.FIXED_OPERAND, node)
    return replace(channels.plain(node), pliable=True)
