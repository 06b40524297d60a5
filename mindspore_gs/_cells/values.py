"""Values that a network changes while it runs: a gate that it normalises, a counter, a list that it appends to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._mixin import is_mindspores


def remember_values(*nets: nn.Cell, every: bool = False) -> Callable[[], None]:
    """Note down what these networks may change while they run; the function that comes back puts it there again.

    MindSpore's own layers change nothing in evaluation mode, other than a BatchNorm with ``use_batch_statistics=True``,
    so their weights are not copied. Lists, dicts and sets of the user's cells get what they held: Graph mode, which
    runs no Python, would take a tensor that PyNative mode has put into a list for a constant.

    Args:
        nets: the networks.
        every: whether all parameters and buffers are noted down, for training mode.
    """
    kept = [(tensor, tensor.asnumpy().copy() if tensor.dtype != ms.bfloat16 else tensor.copy())
            for net in nets for _, cell in net.cells_and_names() if every or _may_write(cell)
            for tensor in (*cell._params.values(), *cell._buffers.values()) if tensor is not None]
    contents = [(value, value.copy()) for cell in _users(nets) for value in _containers(cell)]

    def back() -> None:
        for value, copy in contents:
            _fill(value, copy)
        for tensor, value in kept:
            if isinstance(value, np.ndarray) and np.array_equal(tensor.asnumpy(), value, equal_nan=_is_floating(value)):
                continue
            tensor.assign_value(ms.Tensor(value, tensor.dtype))

    return back


@contextmanager
def same_values(*nets: nn.Cell) -> Iterator[None]:
    """Whatever these networks write into their parameters and buffers inside is undone afterwards."""
    back = remember_values(*nets)
    try:
        yield
    finally:
        back()


def _users(nets: tuple[nn.Cell, ...]) -> list[nn.Cell]:
    return [cell for net in nets for _, cell in net.cells_and_names() if not is_mindspores(cell)]


def _containers(cell: nn.Cell) -> list[Any]:
    """The lists, dicts and sets that a cell holds, but for MindSpore's own."""
    return [value for name, value in vars(cell).items()
            if type(value) in (list, dict, set) and name not in _mindspores_own() and not name.startswith("_")]


@cache
def _mindspores_own() -> frozenset[str]:
    return frozenset(vars(nn.Cell())) | {"parallel_parameter_name_list", "parameter_layout_dict"}


def _fill(value: Any, copy: Any) -> None:
    """Give a list, dict or set what its copy holds."""
    value.clear()
    (value.extend if isinstance(value, list) else value.update)(copy)


def _may_write(cell: nn.Cell) -> bool:
    return not is_mindspores(cell) or bool(getattr(cell, "use_batch_statistics", False))


def _is_floating(value: np.ndarray) -> bool:
    return np.issubdtype(value.dtype, np.floating)
