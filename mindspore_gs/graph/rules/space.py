"""Channel rules of operators that compute over space, over channels, or normalise."""

from dataclasses import replace
from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import none_ids
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.questions import BLOCKED
from mindspore_gs.graph.restores import OPERATOR
from mindspore_gs.graph.roles import Role
from mindspore_gs.graph.rules.registry import channel_rule, flatten, refused, several_outputs


@channel_rule("MaxPool", "AvgPool", "MaxPoolV2", "AvgPool2D", "MaxPoolWithArgmax", "MaxPoolWithArgmaxV2",
              "MaxPoolWithMask", "AdaptiveAvgPool2D", "AdaptiveAvgPool2DExt", "AdaptiveMaxPool2D", "ResizeBilinearV2",
              "ResizeNearestNeighbor", "ResizeNearestNeighborV2", "ResizeBicubic", "UpsampleNearest2D",
              "UpsampleBilinear2D", "ResizeBilinear", "ResizeLinear1D", "GridSampler2D", "ReflectionPad2D",
              "ReplicationPad2D", "MirrorPad", "MaxPool3D", "AvgPool3D", "AdaptiveAvgPool3D", "AdaptiveMaxPool3D",
              "MaxPool3DWithArgmax", "AvgPool3DExt", "AvgPool1D", "MaxPool1D", "UpsampleTrilinear3D",
              "UpsampleNearest3D", "UpsampleNearest1D", "UpsampleLinear1D", "UpsampleBicubic2D", "GridSampler3D",
              "ReflectionPad1D", "ReflectionPad3D", "ReplicationPad1D", "ReplicationPad3D", "Im2Col", "Col2Im")
def _spatial(node: Node, flows: list[Any], channels: Channels) -> Any:
    x = flows[0]
    for other in flatten(flows[1:]):
        channels.refuse(other, Blocked.FIXED_OPERAND, node)
    in_space = any(n > 1 for n in x.ids.shape[2:])
    if in_space or _resizes_channels(node, x):
        channels.refuse(x, Blocked.MIXES_CHANNELS if in_space else Blocked.MERGED_AXES, node)
        x = replace(x, ids=none_ids(len(x.shape)))
    if several_outputs(node):
        places = [replace(x.with_ids(shape, x.ids), zero=False) for shape in node.shape[1:]]
        return (x.with_ids(node.shape[0], x.ids), *places)
    return x.with_ids(node.shape, x.ids)


