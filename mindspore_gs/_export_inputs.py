"""What a network is exported with: tensors of fixed shapes, or with an open batch."""

from dataclasses import dataclass, replace
from typing import Any

import mindspore as ms
import numpy as np

from mindspore_gs._cells import as_inputs
from mindspore_gs.slim.check import random_inputs

_BATCHES = (1, 3)  # with these, a file with an open batch is tried


@dataclass(frozen=True)
class Entry:
    """One input.

    Attributes:
        shape: its sizes; None in front for an open batch.
        dtype: MindSpore's type.
        values: what the user gave, where these are data and not one float everywhere.
    """

    shape: tuple[int | None, ...]
    dtype: Any
    values: np.ndarray | None = None

    def at(self, batch: int, opened: bool) -> ms.Tensor:
        """The tensor: the user's data, repeated or cut to the batch, or random numbers."""
        shape = tuple(batch if n is None or (opened and axis == 0) else n for axis, n in enumerate(self.shape))
        if self.values is None:
            return random_inputs(((shape, str(self.dtype)),))[0]
        if shape == self.values.shape:
            return ms.Tensor(self.values)
        return ms.Tensor(np.take(self.values, np.arange(shape[0]) % len(self.values), axis=0))


@dataclass(frozen=True)
class ExportInputs:
    """What a network is exported with.

    Attributes:
        entries: the inputs.
        open_batch: whether the user leaves the batch open.
    """

    entries: tuple[Entry, ...]
    open_batch: bool

    @property
    def exported(self) -> tuple[ms.Tensor, ...]:
        """What ``mindspore.export`` gets."""
        return tuple(ms.Tensor(shape=list(entry.shape), dtype=entry.dtype) if None in entry.shape
                     else entry.at(_BATCHES[0], False) for entry in self.entries)

    @property
    def probes(self) -> tuple[tuple[ms.Tensor, ...], ...]:
        """What network and file are compared on: the user's data, or random numbers, so that it is more than zeros;
        two sets with different batches where the batch is open."""
        return tuple(self.with_batch(batch) for batch in (_BATCHES if self.open_batch else _BATCHES[:1]))

    def with_batch(self, batch: int) -> tuple[ms.Tensor, ...]:
        """Tensors in which the sizes that are left open are ``batch``."""
        return tuple(entry.at(batch, False) for entry in self.entries)

    @property
    def batch(self) -> int | None:
        """The first size of the first input that is no single number; None where it is left open, or there is none."""
        return next((entry.shape[0] for entry in self.entries if entry.shape), None)

    def opened(self) -> "ExportInputs | None":
        """The same with an open batch: that of all inputs whose first size is the first input's. None where there is
        none."""
        if self.open_batch:
            return self
        if not self.batch:
            return None
        return ExportInputs(tuple(replace(entry, shape=(None, *entry.shape[1:]))
                                  if entry.shape[:1] == (self.batch,) else entry for entry in self.entries), True)

    @classmethod
    def of(cls, inputs: Any) -> "ExportInputs":
        """From a tensor, an array, a shape, or a list of them.

        Raises:
            TypeError: one of them is neither a shape nor numbers.
            ValueError: a size is not positive, or another size than the first is left open.
        """
        several = isinstance(inputs, (list, tuple)) and not _is_shape(inputs)
        entries = tuple(_entry(value) for value in (inputs if several else (inputs,)))
        return cls(entries, any(None in entry.shape for entry in entries))


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(
        n is None or (isinstance(n, int) and not isinstance(n, bool)) for n in value)


def _entry(value: Any) -> Entry:
    values = None
    if _is_shape(value) and value:
        shape, dtype = tuple(value), ms.float32
    else:
        tensor = value if isinstance(value, ms.Tensor) else as_inputs((value,))[0]
        shape, dtype = tuple(tensor.shape), tensor.dtype
        values = _data(tensor)
    return Entry(_opened(shape), dtype, values)


def _data(tensor: ms.Tensor) -> np.ndarray | None:
    """The numbers of a tensor, unless it has none, or only one that fills it, which stands for a shape.

    Integers and truth values are data in any case, lengths for example: random ones would be zeros.
    """
    if -1 in tensor.shape or tensor.size == 0 or tensor.dtype == ms.bfloat16:
        return None
    array = tensor.asnumpy()
    if array.dtype.kind in "biu":
        return array
    return None if np.all(array == array.reshape(-1)[0]) or not np.all(np.isfinite(array)) else array


def _opened(shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """The shape with None for an open batch."""
    opened = tuple(None if n == -1 and axis == 0 else n for axis, n in enumerate(shape))
    if any(n is None or n < 0 for n in opened[1:]) or any(n is not None and n < 0 for n in opened[:1]):
        raise ValueError("an input's shape consists of positive sizes, and of None or -1 for an open batch in front, "
                         f"such as (None, 3, 224, 224), but got {shape}.")
    return opened
