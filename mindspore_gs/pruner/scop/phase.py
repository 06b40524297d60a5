"""The knockoff phase of a network: begin it, read its scales, and end it, which gives the very network back."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import every_cell, forget_compilation, get_cell, keeping_names, replace_everywhere
from mindspore_gs._mixin import mix_in, take_out
from mindspore_gs._precision import Precision, holder, precision_of, restore_precision
from mindspore_gs._recompute import take_all_recompute
from mindspore_gs._versions import remember_trainable
from mindspore_gs.errors import PruningError
from mindspore_gs.pruner.scop.batch import BatchLayout, find_layout
from mindspore_gs.pruner.scop.cells import KfConv2d, Passing
from mindspore_gs.pruner.scop.doubling import KNOCKOFF_ATTRIBUTES, NAMED_TUPLES, Doubling
from mindspore_gs.pruner.scop.statistics import freeze_statistics, thaw_statistics

REUSE = 8  # real samples that share a knockoff; docs/scop.md has what it saves and what it costs
_PHASE = "_gs_phase"


@dataclass(eq=False)
class Phase:
    """What the phase changed in a network. It is stored on the network and copied with it.

    Attributes:
        layers: the competing cells by the path of their convolution.
        holes: the cell that stands where a BatchNorm stood, and that BatchNorm.
        trainable: every parameter with its ``requires_grad``.
        statistics: what :func:`~mindspore_gs.pruner.scop.statistics.freeze_statistics` changed.
        precision: how mixed precision stood before the phase. ``Model(amp_level=...)`` sets it in place, and again
            for the network that comes out, so what it set in the phase is undone.
        recomputed: the cells with ``recompute()``, and its options.
    """

    layers: dict[str, KfConv2d]
    holes: list[tuple[nn.Cell, nn.Cell]]
    trainable: list[tuple[ms.Parameter, bool]]
    statistics: list[Any]
    precision: Precision
    recomputed: list[tuple[nn.Cell, dict[str, Any]]]


def start_phase(net: nn.Cell, pairs: Mapping[str, str | None], generator: nn.Cell | None = None,
                inputs: Sequence[Any] | None = None, batch_axis: int = 0) -> nn.Cell:
    """Let the channels of convolutions compete with their knockoffs, in place.

    Only the scales stay trainable, and every BatchNorm uses its moving statistics, so that the phase changes nothing
    but the scales. No parameter is renamed.

    Args:
        net: the network.
        pairs: path of each convolution, and the path of the BatchNorm right behind it, or None.
        generator: makes the knockoffs from the inputs; None: they are other samples of the batch.
        inputs: what the network was traced with. A few forward passes find out how the samples lie in the outputs and
            in the inputs of the convolutions. None: along the first axis, everywhere.
        batch_axis: the axis of the inputs along which the samples lie. Default: 0.

    Returns:
        The same object.

    Raises:
        PruningError: the phase has begun already, no convolution can compete, or knockoffs cannot be kept apart in
            this network; then nothing has changed. The message says where, and what to do.
    """
    if in_phase(net):
        raise PruningError(f"{type(net).__name__} is in the knockoff phase already; end it first, "
                           "or build a new network.")
    if not pairs:
        raise PruningError(f"no convolution of {type(net).__name__} can get knockoffs: that takes an nn.Conv2d whose "
                           f"weight nothing else reads and whose channels may be removed.{_derived(net)} ChannelPruner "
                           "prunes without a knockoff phase, by any other criterion.")
    reuse = REUSE if generator is None else 1
    found = {path: (get_cell(net, path), None if norm is None else get_cell(net, norm))
             for path, norm in pairs.items()}
    layout = BatchLayout({}, None)
    if inputs is not None:
        layout = find_layout(net, inputs, {path: conv for path, (conv, _) in found.items()}, batch_axis)
    if layout.named and ms.get_context("mode") == ms.GRAPH_MODE:
        raise PruningError(NAMED_TUPLES)
    made_by = () if generator is None else generator.get_parameters()
    phase = Phase(
        layers={path: _competing(KfConv2d(conv, bn, path, pairs[path], reuse, layout.outer.get(path, 1)))
                for path, (conv, bn) in found.items()},
        holes=[(_hole(bn), bn) for _, bn in found.values() if bn is not None],
        trainable=[(p, p.requires_grad) for p in (*net.get_parameters(), *made_by)],
        precision=precision_of(net), statistics=freeze_statistics(net), recomputed=[])
    _name_scales(net, phase.layers)
    replace_everywhere(net, {conv: phase.layers[path] for path, (conv, _) in found.items()}
                       | {bn: hole for hole, bn in phase.holes})
    _freeze([p for p, _ in phase.trainable])
    setattr(net, _PHASE, phase)
    with keeping_names(net if generator is None else generator):
        net.knockoff_generator, net.knockoff_reuse = generator, reuse
    net.knockoff_calls, net.knockoff_named, net.knockoff_eagerly = 0, layout.named, False
    net.knockoff_axis, net.knockoff_cuts, net.knockoff_shapes = batch_axis, layout.outputs, layout.shapes
    mix_in(net, Doubling)
    phase.recomputed = _recompute_in_phase(net, phase.layers.values())
    forget_compilation(net)
    return net


def end_phase(net: nn.Cell) -> nn.Cell:
    """Give the network back as it was before the phase, with the values that its parameters have now.

    What mixed precision has set up in the phase is undone, also by ``amp.auto_mixed_precision``, which returns a cell
    around the network: the network itself is returned.

    Raises:
        PruningError: the network is not in the phase.
    """
    phase, net = phase_of(net), holder(net, _PHASE)
    restore_precision(net, phase.precision)
    take_out(net, Doubling)
    for name in KNOCKOFF_ATTRIBUTES:
        delattr(net, name)
    delattr(net, _PHASE)
    replace_everywhere(net, {layer: layer.conv for layer in phase.layers.values()} | dict(phase.holes))
    thaw_statistics(phase.statistics)
    for parameter, trainable in phase.trainable:
        parameter.requires_grad = trainable
    take_all_recompute(net)
    for cell, options in phase.recomputed:
        cell.recompute(**options)
    forget_compilation(net)
    return net


def in_phase(net: nn.Cell) -> bool:
    """Whether the network is in the knockoff phase."""
    return _PHASE in vars(holder(net, _PHASE))


def phase_of(net: nn.Cell) -> Phase:
    """What :func:`start_phase` remembers about a network.

    Raises:
        PruningError: the network is not in the phase.
    """
    if not in_phase(net):
        raise PruningError(f"{type(net).__name__} is not in the knockoff phase; "
                           "call PrunerKfCompressAlgo(...).apply(network) first.")
    return vars(holder(net, _PHASE))[_PHASE]


def scales(net: nn.Cell) -> dict[str, np.ndarray]:
    """The scales of each competing convolution by its path: shape (C,), within [0, 1].

    Raises:
        PruningError: the network is not in the phase.
    """
    return {path: layer.scale() for path, layer in phase_of(net).layers.items()}


def _derived(net: nn.Cell) -> str:
    """What to say of convolutions whose class is derived from Conv2d: it may compute something else.

    Mixed precision at O1 reads MindSpore's files anew from the second network of a process on, and derives from
    those: such a class shares no more than the name with ``nn.Conv2d``.
    """
    kinds = {type(cell) for cell in every_cell(net)}
    names = sorted({kind.__name__ for kind in kinds if getattr(kind, "construct", None) is not nn.Conv2d.construct
                    and any(base.__name__ == "Conv2d" for base in kind.__mro__)})
    return "" if not names else (
        f" The class {', '.join(names)} has a construct other than nn.Conv2d's, which may compute something else. Give "
        "it nn.Conv2d's, and compute the rest in a cell around it. If the class is not yours, amp_level='O1' of mixed "
        "precision has made it: use 'O2' or 'auto' instead, or switch it on after the pruning.")


def _competing(layer: KfConv2d) -> KfConv2d:
    """The same, in the mode of its convolution."""
    for cell in (layer, *layer.helpers()):
        _like(cell, layer.conv)
    return layer


def _recompute_in_phase(net: nn.Cell, layers: Iterable[KfConv2d]) -> list[tuple[nn.Cell, dict[str, Any]]]:
    """Set ``recompute()`` up for the phase; returns the cells that had it, and its options.

    It expects a backward pass for each call, and there is none for knockoffs: a competing cell is recomputed as a
    whole. And it may not stop early in the middle of a cell that has a backward pass of its own.
    """
    inside = {id(cell): layer for layer in layers for cell in (layer.conv, layer.bn)}
    taken = take_all_recompute(net)
    wanted = {inside.get(id(cell), cell): options for cell, options in taken}
    for cell, options in wanted.items():
        cell.recompute(**options | ({"early_stop": False} if options else {}))
    return taken


def _hole(bn: nn.Cell) -> nn.Cell:
    """A cell that does nothing, for the place of a BatchNorm that a competing cell holds."""
    return _like(Passing(bn), bn)


def _like(cell: nn.Cell, old: nn.Cell) -> nn.Cell:
    """Training mode or not, as the cell that it stands for; cells inside keep their own."""
    cell.add_flags(training=old.training)
    cell._phase = old._phase
    return cell


def _name_scales(net: nn.Cell, layers: Mapping[str, KfConv2d]) -> None:
    """Name each scale after the present name of its convolution's weight; where that is taken, after its path."""
    taken = {p.name for p in net.get_parameters()}
    for path, layer in layers.items():
        prefix = layer.conv.weight.name.rpartition(".")[0]
        names = (f"{key}.kfscale" if key else "kfscale" for key in chain((prefix, path), _numbered(path)))
        layer.kfscale.name = next(name for name in names if name not in taken)
        taken.add(layer.kfscale.name)


def _numbered(path: str) -> Iterator[str]:
    return (f"{path}_{k}" for k in count(1))


def _freeze(parameters: Sequence[ms.Parameter]) -> None:
    remember_trainable(parameters)
    for parameter in parameters:
        parameter.requires_grad = False
