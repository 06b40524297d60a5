"""Turn a network into its knockoff network, its masked network, and back. In place; nothing here chooses channels."""

from collections.abc import Mapping
from dataclasses import dataclass

from mindspore import nn, ops

from mindspore_gs._cells import copy_network, forget_compilation, get_cell, keeping_names, replace_cell
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import ChannelGraph
from mindspore_gs.pruner.scop.cells import KfConv2d, MaskedConv2dbn

_RECORD = "_gs_record"


@dataclass(frozen=True)
class Record:
    """What must be known of the original network later on.

    Attributes:
        graph: its channel graph.
        residual: ``"keep"`` or ``"couple"``.
        ignore: patterns of the cells that stay whole.
        trainable: names of the parameters that were trainable.
    """

    graph: ChannelGraph
    residual: str
    ignore: tuple[str, ...]
    trainable: frozenset[str]


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


class _Doubling:
    """Mixed into the class of a knockoff network: appends the knockoffs to the batch in training mode."""

    def construct(self, *inputs):
        """Real samples, then their knockoffs; the outputs of the real samples are returned."""
        if not self.training:
            return super(_Doubling, self).construct(*inputs)
        count = _batch_of(inputs)
        knockoffs = self._knockoffs(inputs, count)
        doubled = ()
        for real, knockoff in zip(inputs, knockoffs):
            doubled = doubled + (_append(real, knockoff, count),)
        return _first_half(super(_Doubling, self).construct(*doubled), count)

    def _knockoffs(self, inputs, count):
        if self.knockoff_generator is not None:
            made = self.knockoff_generator(*inputs)
            return made if isinstance(made, tuple) else (made,)
        order = ops.argsort(ops.standard_normal((count,)))
        permuted = ()
        for value in inputs:
            permuted = permuted + (_permute(value, order, count),)
        return permuted


def _batch_of(inputs):
    return inputs[0].shape[0]


def _is_batch(value, count):
    return isinstance(value, ops.Tensor) and value.ndim > 0 and value.shape[0] == count


def _permute(value, order, count):
    if _is_batch(value, count):
        return ops.gather(value, order, 0)
    return value


def _append(real, knockoff, count):
    if _is_batch(real, count):
        return ops.concat((real, ops.stop_gradient(knockoff)), 0)
    return real


def _first_half(output, count):
    if isinstance(output, (tuple, list)):
        parts = ()
        for item in output:
            parts = parts + (_first_half(item, count),)
        return parts
    if _is_batch(output, 2 * count):
        return output[:count]
    return output


def to_knockoff(net: nn.Cell, record: Record, pairs: Mapping[str, str], generator: nn.Cell | None) -> nn.Cell:
    """Put a KfConv2d in place of each pair of Conv2d and BatchNorm (by path); only the scales stay trainable."""
    cells = {path: KfConv2d(get_cell(net, path), get_cell(net, norm), path, norm) for path, norm in pairs.items()}
    with keeping_names(net):
        for path, cell in cells.items():
            replace_cell(net, path, cell)
            replace_cell(net, cell.bn_path, nn.SequentialCell())
        net.knockoff_generator = generator
    for path, cell in cells.items():
        cell.kfscale.name = f"{path}.kfscale"
    for parameter in net.get_parameters():
        parameter.requires_grad = parameter.name.endswith(".kfscale")
    setattr(net, _RECORD, record)
    net.__class__ = type(f"Knockoff{type(net).__name__}", (_Doubling, type(net)), {"__module__": __name__})
    forget_compilation(net)
    return net


def to_masked(net: nn.Cell) -> nn.Cell:
    """Put a MaskedConv2dbn in place of each KfConv2d; what was trainable is trainable again."""
    record = record_of(net)
    if issubclass(type(net), _Doubling):
        del net.knockoff_generator
        net.__class__ = type(net).__mro__[2]
    found = [(path, MaskedConv2dbn(cell)) for path, cell in net.cells_and_names() if isinstance(cell, KfConv2d)]
    with keeping_names(net):
        for path, cell in found:
            replace_cell(net, path, cell)
    for path, cell in found:
        cell.out_index.name = f"{path}.out_index"
    for parameter in net.get_parameters():
        parameter.requires_grad = parameter.name in record.trainable
    forget_compilation(net)
    return net


def masked_cells(net: nn.Cell) -> dict[str, MaskedConv2dbn]:
    """The masked cells of a network by path."""
    return {path: cell for path, cell in net.cells_and_names() if isinstance(cell, MaskedConv2dbn)}


def without_masks(net: nn.Cell) -> nn.Cell:
    """A copy of a masked network in its original form: plain cells, full width, no masks."""
    plain = copy_network(net)
    with keeping_names(plain):
        for path, cell in masked_cells(plain).items():
            replace_cell(plain, path, cell.conv)
            replace_cell(plain, cell.bn_path, cell.bn)
    delattr(plain, _RECORD)
    return plain
