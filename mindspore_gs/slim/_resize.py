"""Make MindSpore's cells agree with parameters that have been sliced. One function for each kind of cell."""

from collections.abc import Callable

from mindspore import nn, ops

_RESIZERS: dict[type, Callable] = {}


def _resizes(*kinds: type) -> Callable:
    def register(function: Callable) -> Callable:
        _RESIZERS.update(dict.fromkeys(kinds, function))
        return function

    return register


def resize_cell(cell: nn.Cell, groups: int | None = None) -> None:
    """Set the sizes that ``cell`` stores besides its parameters.

    Args:
        cell: a cell whose parameters have been sliced.
        groups: the new number of groups, for a depthwise convolution.
    """
    for kind in type(cell).__mro__:
        if kind in _RESIZERS:
            _RESIZERS[kind](cell, groups)
            return


@_resizes(nn.Conv2d)
def _conv2d(cell: nn.Conv2d, groups: int | None) -> None:
    cell.group = cell.group if groups is None else groups
    cell.out_channels = cell.weight.shape[0]
    cell.in_channels = cell.weight.shape[1] * cell.group
    for name, primitive in list(vars(cell).items()):
        if isinstance(primitive, ops.Conv2D):
            arguments = {**primitive.init_attrs, "out_channel": cell.out_channels, "group": cell.group}
            setattr(cell, name, type(primitive)(**arguments))


@_resizes(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
def _batch_norm(cell: nn.Cell, groups: int | None) -> None:
    cell.num_features = cell.gamma.shape[0]


@_resizes(nn.Dense)
def _dense(cell: nn.Dense, groups: int | None) -> None:
    cell.out_channels, cell.in_channels = cell.weight.shape
