"""Channel rules of operators that put tensors together or write into one: concatenation, stacks, padding."""

from dataclasses import replace
from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import NONE, compress, expand, none_ids
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.questions import BLOCKED, Option
from mindspore_gs.graph.rules.registry import channel_rule, fixed, flatten, unknown


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
        return fixed(node, x, channels)
    if channels.ask(node, ("in all channels",), x.ids) == BLOCKED:
        return fixed(node, x, channels)
    zero = flows[2].constant is not None and not np.any(flows[2].constant)
    return replace(x, zero=x.zero and zero, parameter=None)


def _in_all_channels(places: np.ndarray, axis: int, size: int) -> bool:
    """Whether the places (one in each row) are the same in each of the channels, of which there are ``size``."""
    rows = np.unique(places.reshape(-1, places.shape[-1]), axis=0)
    if rows.shape[1] <= axis:
        return False
    others = np.unique(np.delete(rows, axis, axis=1), axis=0)
    return len(rows) == len(others) * size
