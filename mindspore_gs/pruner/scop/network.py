"""Turn a network into its knockoff network, its masked network, and back. In place; nothing here chooses channels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, forget_compilation, get_cell, keeping_names, replace_cell
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import ChannelGraph
from mindspore_gs.pruner.scop.cells import MaskedConv2dbn, MaskedOutput
from mindspore_gs.pruner.scop.folding import unfold_mask
from mindspore_gs.pruner.scop.phase import REUSE, end_phase, phase_of, start_phase

_RECORD = "_gs_record"
__all__ = ["REUSE", "Record", "dense_network", "has_record", "make_record", "masked_cells", "record_of", "to_knockoff",
           "to_masked", "without_masks"]


@dataclass(frozen=True)
class Record:
    """What must be known of the original network later on.

    Attributes:
        graph: its channel graph.
        residual: ``"keep"`` or ``"couple"``.
        ignore: patterns of the cells that stay whole.
    """

    graph: ChannelGraph
    residual: str
    ignore: tuple[str, ...]


def make_record(net: nn.Cell, graph: ChannelGraph, residual: str, ignore: tuple[str, ...]) -> Record:
    """The record of an original network."""
    return Record(graph, residual, ignore)


def record_of(net: nn.Cell) -> Record:
    """The record that :func:`to_knockoff` left on a network.

    Raises:
        PruningError: there is none.
    """
    record = vars(net).get(_RECORD)
    if record is None:
        raise PruningError(f"{type(net).__name__} has no knockoff or masked layers; "
                           "call PrunerKfCompressAlgo(...).apply(network) first.")
    return record


def has_record(net: nn.Cell) -> bool:
    """Whether a network is a knockoff network or a masked one."""
    return _RECORD in vars(net)


def to_knockoff(net: nn.Cell, record: Record, pairs: Mapping[str, str], generator: nn.Cell | None) -> nn.Cell:
    """Put a KfConv2d in place of each pair of Conv2d and BatchNorm (by path), and keep the record."""
    setattr(net, _RECORD, record)
    return start_phase(net, pairs, generator)


def to_masked(net: nn.Cell) -> nn.Cell:
    """Put a MaskedConv2dbn in place of each KfConv2d; what was trainable is trainable again."""
    record = record_of(net)
    layers = phase_of(net).layers
    end_phase(net)
    found = {path: MaskedConv2dbn(layer) for path, layer in layers.items()}
    with keeping_names(net):
        for path, cell in found.items():
            replace_cell(net, path, cell)
            replace_cell(net, str(cell.bn_path), nn.SequentialCell())
    for path, cell in found.items():
        cell.out_index.name = f"{path}.out_index"
    _mask_followers(net, record.graph, record.residual)
    forget_compilation(net)
    return net


def _mask_followers(net: nn.Cell, graph: ChannelGraph, residual: str) -> None:
    """Put a MaskedOutput around each other cell that makes or shifts channels of the masked convolutions."""
    masked = masked_cells(net)
    inside = {*masked, *(cell.bn_path for cell in masked.values())}
    stays: dict[str, np.ndarray] = {}
    for group in graph.groups(residual):
        silencers = graph.silencers(group)
        leader = next(((path, part) for path, part in silencers if path in masked), None)
        if leader is None:
            continue
        votes = masked[leader[0]].stays[leader[1].indices].all(axis=1)
        for path, part in silencers:
            if path not in inside:
                size = graph.graph.parameters[part.parameter][part.axis]
                stays.setdefault(path, np.ones(size, bool))[part.indices[~votes].reshape(-1)] = False
    wrapped = {path: MaskedOutput(get_cell(net, path), mask, path) for path, mask in stays.items()}
    with keeping_names(net):
        for path, cell in wrapped.items():
            replace_cell(net, path, cell)
    for path, cell in wrapped.items():
        cell.mask.name = f"{path}.mask"


def masked_cells(net: nn.Cell) -> dict[str, MaskedConv2dbn]:
    """The masked cells of a network by path."""
    return {path: cell for path, cell in net.cells_and_names() if isinstance(cell, MaskedConv2dbn)}


def without_masks(net: nn.Cell) -> nn.Cell:
    """A copy of a masked network in its original form: plain cells, full width, no masks."""
    plain = copy_network(net)
    followers = [cell for _, cell in plain.cells_and_names() if isinstance(cell, MaskedOutput)]
    with keeping_names(plain):
        for follower in followers:
            replace_cell(plain, follower.path, follower.cell)
        for path, cell in masked_cells(plain).items():
            unfold_mask(cell.bn)
            replace_cell(plain, path, cell.conv)
            replace_cell(plain, str(cell.bn_path), cell.bn)
    delattr(plain, _RECORD)
    return plain


def dense_network(net: nn.Cell) -> nn.Cell:
    """A copy of a knockoff network in its original form, as :func:`without_masks`."""
    return without_masks(to_masked(copy_network(net)))