@channel_rule("MaxUnpool2D")
def _unpooled(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Each value goes back to its place in the plane of its channel; all else is zero."""
    x, places = flows[:2]
    channels.unite(x.ids, places.ids, node)
    return x.with_ids(node.shape, x.ids)


@channel_rule("Triu", "Tril")
def _triangle(node: Node, flows: list[Any], channels: Channels) -> Any:
    """Half of each matrix becomes zero; rows and columns that are channels have their place in it."""
    x = flows[0]
    if any(n > 1 for n in x.ids.shape[-2:]):
        return refused(node, [x], Blocked.MIXES_CHANNELS, channels)
    return replace(x, parameter=None, constant=None)


@channel_rule("LRN")
def _among_neighbours(node: Node, flows: list[Any], channels: Channels) -> Any:
    """A channel is divided by the squares of those beside it."""
    return refused(node, flows, Blocked.MIXES_CHANNELS, channels)


@channel_rule("DeformableOffsets")
def _deformable(node: Node, flows: list[Any], channels: Channels) -> Any:
    """What a deformable convolution reads, at places that depend on data. They are the same for all channels.

    With several sets of places, each is for a block of channels, whose length would change.
    """
    if int(node.attrs.get("deformable_groups", 1)) > 1:
        return refused(node, flows, Blocked.FIXED_OPERAND, channels)
    return _spatial(node, flows, channels)


def _resizes_channels(node: Node, x: Flow) -> bool:
    return node.shape[:2] != x.shape[:2] and not several_outputs(node)


@channel_rule(OPERATOR)
def _restore_channels(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Here the channels of a slim layer end: their places in the stream are sliced with them, the stream is not."""
    x, places = flows
    ids = channels.vector(x, node.attrs["axis"], node)
    channels.consume_with(ids, channels.parameter_ids(places.parameter, 0), node)
    return channels.plain(node)


@channel_rule("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "MeanExt", "SumExt", "ReduceProd", "ReduceStd",
              "Std", "Var", "StdMean", "VarMean", "LpNorm", "LpNormV2", "LinalgVectorNorm", "ReduceAll", "ReduceAny",
              "LogSumExp", "Max", "Min", "Amax", "Amin", "ProdExt")
def _reduce(node: Node, flows: list[Any], channels: Channels) -> Any:
    """Over space a channel stays by itself; a sum over channels is exact where the removed ones are zero."""
    x = flows[0]
    place = 2 if node.op in ("LpNormV2", "LinalgVectorNorm") else 1
    given = flows[place].constant if len(flows) > place else node.attrs.get("axis")
    axes = _axes(given, len(x.shape))
    shapes = node.shape if several_outputs(node) else (node.shape,)
    sums = _sums_up(node, flows)
    results = tuple(_reduced(node, x, axes, shape, sums, channels) for shape in shapes)
    return results if several_outputs(node) else results[0]


def _reduced(node: Node, x: Flow, axes: set[int], shape: tuple[int, ...], sums: bool, channels: Channels) -> Flow:
    if any(x.ids.shape[k] > 1 for k in axes):
        if sums:
            channels.block(x.ids[~x.zeros()], Blocked.MIXES_CHANNELS, node)
            if channels.ask(node, ("a sum",), x.ids) == BLOCKED:  # its divisor may be the number of channels
                channels.refuse(x, Blocked.FIXED_BY_CODE, node)
        else:
            channels.refuse(x, Blocked.MIXES_CHANNELS, node)
        return Flow(shape, none_ids(len(shape)), varying=x.varying)
    if node.op in ("ReduceStd", "Std", "StdMean", "LpNorm", "LpNormV2", "LinalgVectorNorm"):
        channels.note_steep(x, node)
    kept = len(shape) == len(x.shape)
    ids = x.ids if kept else x.ids.reshape([n for k, n in enumerate(x.ids.shape) if k not in axes])
    zero = x.zero and node.op not in ("ReduceAll", "LogSumExp")
    return replace(x.with_ids(shape, ids), zero=zero)


def _sums_up(node: Node, flows: list[Any]) -> bool:
    """Whether what is zero changes nothing: a sum, or a norm, such as the root of a sum of squares."""
    if node.op in ("ReduceSum", "SumExt"):
        return True
    order = node.attrs.get("p", 2) if node.op == "LpNorm" else flows[1].constant if "Norm" in node.op else None
    return isinstance(order, (int, float)) and order > 0


@channel_rule("L2Normalize")
def _on_the_sphere(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Divided by the length along some axes, to which what is zero adds nothing."""
    x = flows[0]
    if any(x.ids.shape[k] > 1 for k in _axes(node.attrs.get("axis", 0), len(x.shape))):
        channels.block(x.ids[~x.zeros()], Blocked.MIXES_CHANNELS, node)
    return replace(x, parameter=None, constant=None, writers=frozenset(), repeated=frozenset())


@channel_rule("ArgMaxWithValue", "ArgMinWithValue", "Argmax", "Argmin", "MaxDim", "MinDim")
def _arg_extremum(node: Node, flows: list[Any], channels: Channels) -> Any:
    """Returns places, (place, value), or, MaxDim and MinDim, (value, place)."""
    given = flows[1].constant if len(flows) > 1 else node.attrs.get("axis", -1)
    result = _along_axes(node, flows[0], given, channels)
    if not several_outputs(node):
        return result
    value = int(node.op.endswith("WithValue"))
    return tuple(replace(flow, zero=flows[0].zero, alive=flows[0].alive) if k == value and flow.has_channels else flow
                 for k, flow in enumerate(result))


@channel_rule("Softmax", "LogSoftmax", "LogSoftmaxExt", "CumSum", "CumsumExt", "CumProd", "Sort",
              "SortExt", "TopK", "TopkExt", "Roll", "ReverseV2")
def _normalise(node: Node, flows: list[Any], channels: Channels) -> Any:
    """Operators that mix the positions along some axes: harmless where no channels lie along these."""
    given = next((flow.constant for flow in flows[1:] if flow.constant is not None), node.attrs.get("axis", -1))
    if node.op in ("Roll", "TopkExt"):
        given = flows[2].constant if len(flows) > 2 else node.attrs.get("axis")
    result = _along_axes(node, flows[0], -1 if node.op == "TopK" else given, channels)
    if node.op not in _KEEP_ZERO:
        return result
    values = result[0] if isinstance(result, tuple) else result
    values = replace(values, zero=flows[0].zero, alive=flows[0].alive)
    return (values, *result[1:]) if isinstance(result, tuple) else values


_KEEP_ZERO = ("Roll", "ReverseV2", "Sort", "SortExt", "TopK", "TopkExt", "CumSum", "CumsumExt", "CumProd")


def _along_axes(node: Node, x: Flow, given: Any, channels: Channels) -> Any:
    axes = _axes(given, len(x.shape))
    if any(x.ids.shape[k] > 1 for k in axes):
        return refused(node, [x], Blocked.MIXES_CHANNELS, channels)
    shapes = node.shape if several_outputs(node) else (node.shape,)
    flows = tuple(replace(_on_the_rest(x, axes, shape), zero=False, constant=None) for shape in shapes)
    return flows if several_outputs(node) else flows[0]


def _on_the_rest(x: Flow, axes: set[int], shape: tuple[int, ...]) -> Flow:
    """The same channels in an output that has lost these axes, or has them still."""
    if len(shape) == len(x.shape):
        return x.with_ids(shape, x.ids)
    return x.with_ids(shape, x.ids.reshape([n for k, n in enumerate(x.ids.shape) if k not in axes]))


@channel_rule("LayerNorm", "LayerNormExt", "RmsNorm")
def _layer_norm(node: Node, flows: list[Any], channels: Channels) -> tuple[Flow, ...]:
    """Mean and variance over the last axes; removing a channel there changes all others.

    With ``norms="recompute"``, a normalisation over the channels alone computes over those that are left; its cell
    carries their mask, and is zero where a channel is.
    """
    x, rank = flows[0], len(flows[0].shape)
    begin = _first_normalised(node, flows, rank)
    recomputed = begin == rank - 1 and node.op == "LayerNorm" and flows[1].parameter in channels.recomputed
    if recomputed and x.has_channels:
        ids = channels.vector(x, begin, node)
        _scale_and_shift(flows[1:3], ids, channels, node)
        x = replace(x, ids=ids.reshape((1,) * begin + (-1,)))
    elif any(n > 1 for n in x.ids.shape[begin:]):
        channels.refuse(x, Blocked.MIXES_CHANNELS, node)
        x = replace(x, ids=none_ids(rank))
    rest = tuple(Flow(shape, none_ids(len(shape))) for shape in node.shape[1:])
    return (replace(x, zero=recomputed, alive=x.alive[:0], parameter=None, constant=None), *rest)


def _first_normalised(node: Node, flows: list[Any], rank: int) -> int:
    if node.op == "LayerNormExt":
        return rank - len(flows[1].constant) if isinstance(flows[1].constant, tuple) else 0
    if node.op == "RmsNorm" or len(flows) < 4 or not isinstance(flows[3].constant, int):
        return rank - 1 if node.op == "RmsNorm" else 0
    return int(flows[3].constant) % rank


@channel_rule("GroupNorm", weights=True)
def _group_norm(node: Node, flows: list[Any], channels: Channels) -> tuple[Flow, ...]:
    """Mean and variance over the channels of a group, so groups go as wholes; gamma and beta mask them.

    The number of groups is in a cell, or in the code: a second trace tells.
    """
    x, groups = flows[0], int(flows[1].constant or 1)
    reason = _why_groups_stay(node, flows, groups, channels)
    if reason is not None:
        result: tuple[Flow, ...] = refused(node, [x, *flows[2:4]], reason, channels)
        return result
    ids = channels.vector(x, 1, node)
    blocks = ids.reshape(groups, -1)
    channels.unite(blocks[:, :1], blocks, node)
    _scale_and_shift(flows[2:4], ids, channels, node)
    rest = tuple(Flow(shape, none_ids(len(shape))) for shape in node.shape[1:])
    return (replace(x, zero=True, alive=x.alive[:0], parameter=None), *rest)


def _scale_and_shift(vectors: list[Any], ids: np.ndarray, channels: Channels, node: Node) -> None:
    """Gamma and beta go with the channels."""
    for flow, role in zip(vectors, (Role.SCALE, Role.SHIFT)):
        channels.consume_with(ids, channels.parameter_ids(flow.parameter, 0), node)
        channels.roles[flow.parameter, 0] = role
        channels.shifts.add((flow.parameter, 0))


def _why_groups_stay(node: Node, flows: list[Any], groups: int, channels: Channels) -> Blocked | None:
    if groups == 1 and flows[0].shape[1] > 1:
        return Blocked.MIXES_CHANNELS
    if None in (flows[2].parameter, flows[3].parameter):
        return Blocked.COMPUTED_WEIGHT
    asked = channels.ask(node, ("whole groups",), flows[0].ids)
    return Blocked.FIXED_BY_CODE if asked == BLOCKED else None


def _axes(value: Any, rank: int) -> set[int]:
    if value is None or (isinstance(value, tuple) and not value):
        return set(range(rank))
    values = value if isinstance(value, tuple) else np.asarray(value).reshape(-1)
    return {int(k) % rank for k in values}
