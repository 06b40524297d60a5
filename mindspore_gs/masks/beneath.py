"""Layers of the user's around one of MindSpore's, as class ConvAct(nn.Conv2d), which calls super().construct(x)."""

from collections.abc import Collection
from typing import Any

from mindspore import nn

from mindspore_gs._cells import hands_itself_on, names_in_methods
from mindspore_gs._mixin import asked_of_parents, library_class, original_class
from mindspore_gs.graph import ChannelGraph
from mindspore_gs.graph.operators import BATCH_NORMS, CONVOLUTIONS, DENSE, TRANSPOSED

_TRANSPOSED = (nn.Conv1dTranspose, nn.Conv2dTranspose, nn.Conv3dTranspose)
_SECOND = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED, nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm,
           nn.GroupNorm)
_READERS = (*CONVOLUTIONS, *TRANSPOSED, *DENSE, *BATCH_NORMS, "GroupNorm")
_MADE_OF = {"weight", "bias", "gamma", "beta"}


def masks_beneath(cell: nn.Cell, graph: ChannelGraph, masked: Collection[tuple[tuple[str, int], str]]) -> bool:
    """Whether the output of MindSpore's layer beneath a class of the user's may be masked in place of its parameters.

    That is so where the class calls the layer's ``construct``, and nothing else reads the parameters, all of which are
    masked. Its channels lie along the second axis, or those of ``nn.Dense`` along the last one.

    Args:
        cell: any cell.
        graph: the channel graph of the network.
        masked: of what is to be masked in it, the (parameter, axis), and the cell's attribute.
    """
    kind: Any = original_class(cell)
    library: Any = library_class(kind)
    if library is kind or library not in (nn.Dense, *_SECOND) or "construct" in vars(cell):
        return False
    code, attributes = names_in_methods(cell), {attribute for _, attribute in masked}
    if asked_of_parents(kind).get("construct") is not library.construct or code & {"getattr", *attributes} \
            or hands_itself_on(cell):
        return False
    made_of = {name for name in _MADE_OF if getattr(cell, name, None) is not None}
    usual = "NHWC" not in (getattr(cell, "data_format", ""), getattr(cell, "format", ""))
    grouped = library in _TRANSPOSED and cell.group != 1
    along = all(axis == graph.outputs.get(name, 0) for (name, axis), _ in masked)
    return attributes == made_of and usual and along and not grouped and \
        _read_by_it_alone(graph, kind, [name for (name, _), _ in masked])


def _read_by_it_alone(graph: ChannelGraph, kind: type, names: Collection[str]) -> bool:
    """Whether all of these parameters are read by the same number of operators, and only layers of this class read."""
    readers = [[node for each in (graph.graph, *graph.others) for node in each.consumers_of(name)] for name in names]
    weights = [found for name, found in zip(names, readers) if name in graph.outputs]
    return len({len(found) for found in readers}) == 1 and \
        all(node.op in _READERS and node.scope.endswith(f"-{kind.__name__}") for found in weights for node in found)
