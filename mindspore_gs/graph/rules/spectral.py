"""Channel rules of Fourier transforms: each is a sum along its own axes, so channels along another one stay apart."""

from dataclasses import replace
from typing import Any

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.rules.registry import channel_rule, refused


@channel_rule("FFT", "IFFT", "RFFT", "IRFFT", "HFFT", "IHFFT", "FFT2", "IFFT2", "RFFT2", "IRFFT2", "HFFT2", "IHFFT2",
              "FFTN", "IFFTN", "RFFTN", "IRFFTN", "HFFTN", "IHFFTN")
def _transform(node: Node, flows: list[Any], channels: Channels) -> Flow:
    """What comes behind the input is its length, the axes, and the norm."""
    return _along(node, flows[0], flows[2].constant, channels)


@channel_rule("FFTShift", "IFFTShift")
def _shift(node: Node, flows: list[Any], channels: Channels) -> Flow:
    return _along(node, flows[0], flows[1].constant, channels)


@channel_rule("FFTWithSize")
def _transform_of_the_last_axes(node: Node, flows: list[Any], channels: Channels) -> Flow:
    number = flows[1].constant
    return _along(node, flows[0], tuple(range(-number, 0)) if isinstance(number, int) else None, channels)


def _along(node: Node, x: Flow, given: Any, channels: Channels) -> Flow:
    """A transform of what is zero is zero. Without axes it goes over all of them."""
    rank = len(x.shape)
    axes = range(rank) if given is None else [k % rank for k in ((given,) if isinstance(given, int) else given)]
    if any(x.ids.shape[k] > 1 for k in axes):
        result: Flow = refused(node, [x], Blocked.MIXES_CHANNELS, channels)
        return result
    return replace(x.with_ids(node.shape, x.ids), writers=frozenset())
