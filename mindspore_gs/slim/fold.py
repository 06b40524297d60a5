"""Fold BatchNorm into the convolution in front of it, for a network that is only run."""

from numbers import Real
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindspore_gs._cells import copy_network, get_cell, keeping_names, replace_everywhere
from mindspore_gs._resize import resize_cell
from mindspore_gs.graph.tracing import trace_deployed
from mindspore_gs.norms import BatchNorm, batch_norm
from mindspore_gs.slim.cells import RestoreChannels

GATHER_MACS = 0.0  # MACs that take as long as putting one number back into place, by docs/performance.md


def fold_batch_norm(net: nn.Cell, *inputs: Any, gather_macs: float | None = None) -> nn.Cell:
    r"""A copy of ``net`` in which each BatchNorm that directly follows a convolution is part of it.

    In evaluation mode :math:`\gamma (w x + c - \mu) / \sigma + \beta` with :math:`\sigma = \sqrt{v + \epsilon}` is
    a convolution with the weight :math:`w \gamma / \sigma` and the bias :math:`(c - \mu) \gamma / \sigma + \beta`.
    That is one operator less for each layer. Where a :class:`~mindspore_gs.slim.RestoreChannels` follows, the
    convolution makes the channel of zeros as well, with a filter of zeros, and what is left of the cell is one Gather.
    Where that Gather takes longer than the MACs of a filter of zeros for each removed channel, the convolution gets
    all of these, and nothing is left of the cell. The copy is for evaluation mode; trained on, it would be another
    network.

    Args:
        net: the network, which stays as it is.
        inputs: as for :func:`~mindspore_gs.graph.trace`.
        gather_macs: MACs that take as long as one number in a Gather. With 0, every Gather stays; the larger, the more
            of them become filters of zeros. Default: ``GATHER_MACS`` of this module.

    Returns:
        A new network. A BatchNorm that was folded is an empty ``nn.SequentialCell``. Those behind other operators, of
        other classes, in other types than float32, or on batch statistics stay.

    Raises:
        TypeError: ``net`` is not a Cell, or ``gather_macs`` no number.
        ValueError: ``gather_macs`` is negative or infinite.
        TraceError: the network cannot be traced.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs.slim import fold_batch_norm
        >>> net = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        >>> [p.name for p in fold_batch_norm(net, (1, 3, 16, 16)).get_parameters()]
        ['0.weight', '0.bias']
    """
    if gather_macs is not None and (isinstance(gather_macs, bool) or not isinstance(gather_macs, Real)):
        raise TypeError(f"for fold_batch_norm(), 'gather_macs' must be a number or None, but got {gather_macs!r}.")
    if gather_macs is not None and not 0 <= gather_macs < float("inf"):
        raise ValueError(f"for fold_batch_norm(), 'gather_macs' must be at least 0 and finite, but got {gather_macs}.")
    worth = GATHER_MACS if gather_macs is None else gather_macs
    if not isinstance(net, nn.Cell):
        raise TypeError(f"fold_batch_norm() takes a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    pairs = trace_deployed(net, *inputs).pairs.values()
    folded = copy_network(net)
    replaced: dict[nn.Cell, nn.Cell] = {}
    with keeping_names(folded):
        for path, norm_path in pairs:
            convolution, norm = get_cell(folded, path), batch_norm(get_cell(folded, norm_path))
            if norm is not None and _can_be_folded(convolution, norm):
                _fold(convolution, norm)
                convolution.bias.name = f"{path}.bias" if path else "bias"
                replaced[norm.cell] = nn.SequentialCell()
                replaced |= _restored(folded, convolution, norm_path, worth)
        replace_everywhere(folded, replaced)
    return folded


def _can_be_folded(convolution: nn.Conv2d, norm: BatchNorm) -> bool:
    if not norm.plain or norm.always_on_the_batch or convolution.data_format != "NCHW":
        return False
    parameters = (convolution.weight, norm.gamma, norm.beta, norm.mean, norm.variance)
    return all(p is None or p.dtype == ms.float32 for p in parameters)


def _restored(net: nn.Cell, convolution: nn.Conv2d, norm_path: str, worth: float) -> dict[nn.Cell, nn.Cell]:
    """What takes the place of the RestoreChannels that slim() puts behind a BatchNorm, where there is one."""
    place, _, _ = norm_path.rpartition(".")
    parent = get_cell(net, place)
    behind = parent[1] if isinstance(parent, nn.SequentialCell) and len(parent) == 2 else None
    if not isinstance(behind, RestoreChannels) or behind.axis != 1 or convolution.group != 1:
        return {}
    each = int(np.prod(convolution.weight.shape[1:]))  # MACs of one number that the convolution makes
    wide = (behind.size - convolution.weight.shape[0]) * each <= worth * behind.size
    for parameter in (convolution.weight, convolution.bias):
        values = parameter.asnumpy()
        values = np.concatenate([values, np.zeros_like(values[:1])])
        values = values[behind.source.asnumpy()] if wide else values
        parameter.set_data(ms.Tensor(values), slice_shape=True)
    resize_cell(convolution)
    return {behind: nn.SequentialCell() if wide else _GatherChannels(behind)}


class _GatherChannels(nn.Cell):
    """RestoreChannels for an input whose last channel is zero."""

    def __init__(self, restore: RestoreChannels):
        super().__init__()
        self.source = restore.source

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """(N, K + 1, H, W) -> (N, size, H, W)."""
        return ops.gather(x, self.source, 1)


def _fold(convolution: nn.Conv2d, norm: BatchNorm) -> None:
    factor, shift = norm.affine()
    before = convolution.bias.asnumpy() if convolution.has_bias else 0.0
    weight = convolution.weight.asnumpy() * factor.reshape(-1, 1, 1, 1)
    convolution.weight.set_data(ms.Tensor(weight.astype(np.float32)))
    convolution.has_bias = True
    convolution.bias = ms.Parameter(ms.Tensor((before * factor + shift).astype(np.float32)))
