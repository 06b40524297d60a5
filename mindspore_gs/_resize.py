"""Parameters of another size, and MindSpore's cells that agree with them: one function for each kind of cell."""

import copy
from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import mint, nn, ops

_RESIZERS: dict[type, Callable] = {}


def _resizes(*kinds: type) -> Callable:
    def register(function: Callable) -> Callable:
        _RESIZERS.update(dict.fromkeys(kinds, function))
        return function

    return register


def with_values(parameter: ms.Parameter, values: np.ndarray) -> ms.Parameter:
    """A new parameter of the same name, type and kind, made with the shape of these values.

    It is made anew because MindSpore remembers the shape that a parameter was made with. PyNative mode goes on with it
    where the network has run, and a gradient of zeros, as that of a layer which nothing reads, has it; no optimizer
    takes such a gradient.
    """
    resized = copy.deepcopy(parameter)
    resized.set_data(ms.Tensor(values, parameter.dtype), slice_shape=True)
    return copy.deepcopy(resized)


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
    _own_cell(cell, groups)


def _mint(*names: str) -> tuple[type, ...]:
    """Those of the cells of ``mindspore.mint.nn`` that this version of MindSpore has."""
    return tuple(getattr(mint.nn, name) for name in names if hasattr(mint.nn, name))


_TRANSPOSED = ops.Conv2DTranspose.__base__  # Conv1dTranspose holds this one, which has no page of its own any more
_CONVOLUTIONS = (ops.Conv2D, ops.Conv3D, _TRANSPOSED, ops.Conv3DTranspose)


def _own_cell(cell: nn.Cell, groups: int | None) -> None:
    """A cell of the user's own: its convolutions follow the weight with their kernel, if there is one such weight."""
    weights = [p for p in cell.get_parameters(expand=False) if p.ndim > 2]
    for name, primitive in list(vars(cell).items()):
        if isinstance(primitive, _CONVOLUTIONS):
            given = primitive.init_attrs
            kernel = tuple(int(n) for n in np.atleast_1d(given["kernel_size"]))
            shapes = {p.shape[:2] for p in weights if p.shape[2:] == (kernel * (p.ndim - 2))[:p.ndim - 2]}
            if len(shapes) == 1:
                changes = _sizes(given, shapes.pop(), primitive, groups)
                setattr(cell, name, type(primitive)(**{**given, **changes}))


def _sizes(given: dict[str, Any], shape: tuple[int, ...], primitive: Any, groups: int | None) -> dict[str, int]:
    """The numbers of channels of a convolution whose weight begins with ``shape``."""
    changes = {"out_channel": shape[0]}
    number = given.get("group", 1) if groups is None else groups
    if isinstance(primitive, ops.Conv3DTranspose):
        changes = {"in_channel": shape[0], "out_channel": shape[1] * number}
    if groups is not None and "group" in given:
        changes["group"] = groups
    return changes


@_resizes(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def _convolution(cell: Any, groups: int | None) -> None:
    cell.group = cell.group if groups is None else groups
    cell.out_channels = cell.weight.shape[0]
    cell.in_channels = cell.weight.shape[1] * cell.group
    _rebuild(cell, (ops.Conv2D, ops.Conv3D), cell.out_channels)


@_resizes(nn.Conv1dTranspose, nn.Conv2dTranspose)
def _transposed_convolution(cell: Any, groups: int | None) -> None:
    cell.group = cell.group if groups is None else groups
    cell.in_channels, cell.out_channels = cell.weight.shape[0], cell.weight.shape[1] * cell.group
    _rebuild(cell, _TRANSPOSED, cell.in_channels)


def _rebuild(cell: Any, kinds: Any, channels: int) -> None:
    """Make a cell's primitives again with the new number of channels."""
    for name, primitive in list(vars(cell).items()):
        if isinstance(primitive, kinds):
            arguments = {**primitive.init_attrs, "out_channel": channels}
            groups = {"group": cell.group} if "group" in arguments else {}
            setattr(cell, name, type(primitive)(**(arguments | groups)))


@_resizes(nn.Conv3dTranspose)
def _transposed_3d(cell: Any, groups: int | None) -> None:
    cell.group = cell.group if groups is None else groups
    cell.in_channels, cell.out_channels = cell.weight.shape[0], cell.weight.shape[1] * cell.group
    for name, primitive in list(vars(cell).items()):
        if isinstance(primitive, ops.Conv3DTranspose):
            sizes = {"in_channel": cell.in_channels, "out_channel": cell.out_channels, "group": cell.group}
            setattr(cell, name, type(primitive)(**{**primitive.init_attrs, **sizes}))


@_resizes(nn.GroupNorm, *_mint("GroupNorm"))
def _group_norm(cell: Any, groups: int | None) -> None:
    """Groups keep their width, so that there are fewer of them."""
    width = cell.num_channels // cell.num_groups
    cell.num_channels = (cell.gamma if isinstance(cell, nn.GroupNorm) else cell.weight).shape[0]
    cell.num_groups = cell.num_channels // width


@_resizes(*_mint("Conv1d", "Conv2d", "Conv3d"))
def _mint_convolution(cell: Any, groups: int | None) -> None:
    cell.groups = cell.groups if groups is None else groups
    cell.out_channels, cell.in_channels = cell.weight.shape[0], cell.weight.shape[1] * cell.groups


@_resizes(*_mint("ConvTranspose2d"))
def _mint_transposed_convolution(cell: Any, groups: int | None) -> None:
    cell.groups = cell.groups if groups is None else groups
    cell.in_channels, cell.out_channels = cell.weight.shape[0], cell.weight.shape[1] * cell.groups


@_resizes(*_mint("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"))
def _mint_batch_norm(cell: Any, groups: int | None) -> None:
    vector = next(p for p in (cell.weight, cell.running_mean) if p is not None)
    cell.num_features = vector.shape[0]


@_resizes(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
def _batch_norm(cell: nn.Cell, groups: int | None) -> None:
    cell.num_features = cell.gamma.shape[0]


@_resizes(nn.LayerNorm)
def _layer_norm(cell: Any, groups: int | None) -> None:
    cell.normalized_shape = tuple(cell.gamma.shape)


@_resizes(nn.Embedding)
def _embedding(cell: nn.Embedding, groups: int | None) -> None:
    cell.embedding_size = cell.embedding_table.shape[1]


@_resizes(nn.Dense)
def _dense(cell: nn.Dense, groups: int | None) -> None:
    cell.out_channels, cell.in_channels = cell.weight.shape
