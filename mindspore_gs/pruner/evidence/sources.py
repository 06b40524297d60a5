"""Where the channels of a group can be seen while a network runs: what a cell returns, and what a cell is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mindspore import mint, nn

from mindspore_gs._cells import owners_by_name
from mindspore_gs.graph import ChannelGraph, Group, Role, Slice


def _classes(module: object, *names: str) -> tuple[type, ...]:
    """Those of the classes that this version of MindSpore has."""
    return tuple(getattr(module, name) for name in names if hasattr(module, name))


_CONVOLUTIONS = (*_classes(nn, "Conv1d", "Conv2d", "Conv3d", "Conv1dTranspose", "Conv2dTranspose", "Conv3dTranspose"),
                 *_classes(mint.nn, "Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d"))
_LINEAR = (*_classes(nn, "Dense"), *_classes(mint.nn, "Linear"))


@dataclass(frozen=True, eq=False)
class Source:
    """A place where channels are seen.

    Attributes:
        part: the slice of the weight that makes the channels there, or reads them.
        length: of the weight along the axis of the slice.
        path: path of the cell.
        output: whether its output is meant, and not its first argument.
        last: whether the channels lie along the last axis, and not along axis 1.
    """

    part: Slice
    length: int
    path: str
    output: bool
    last: bool

    def values(self, x: np.ndarray) -> np.ndarray | None:
        """The channels of the group in a value that was seen.

        Args:
            x: the value, shape (N, C, ...), or (N, ..., C) with ``last``.

        Returns:
            Shape (N, channels of the group, copies, ...): a channel has several copies where a layer reads it at
            several places of its weight, as a dense layer does behind a flattened feature map, and where a
            convolution in groups has one in each group. None where the value has another number of channels.
        """
        if x.ndim < 2:
            return None
        x = np.moveaxis(x, -1, 1) if self.last else x
        copies, rest = divmod(x.shape[1], self.length)
        if rest or not copies:
            return None
        places = self.part.indices[:, :, None] + self.length * np.arange(copies)
        found: np.ndarray = x[:, places.reshape(len(places), -1)]
        return found


def readers(net: nn.Cell, graph: ChannelGraph, group: Group) -> list[Source]:
    """What the convolutions and dense layers of MindSpore's that read the channels are given."""
    owned = owners_by_name(net)
    found = []
    for part in group.slices:
        if part.role is not Role.INPUT:
            continue
        length = graph.graph.parameters[part.parameter][part.axis]
        for path, cell, attribute in owned.get(part.parameter, []):
            if attribute == "weight" and isinstance(cell, (*_CONVOLUTIONS, *_LINEAR)):
                found.append(Source(part, length, path, False, isinstance(cell, _LINEAR) or _channels_last(cell)))
    return found


def makers(net: nn.Cell, graph: ChannelGraph, group: Group) -> list[Source]:
    """What the layers that make the channels return, with their BatchNorms: where the masks sit."""
    owned = owners_by_name(net)
    found = []
    for part in group.slices:
        path = graph.places.get(part.parameter)
        if part.role is Role.FILTER and path is not None:
            last = part.parameter in graph.dense or _channels_last(owned[part.parameter][0][1])
            found.append(Source(part, graph.graph.parameters[part.parameter][part.axis], path, True, last))
    return found


def map_sources(net: nn.Cell, graph: ChannelGraph, group: Group) -> Sequence[Source]:
    """Where feature maps are seen: at the convolutions that read them, else at the layers that make them.

    Behind a convolution its map is seen with the activation and the pooling that follow. Where no convolution reads
    the channels, as in front of a classifier, it is seen without them, because there pooling has left no map. Last
    comes what dense layers are given.
    """
    reading = readers(net, graph, group)
    maps = [source for source in reading if graph.graph.parameters[source.part.parameter][2:]]
    return maps or makers(net, graph, group) or reading


def mixing_sources(net: nn.Cell, graph: ChannelGraph, group: Group) -> Sequence[Source]:
    """Where it is seen what channels have in common: at the layers that read them, else at those that make them."""
    return readers(net, graph, group) or makers(net, graph, group)


def _channels_last(cell: nn.Cell) -> bool:
    return getattr(cell, "data_format", getattr(cell, "format", "NCHW")) in ("NHWC", "NDHWC")
