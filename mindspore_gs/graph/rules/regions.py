"""Channel rules of operators that read a map at places that data name: boxes, indices of pixels."""

from dataclasses import replace
from typing import Any

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.questions import BLOCKED
from mindspore_gs.graph.rules.registry import channel_rule, flatten, refused


@channel_rule("ROIAlign")
def _regions(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Averages of parts of each channel's map: (N, C, H, W) and boxes (R, 5) make (R, C, h, w)."""
    x = flows[0]
    if x.ids.size > x.ids.shape[1]:  # channels along samples or space
        return _fixed(node, flows, channels)
    _fixed(node, flows[1:], channels)
    return x.with_ids(node.shape, x.ids)


@channel_rule("GatherNd")
def _pixels(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """Slices of the axes behind the first k: (*K, *rest) and indices (*places, k) make (*places, *rest)."""
    x, indices = flows[:2]
    depth = int(indices.shape[-1])
    if x.parameter is not None or any(n > 1 for n in x.ids.shape[:depth]):
        return _fixed(node, flows, channels)
    _fixed(node, flows[1:], channels)
    ids = x.ids.reshape((1,) * (len(indices.shape) - 1) + x.ids.shape[depth:])
    return x.with_ids(node.shape, ids)


@channel_rule("ScatterNd")
def _scattered(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """The way back: (*places, k), (*places, *rest) and a shape make (*K, *rest), zero where nothing is put.

    What comes to one place is added up. The shape has the number of channels, which an attribute may hold.
    """
    indices, x = flows[:2]
    places = len(indices.shape) - 1
    if x.parameter is not None or any(n > 1 for n in x.ids.shape[:places]):
        return _fixed(node, flows[:2], channels)
    _fixed(node, flows[:1], channels)
    if x.has_channels and channels.ask(node, ("the same",), x.ids) == BLOCKED:
        channels.refuse(x, Blocked.FIXED_BY_CODE, node)
        return channels.plain(node)
    rest = x.ids.shape[places:]
    return x.with_ids(node.shape, x.ids.reshape((1,) * (len(node.shape) - len(rest)) + rest))


@channel_rule("UnsortedSegmentSum", "UnsortedSegmentMax", "UnsortedSegmentMin", "UnsortedSegmentProd")
def _by_segment(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """What belongs to one segment (the edges of a node of a graph) is put together: (*places, *rest) make (n, *rest).

    Only a sum over nothing is zero.
    """
    x, segments = flows[:2]
    places = len(segments.shape)
    if x.parameter is not None or any(n > 1 for n in x.ids.shape[:places]):
        return _fixed(node, flows[:2], channels)
    _fixed(node, flows[1:2], channels)
    ids = x.ids.reshape((1, *x.ids.shape[places:]))
    return replace(x.with_ids(node.shape, ids), zero=x.zero and node.op == "UnsortedSegmentSum")


def _fixed(node: Node, flows: list[Any], channels: Channels) -> Any:
    return refused(node, flatten(flows), Blocked.FIXED_OPERAND, channels)
