"""Channel rules of operators that take parts of a tensor: slices, indices, rows of a table, splits."""

from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import along, compress, expand
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.questions import BLOCKED
from mindspore_gs.graph.rules.registry import channel_rule, refused, unknown


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
        return _looked_up(node, str(x.parameter), channels)
    if x.ids.shape[axis] > 1 or x.parameter is not None:
        channels.refuse(x, Blocked.FIXED_BY_CODE, node)
        return channels.plain(node)
    rest = x.ids.reshape(x.ids.shape[:axis] + (1,) * len(places.shape) + x.ids.shape[axis + 1:])
    return x.with_ids(node.shape, rest)


def _looked_up(node: Node, table: str, channels: Channels) -> Flow:
    """Rows of a table (entries, channels), one for each number that was given."""
    channels.outputs[table] = 1
    return Flow(node.shape, channels.parameter_ids(table, 1).reshape((1,) * (len(node.shape) - 1) + (-1,)))


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
