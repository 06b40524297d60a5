"""Values that a network changes while it runs: a gate that it normalises, a counter, a moving average of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._mixin import original_class


def remember_values(*nets: nn.Cell, every: bool = False) -> Callable[[], None]:
    """Note down what these networks may change while they run; the function that comes back puts it there again.

    MindSpore's own layers change nothing in evaluation mode, other than a BatchNorm with ``use_batch_statistics=True``,
    so their weights are not copied.

    Args:
        nets: the networks.
        every: whether all parameters and buffers are noted down, for training mode.
    """
    kept = [(tensor, tensor.asnumpy().copy() if tensor.dtype != ms.bfloat16 else tensor.copy())
            for net in nets for _, cell in net.cells_and_names() if every or _may_write(cell)
            for tensor in (*cell._params.values(), *cell._buffers.values()) if tensor is not None]

    def back() -> None:
        for tensor, value in kept:
            if isinstance(value, np.ndarray) and np.array_equal(tensor.asnumpy(), value, equal_nan=_has_nan(value)):
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


def _may_write(cell: nn.Cell) -> bool:
    return not original_class(cell).__module__.startswith("mindspore.") or bool(
        getattr(cell, "use_batch_statistics", False))


def _has_nan(value: np.ndarray) -> bool:
    return np.issubdtype(value.dtype, np.floating)
