"""Channel rules of what data decides (branches, loops, unknown functions), and of operators with an effect."""

from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import NONE, compress
from mindspore_gs.graph.ir import SHOWN, Node
from mindspore_gs.graph.operators import WRITES
from mindspore_gs.graph.questions import TOGETHER
from mindspore_gs.graph.rules.elementwise import elementwise
from mindspore_gs.graph.rules.registry import channel_rule, refused


@channel_rule("Choice", "Switch")
def _choice(node: Node, flows: list[Any], channels: Channels) -> Any:
    """The result of one branch or of another: what one loses the others lose. The condition is no channel."""
    refused(node, flows[:1], Blocked.CONTROL_FLOW, channels)
    return _either(node, flows[1:], channels)


def _either(node: Node, results: list[Any], channels: Channels) -> Any:
    if all(isinstance(flow, tuple) and len(flow) == len(results[0]) for flow in results):
        return tuple(_either(node, list(parts), channels) for parts in zip(*results))
    if not all(isinstance(flow, Flow) and flow.shape == results[0].shape for flow in results):
        return refused(node, results, Blocked.CONTROL_FLOW, channels)
    first = results[0]
    ids, where = first.ids, first.zeros()
    for flow in results[1:]:
        ids, where = _united(node, ids, where, flow, channels)
    writers = frozenset().union(*(flow.writers for flow in results))
    return Flow(first.shape, compress(ids), writers=writers).with_zeros(where)


def _united(node: Node, ids: np.ndarray, where: np.ndarray, flow: Flow,
            channels: Channels) -> tuple[np.ndarray, np.ndarray]:
    left, right = np.broadcast_arrays(ids, flow.ids)
    both = (left != NONE) & (right != NONE)
    if both.any():
        channels.edges.append((left[both], right[both]))
    for alone in (left[right == NONE], right[left == NONE]):
        channels.block(alone, Blocked.CONTROL_FLOW, node)
    return np.where(left != NONE, left, right), where & flow.zeros()


@channel_rule("Loop", "Call", "Partial", "SwitchLayer")
def _loop(node: Node, flows: list[Any], channels: Channels) -> Any:
    """What changes from one round to the next stays: it was traced as it is in the first round only."""
    return refused(node, flows, Blocked.CONTROL_FLOW, channels)


@channel_rule("Print", "ScalarSummary", "TensorSummary", "ImageSummary", "HistogramSummary")
def _shown(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Printing decides nothing. The tracer prints what a layer computes that nothing else reads: that stays.

    Unless a second trace has shown that it may go together with values of the same shape.
    """
    reading = channels.readings.get(channels.sites.get(node.name, ("", "", 0)))
    if node.attrs.get("instance") == SHOWN and (reading is None or reading.option != TOGETHER):
        refused(node, flows, Blocked.UNSEEN, channels)
    return channels.plain(node)


@channel_rule(*WRITES, weights=True)
def _assign(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """A parameter is written: its entries go with the channels of what is written there."""
    return elementwise(node, flows[:2], channels)[0]
