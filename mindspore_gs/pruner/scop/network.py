"""Turn a network into its knockoff network, its masked network, and back. In place; nothing here chooses channels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from mindspore import nn

from mindspore_gs._cells import NORMS, copy_network, forget_compilation, get_cell, keeping_names, replace_everywhere
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import ChannelGraph
from mindspore_gs.pruner.scop.cells import KfConv2d, MaskedConv2dbn, MaskedOutput
from mindspore_gs.pruner.scop.doubling import Doubling
from mindspore_gs.pruner.scop.folding import unfold_mask

REUSE = 8  # real samples that share a knockoff; docs/scop.md has what it saves and what it costs
_RECORD = "_gs_record"


@dataclass(frozen=True)
class Record:
    """What must be known of the original network later on.

    Attributes:
        graph: its channel graph.
        residual: ``"keep"`` or ``"couple"``.
        ignore: patterns of the cells that stay whole.
        trainable: names of the parameters that were trainable.
        statistics: ``use_batch_statistics`` of each BatchNorm by path; the phase uses the moving statistics.
    """

    graph: ChannelGraph
    residual: str
    ignore: tuple[str, ...]
    trainable: frozenset[str]
    statistics: Mapping[str, bool | None]


def make_record(net: nn.Cell, graph: ChannelGraph, residual: str, ignore: tuple[str, ...]) -> Record:
    """The record of an original network."""
    trainable = frozenset(p.name for p in net.trainable_params())
    statistics = {path: cell.use_batch_statistics for path, cell in net.cells_and_names() if isinstance(cell, NORMS)}
    return Record(graph, residual, ignore, trainable, statistics)


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
    """Put a KfConv2d in place of each pair of Conv2d and BatchNorm (by path).

    Only the scales stay trainable, and every BatchNorm uses its moving statistics, so that the phase changes
    nothing but the scales.
    """
    for path in record.statistics:
        get_cell(net, path).use_batch_statistics = False
    reuse = REUSE if generator is None else 1
    cells = {path: KfConv2d(get_cell(net, path), get_cell(net, norm), path, norm, reuse)
             for path, norm in pairs.items()}
    with keeping_names(net):
        replace_everywhere(net, {get_cell(net, path): cell for path, cell in cells.items()}
                           | {get_cell(net, cell.bn_path): nn.SequentialCell() for cell in cells.values()})
        net.knockoff_generator, net.knockoff_reuse = generator, reuse
    for path, cell in cells.items():
        cell.kfscale.name = f"{path}.kfscale"
    for parameter in net.get_parameters():
        parameter.requires_grad = parameter.name.endswith(".kfscale")
    setattr(net, _RECORD, record)
    net.__class__ = type(f"Knockoff{type(net).__name__}", (Doubling, type(net)), {"__module__": __name__})
    forget_compilation(net)
    return net


def to_masked(net: nn.Cell) -> nn.Cell:
    """Put a MaskedConv2dbn in place of each KfConv2d; what was trainable is trainable again."""
    record = record_of(net)
    if issubclass(type(net), Doubling):
        del net.knockoff_generator, net.knockoff_reuse
        net.__class__ = type(net).__mro__[2]
    found = [(path, MaskedConv2dbn(cell)) for path, cell in net.cells_and_names() if isinstance(cell, KfConv2d)]
    with keeping_names(net):
        replace_everywhere(net, {get_cell(net, path): cell for path, cell in found})
    for path, cell in found:
        cell.out_index.name = f"{path}.out_index"
    moved = {cell.bn_path: cell.bn for _, cell in found}
    for path, setting in record.statistics.items():
        (moved.get(path) or get_cell(net, path)).use_batch_statistics = setting
    for parameter in net.get_parameters():
        parameter.requires_grad = parameter.name in record.trainable
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
        replace_everywhere(net, {get_cell(net, path): cell for path, cell in wrapped.items()})
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
        replaced = {follower: follower.cell for follower in followers}
        for cell in masked_cells(plain).values():
            unfold_mask(cell.bn)
            replaced |= {cell: cell.conv, get_cell(plain, cell.bn_path): cell.bn}
        replace_everywhere(plain, replaced)
    delattr(plain, _RECORD)
    return plain


def dense_network(net: nn.Cell) -> nn.Cell:
    """A copy of a knockoff network in its original form, as :func:`without_masks`."""
    return without_masks(to_masked(copy_network(net)))
