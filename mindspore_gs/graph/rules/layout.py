"""Channel rules of operators that move positions around: the same operator in NumPy, on the ids."""

from dataclasses import replace
from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import NONE, along, compress, expand, none_ids
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.questions import BLOCKED, Option
from mindspore_gs.graph.rules.registry import channel_rule, flatten, refused, unknown


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
            return _fixed(node, x, channels)
        channels.counts(node, x.ids, int(literal[0]) if len(literal) == 1 else None)
    return x.with_ids(node.shape, ids)


def _repeated_in(x: Flow, shape: tuple[int, ...]) -> frozenset[int]:
    """The repeated axes where a reshape has only added or taken away axes of one entry; else none."""
    before, after = ([k for k, n in enumerate(sizes) if n > 1] for sizes in (x.shape, shape))
    same = [x.shape[k] for k in before] == [shape[k] for k in after]
    return frozenset(new for old, new in zip(before, after) if old in x.repeated) if same else frozenset()


def _fixed(node: Node, x: Flow, channels: Channels) -> Flow:
    """The code says how many channels there are."""
    channels.refuse(x, Blocked.FIXED_BY_CODE, node)
    return channels.plain(node)


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


@channel_rule("StridedSlice")
def _strided_slice(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Masks: begin, end, ellipsis, new axis, shrink axis, one bit for each axis."""
    x, begin, end, step = flows[0], *(flow.constant for flow in flows[1:4])
    masks = [int(flow.constant or 0) for flow in flows[4:9]] + [0] * (9 - len(flows))
    if any(masks[2:4]) or None in (begin, end, step):
        return unknown(node, flows[:1], channels)
    index: list[slice | int] = []
    for k in range(len(begin)):
        if masks[4] >> k & 1:
            index.append(int(begin[k]))
            continue
        first = None if masks[0] >> k & 1 else begin[k]
        last = None if masks[1] >> k & 1 else end[k]
        index.append(slice(first, last, step[k]))
    return _indexed(node, x, tuple(index), channels)


@channel_rule("Slice")
def _slice(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x, begin, size = flows[0], flows[1].constant, flows[2].constant
    if begin is None or size is None:
        return unknown(node, flows[:1], channels)
    return _indexed(node, x, tuple(slice(b, None if n < 0 else b + n) for b, n in zip(begin, size)), channels)


@channel_rule("SliceExt", "SliceExtView", "Narrow", "NarrowView")
def _slice_along(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Inputs: tensor, axis, start, end (Narrow: length), step; a view has an empty one behind them."""
    x, numbers = flows[0], [flow.constant for flow in flows[1:] if flow.constant is not None]
    if len(numbers) < 3 or not all(isinstance(n, int) for n in numbers):
        return unknown(node, flows[:1], channels)
    axis, start, end = numbers[0] % len(x.shape), numbers[1], numbers[2]
    end = start + end if node.op.startswith("Narrow") else end
    index = tuple(slice(start, end, *numbers[3:]) if k == axis else slice(None) for k in range(len(x.shape)))
    return _indexed(node, x, index, channels)


@channel_rule("SelectExt", "SelectExtView")
def _select_at(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """One position along an axis, without that axis. Inputs: tensor, axis, position."""
    x, axis, place = flows[0], flows[1].constant, flows[2].constant
    if not isinstance(axis, int) or not isinstance(place, int):
        return unknown(node, flows[:1], channels)
    everything: tuple[slice | int, ...] = (slice(None),) * (axis % len(x.shape))
    return _indexed(node, x, (*everything, place), channels)


def _indexed(node: Node, x: Flow, index: tuple[slice | int, ...], channels: Channels) -> Flow:
    """Take a part. It follows its channels if its bounds do; of equal parts (halves), all lose the same channels."""
    cut = [k for k, part in enumerate(index) if x.ids.shape[k] > 1 and not _whole(part, x.shape[k])]
    taken = _taken(node, x, cut[0], index[cut[0]], channels) if len(cut) == 1 else None
    if cut and taken is None:
        channels.refuse(x, Blocked.FIXED_BY_CODE, node)
    x = taken or x
    ids = compress(expand(x.ids, x.shape)[index])
    if cut and x.has_channels and _is_asked(node, channels):
        channels.counts(node, ids)
    return x.with_ids(node.shape, ids)


def _is_asked(node: Node, channels: Channels) -> bool:
    return channels.sites.get(node.name, (node.scope, node.op, 0)) in channels.questions


def _taken(node: Node, x: Flow, axis: int, part: slice | int, channels: Channels) -> Flow | None:
    """What a part is taken from, if it follows the channels; then parts that are equally long are tied together."""
    ids = along(x.ids, axis, x.shape[axis])
    if not isinstance(part, slice) or ids is None:
        return None
    first, last, step = part.indices(len(ids))
    length = last - first
    if step != 1 or length < 2:
        return None
    equal = len(ids) % length == 0 and first % length == 0
    if channels.ask(node, ("one of equal parts" if equal else "a part",), ids) == BLOCKED:
        return None
    if not equal:
        return x
    blocks = ids.reshape(-1, length)
    channels.unite(blocks[:1], blocks, node)
    return x.merged()


def _whole(part: slice | int, size: int) -> bool:
    return isinstance(part, slice) and part.indices(size) == (0, size, 1)


@channel_rule("Gather", "IndexSelect", "GatherV2", weights=True)
def _gather(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Chosen positions along one axis; where channels lie along it, their numbers are in the network's code.

    Rows of a matrix that the network's input chooses, as embeddings are, have the columns as channels.
    """
    x, places, axis = flows[0], flows[1], flows[2].constant
    if node.op == "IndexSelect":
        places, axis = flows[2], flows[1].constant
    if not isinstance(axis, int) or (len(flows) > 3 and flows[3].constant) or places.has_channels:
        return unknown(node, flows[:2], channels)
    axis %= len(x.shape)
    if (channels.current or channels.graph).weight_of(node) is not None:
        return looked_up(node, str(x.parameter), channels)
    if x.ids.shape[axis] > 1 or x.parameter is not None:
        channels.refuse(x, Blocked.FIXED_BY_CODE, node)
        return channels.plain(node)
    rest = x.ids.reshape(x.ids.shape[:axis] + (1,) * len(places.shape) + x.ids.shape[axis + 1:])
    return x.with_ids(node.shape, rest)


def looked_up(node: Node, table: str, channels: Channels) -> Flow:
    """Rows of a table (entries, channels), one for each number that was given."""
    channels.outputs[table] = 1
    return Flow(node.shape, channels.parameter_ids(table, 1).reshape((1,) * (len(node.shape) - 1) + (-1,)))


@channel_rule("Concat")
def _concat(node: Node, flows: list[Any], channels: Channels) -> Flow:
    parts = flows[0] if isinstance(flows[0], tuple) else tuple(flows[:-1])
    axis = int(flows[-1].constant if isinstance(flows[-1], Flow) and flows[-1].constant is not None
               else node.attrs.get("axis", 0))
    if parts and all(isinstance(part.constant, np.ndarray) for part in parts):
        literal = np.concatenate([part.constant for part in parts], axis=axis)
        return Flow(node.shape, none_ids(len(node.shape)), constant=literal, varying=False)
    known = _with_pliable_parts(node, parts, axis % len(node.shape), channels)
    if known is None:
        return _fixed_parts(node, flows, channels)
    parts = known
    if _go_together(parts, axis % len(node.shape)):
        return _side_by_side(node, parts, channels)
    ids = compress(np.concatenate([expand(part.ids, part.shape) for part in parts], axis=axis))
    alive = np.unique(np.concatenate([part.ids[~part.zeros()] for part in parts]))
    writers = frozenset().union(*(part.writers for part in parts))
    varying = any(part.varying for part in parts)
    return Flow(node.shape, ids, zero=True, alive=alive, writers=writers, varying=varying)


def _go_together(parts: tuple[Flow, ...], axis: int) -> bool:
    """Whether all parts have channels at every position of the same other axis, so of as many."""
    layouts = {part.ids.shape for part in parts}
    layout = layouts.pop()
    return not layouts and layout[axis] == 1 and max(layout) > 1 and all((part.ids != NONE).all() for part in parts)


def _side_by_side(node: Node, parts: tuple[Flow, ...], channels: Channels) -> Flow:
    """Parts along another axis than the one of their channels (branches, places) lose the same ones, as in a Stack.

    So the first one stands for all, and its channel is zero where all are.
    """
    for part in parts[1:]:
        channels.unite(parts[0].ids, part.ids, node)
    where = np.logical_and.reduce([part.zeros() for part in parts])
    writers = frozenset().union(*(part.writers for part in parts))
    varying = any(part.varying for part in parts)
    return Flow(node.shape, parts[0].ids, writers=writers, varying=varying).with_zeros(where)


def _fixed_parts(node: Node, flows: list[Any], channels: Channels) -> Flow:
    for flow in flatten(flows):
        channels.refuse(flow, Blocked.FIXED_BY_CODE, node)
    return channels.plain(node)


def _with_pliable_parts(node: Node, parts: tuple[Flow, ...], axis: int,
                        channels: Channels) -> tuple[Flow, ...] | None:
    """The parts, where a literal of equal entries (zeros) goes with a part of the same shape, or with none.

    ``zeros_like`` leaves the same literal in MindIR as a number in the code, and ``expand_as`` the same shape. None
    where neither is right. Along another axis than the channels', such a literal has no channels of its own.
    """
    wide = [k for k, part in enumerate(parts) if part.has_channels]
    parts = tuple(replace(part, pliable=True) if axis in part.repeated else part for part in parts)
    if not any(part.pliable for part in parts) or not wide:
        return parts
    alike = [k for k in wide for part in parts if part.pliable and part.shape == parts[k].shape]
    across = [k for k in wide if parts[k].ids.shape[axis] == 1]
    options: tuple[Option, ...] = (*dict.fromkeys(alike + across), "apart")
    taken = channels.ask(node, options, np.concatenate([parts[k].ids.reshape(-1) for k in wide]))
    if taken == BLOCKED:
        return None
    if taken == "apart":
        return parts
    model = parts[int(taken)]
    return tuple(_as_part(part, model) if part.pliable and _goes_with(part, model, axis) else part for part in parts)


def _goes_with(part: Flow, model: Flow, axis: int) -> bool:
    """Whether a literal may have the channels of another part: the same shape, but for the axis of the Concat."""
    same = [a == b for k, (a, b) in enumerate(zip(part.shape, model.shape)) if k != axis]
    return all(same) and (model.ids.shape[axis] == 1 or part.shape == model.shape)


def _as_part(part: Flow, model: Flow) -> Flow:
    zero = part.constant is not None and not np.any(part.constant)
    return replace(part, ids=model.ids, zero=zero, varying=True, constant=None)


@channel_rule("Stack", "StackExt")
def _stack(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Parts side by side along a new axis go together, so the first one stands for all."""
    parts = flows[0] if isinstance(flows[0], tuple) else tuple(flow for flow in flows if flow.constant is None)
    given = flows[-1].constant if isinstance(flows[-1], Flow) and isinstance(flows[-1].constant, int) else None
    axis = int(node.attrs.get("axis", 0) if given is None else given) % len(node.shape)
    for part in parts[1:]:
        channels.unite(parts[0].ids, part.ids, node)
    zero = all(part.merged().zero and part.varying for part in parts)
    return Flow(node.shape, np.expand_dims(parts[0].ids, axis), zero=zero, varying=any(p.varying for p in parts))


@channel_rule("Unstack", "UnstackExt", "UnstackExtView")
def _unstack(node: Node, flows: list[Any], channels: Channels) -> tuple[Flow, ...]:
    """One part for each position along an axis, without that axis."""
    x = flows[0]
    given = next((flow.constant for flow in flows[1:] if flow.constant is not None), node.attrs.get("axis", 0))
    axis = int(given) % len(x.shape)
    everything: list[slice | int] = [slice(None)] * len(x.shape)
    inner = [Node(node.name, node.op, node.inputs, node.attrs, shape, node.scope) for shape in node.shape]
    return tuple(_indexed(part, x, tuple(everything[:axis] + [k] + everything[axis + 1:]), channels)
                 for k, part in enumerate(inner))


@channel_rule("Split", "Chunk", "ChunkView", "SplitTensor", "SplitTensorView", "SplitWithSize", "SplitWithSizeView")
def _split(node: Node, flows: list[Any], channels: Channels) -> tuple[Flow, ...]:
    """Parts along an axis. Where the code says how many there are, what one part loses all parts lose."""
    x = flows[0]
    axis = flows[1].constant if node.op == "Split" and len(flows) > 2 else node.attrs.get("axis", 0)
    axis = int(axis if node.op == "Split" else flows[2].constant) % len(x.shape)
    if x.ids.shape[axis] == 1:
        return tuple(x.with_ids(shape, x.ids) for shape in node.shape)
    asked = not _counts_parts(node, flows)
    if len(set(node.shape)) > 1 or (asked and channels.ask(node, ("equal parts",), x.ids) == BLOCKED):
        parts: tuple[Flow, ...] = refused(node, [x], Blocked.FIXED_BY_CODE, channels)
        return parts
    x = x.merged()
    pieces = np.split(x.ids, len(node.shape), axis)
    for piece in pieces[1:]:
        channels.unite(pieces[0], piece, node)
    if asked:
        channels.counts(node, pieces[0])
    return tuple(x.with_ids(shape, compress(piece)) for shape, piece in zip(node.shape, pieces))


def _counts_parts(node: Node, flows: list[Any]) -> bool:
    """Whether the code gives a number of equal parts, rather than their length.

    ``ops.Split`` as a cell's attribute does, which MindIR shows as the name of the instance; so does mint's chunk.
    ``ops.chunk`` and ``ops.split`` leave the same MindIR, so there a second trace has to tell.
    """
    if len(set(node.shape)) > 1:
        return False
    if node.op == "Split":
        return bool(node.attrs.get("instance"))
    return node.op in ("Chunk", "ChunkView") and flows[1].constant == len(node.shape)


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
        return _fixed(node, x, channels)
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


@channel_rule("PadV3", "Pad")
def _pad(node: Node, flows: list[Any], channels: Channels) -> Flow:
    x = flows[0]
    if _repeats_the_border(node) and all(a == b for a, b, n in zip(x.shape, node.shape, x.ids.shape) if n > 1):
        return x.with_ids(node.shape, x.ids)
    amounts = _pad_amounts(node, flows, len(x.shape))
    if amounts is None:
        return unknown(node, flows[:1], channels)
    ids = _padded(x, amounts)
    fill = flows[2].constant if len(flows) > 2 else 0
    return replace(x.with_ids(node.shape, ids), zero=x.zero and fill is not None and not np.any(fill))


def _repeats_the_border(node: Node) -> bool:
    """Whether the border is made of what is inside (reflect, edge, circular), so that zero stays zero."""
    return node.op == "PadV3" and node.attrs.get("mode", "constant") != "constant"


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


@channel_rule("MakeTuple", "make_list", "MakeList", weights=True)
def _make_tuple(node: Node, flows: list[Any], channels: Channels) -> tuple[Any, ...]:
    return tuple(flows)


@channel_rule("TupleGetItem", "list_getitem", "ListGetItem", weights=True)
def _tuple_get_item(node: Node, flows: list[Any], channels: Channels) -> Any:
    return flows[0][int(flows[1].constant)]


@channel_rule("TensorScatterUpdate")
def _scatter(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Some positions get other values. Fine where that happens to all channels alike."""
    x, places = flows[0], flows[1].constant
    long = [k for k, n in enumerate(x.ids.shape) if n > 1]
    if not x.has_channels and not flows[2].has_channels:
        return channels.plain(node)
    if len(long) != 1 or flows[2].has_channels or not isinstance(places, np.ndarray) or \
            not _in_all_channels(places, long[0], x.shape[long[0]]):
        channels.refuse(flows[2], Blocked.FIXED_BY_CODE, node)
        return _fixed(node, x, channels)
    if channels.ask(node, ("in all channels",), x.ids) == BLOCKED:
        return _fixed(node, x, channels)
    zero = flows[2].constant is not None and not np.any(flows[2].constant)
    return replace(x, zero=x.zero and zero, parameter=None)


def _in_all_channels(places: np.ndarray, axis: int, size: int) -> bool:
    """Whether the places (one in each row) are the same in each of the channels, of which there are ``size``."""
    rows = np.unique(places.reshape(-1, places.shape[-1]), axis=0)
    if rows.shape[1] <= axis:
        return False
    others = np.unique(np.delete(rows, axis, axis=1), axis=0)
    return len(rows) == len(others) * size


@channel_rule("OneHot", "OneHotExt")
def _one_hot(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Each class has an entry of its own."""
    channels.refuse(flows[0], Blocked.FIXED_OPERAND, node)
    return channels.plain(node)
