"""Channel rules of operators that move positions around or repeat them: the same operator in NumPy, on the ids."""

from dataclasses import replace
from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import NONE, compress, expand, none_ids
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.questions import BLOCKED
from mindspore_gs.graph.rules.registry import channel_rule, fixed, unknown


@channel_rule("Reshape", "View", "Flatten", "FlattenExt", "Squeeze", "ExpandDims", "UnsqueezeExt", "InnerUnsqueeze",
              "ExpandDimsView")
def _reshape(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """The same positions in the same order. Where channels are split into blocks, the blocks stay alike."""
    x = flows[0]
    if isinstance(x.constant, np.ndarray):
        return replace(x.with_ids(node.shape, none_ids(len(node.shape))), constant=x.constant.reshape(node.shape))
    if x.repeated and not x.has_channels:
        return replace(x.with_ids(node.shape, none_ids(len(node.shape))), repeated=_repeated_in(x, node.shape))
    ids = compress(expand(x.ids, x.shape).reshape(node.shape))
    target = flows[1].constant if node.op in ("Reshape", "View") and len(flows) > 1 else None
    given = target if isinstance(target, tuple) and len(target) == len(node.shape) else None
    if _long(ids) > max(1, _long(x.ids)):
        return x.merged().with_ids(node.shape, _tie_blocks(x, ids, given, node, channels))
    literal = [given[k] for k, n in enumerate(ids.shape) if n > 1 and given[k] != -1] if given is not None else []
    if literal:
        if channels.ask(node, ("the same",), x.ids) == BLOCKED:
            return fixed(node, x, channels)
        channels.counts(node, x.ids, int(literal[0]) if len(literal) == 1 else None)
    return x.with_ids(node.shape, ids)


def _repeated_in(x: Flow, shape: tuple[int, ...]) -> frozenset[int]:
    """The repeated axes where a reshape has only added or taken away axes of one entry; else none."""
    before, after = ([k for k, n in enumerate(sizes) if n > 1] for sizes in (x.shape, shape))
    same = [x.shape[k] for k in before] == [shape[k] for k in after]
    return frozenset(new for old, new in zip(before, after) if old in x.repeated) if same else frozenset()


def _long(ids: np.ndarray) -> int:
    return sum(n > 1 for n in ids.shape)


def _tie_blocks(x: Flow, ids: np.ndarray, given: tuple[int, ...] | None, node: Node, channels: Channels) -> np.ndarray:
    """Channels split into blocks (shuffle, heads): what a block loses at one place, all blocks lose there.

    One axis stays free: the one whose length the code leaves open, otherwise the longest, unless a second trace
    shows that it is another. Along the others one channel stands for all. Behind a shuffle a channel may have several
    places in a block. Refused where one has more places than others and the code counts them, or where a block does
    not hold channels only.
    """
    if NONE in ids:
        channels.refuse(x, Blocked.MERGED_AXES, node)
        return none_ids(ids.ndim)
    axes = sorted((k for k, n in enumerate(ids.shape) if n > 1), key=lambda k: (not _open(given, k), -ids.shape[k]))
    free = channels.ask(node, tuple(axes), x.ids)
    if free == BLOCKED:
        channels.refuse(x, Blocked.FIXED_BY_CODE, node)
        return none_ids(ids.ndim)
    first = ids[tuple(slice(None) if k == free else slice(0, 1) for k in range(ids.ndim))]
    if len(set(np.unique(first, return_counts=True)[1])) > 1 and not _open(given, int(free)):
        channels.refuse(x, Blocked.MERGED_AXES, node)
        return none_ids(ids.ndim)
    channels.unite(first, ids, node)
    channels.counts(node, first, None if given is None else int(given[int(free)]))
    return first


def _open(given: tuple[int, ...] | None, axis: int) -> bool:
    return given is not None and given[axis] == -1


@channel_rule("Transpose", "Permute", "TransposeExt", "TransposeView", "TransposeExtView")
def _transpose(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, order = flows[0], flows[1].constant
    if not isinstance(order, tuple) or len(order) != len(x.shape):
        return _swapped_or_unknown(node, flows, channels)
    order = [int(k) % len(order) for k in order]
    moved = x.with_ids(node.shape, x.ids.transpose(order))
    return replace(moved, repeated=frozenset(k for k, old in enumerate(order) if old in x.repeated))


def _swapped_or_unknown(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """TransposeExt swaps two axes."""
    x = flows[0]
    axes = [flow.constant for flow in flows[1:3]]
    if not node.op.startswith("TransposeExt") or not all(isinstance(k, int) for k in axes):
        return unknown(node, flows[:1], channels)
    return x.with_ids(node.shape, x.ids.swapaxes(*axes))


@channel_rule("Tile")
def _tile(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, times = flows[0], flows[1].constant
    if not isinstance(times, tuple):
        return unknown(node, flows[:1], channels)
    ids = x.ids.reshape((1,) * (len(node.shape) - x.ids.ndim) + x.ids.shape)
    times = (1,) * (len(node.shape) - len(times)) + times
    if x.ids.size == 1 and any(n > 1 for n in times):
        return _one_entry(node, x, channels)
    return x.with_ids(node.shape, np.tile(ids, [n if ids.shape[k] > 1 else 1 for k, n in enumerate(times)]))


def _one_entry(node: Node, x: Flow, channels: Channels) -> Flow:
    """What has one entry along some axes, repeated there; the number of repetitions may be that of its partner's."""
    shape = (1,) * (len(node.shape) - len(x.shape)) + x.shape
    repeated = frozenset(k for k, (n, size) in enumerate(zip(shape, node.shape)) if n == 1 < size)
    return replace(channels.plain(node), varying=x.varying, repeated=repeated)


@channel_rule("BroadcastTo", "ExpandAs", "Expand", "BroadcastToView")
def _broadcast(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """A tensor that is one channel as a whole, and is repeated, leaves what it meets apart (see elementwise)."""
    x = flows[0]
    if x.ids.size == 1 and (not x.shape or x.shape != node.shape[len(node.shape) - len(x.shape):]):
        return _one_entry(node, x, channels)
    given = flows[1].constant if len(flows) > 1 and isinstance(flows[1].constant, tuple) else ()
    axes = range(len(given) - x.ids.ndim, len(given))
    if any(n > 1 and given[k] != -1 for k, n in zip(axes, x.ids.shape)) and \
            channels.ask(node, ("the same",), x.ids) == BLOCKED:
        return fixed(node, x, channels)
    return x.with_ids(node.shape, x.ids.reshape((1,) * (len(node.shape) - x.ids.ndim) + x.ids.shape))


@channel_rule("GLU")
def _gated(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """The first half times a sigmoid of the second: both lose the same channels. Inputs: tensor, axis."""
    x, axis = flows[0], int(flows[1].constant) % len(node.shape)
    if x.ids.shape[axis] == 1:
        return x.with_ids(node.shape, x.ids)
    first, second = np.split(x.ids, 2, axis)
    channels.unite(first, second, node)
    return x.merged().with_ids(node.shape, compress(first))


@channel_rule("ChannelShuffle")
def _channel_shuffle(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """The k-th channels of all groups come to lie side by side: what one group loses all lose."""
    x, groups = flows[0], int(node.attrs["group"])
    ids = channels.vector(x, 1, node).reshape(groups, -1)
    channels.unite(ids[:1], ids, node)
    mixed = ids.T.reshape(1, -1, *(1,) * (len(node.shape) - 2))
    return x.merged().with_ids(node.shape, compress(mixed))


@channel_rule("DepthToSpace")
def _depth_to_space(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Block (i, j) of the channels goes to position (i, j) of each cell: the blocks stay alike."""
    x, block = flows[0], int(node.attrs["block_size"])
    ids = channels.vector(x, 1, node).reshape(block * block, -1)
    channels.unite(ids[:1], ids, node)
    return x.merged().with_ids(node.shape, ids[0].reshape(1, -1, 1, 1))


@channel_rule("SpaceToDepth")
def _space_to_depth(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Each channel comes once for each position of a block."""
    x, block = flows[0], int(node.attrs["block_size"])
    ids = channels.vector(x, 1, node)
    return x.with_ids(node.shape, np.tile(ids, block * block).reshape(1, -1, 1, 1))


@channel_rule("MakeTuple", "make_list", "MakeList", weights=True)
def _make_tuple(node: Node, flows: list[Any], channels: Channels) -> tuple[Any, ...]:
    return tuple(flows)


@channel_rule("TupleGetItem", "list_getitem", "ListGetItem", weights=True)
def _tuple_get_item(node: Node, flows: list[Any], channels: Channels) -> Any:
    return flows[0][int(flows[1].constant)]


@channel_rule("OneHot", "OneHotExt")
def _one_hot(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Each class has an entry of its own."""
    channels.refuse(flows[0], Blocked.FIXED_OPERAND, node)
    return channels.plain(node)
