"""What a network is exported with: tensors of fixed shapes, or with an open batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mindspore as ms

from mindspore_gs._cells import as_inputs
from mindspore_gs.slim.check import random_inputs

_BATCHES = (1, 3)  # with these, a file with an open batch is tried


@dataclass(frozen=True)
class ExportInputs:
    """What a network is exported with.

    Attributes:
        exported: what ``mindspore.export`` gets.
        probes: random tensors of these shapes, so that the comparison sees more than zeros; two sets with different
            batches where the batch is open.
    """

    exported: tuple[ms.Tensor, ...]
    probes: tuple[tuple[ms.Tensor, ...], ...]

    @property
    def open_batch(self) -> bool:
        """Whether the file takes any batch."""
        return len(self.probes) > 1

    @classmethod
    def of(cls, inputs: Any) -> "ExportInputs":
        """From a tensor, an array, a shape, or a list of them.

        Raises:
            ValueError: a size is not positive, or another size than the first is left open.
        """
        several = isinstance(inputs, Sequence) and not _is_shape(inputs)
        shapes = [_shape_and_type(value) for value in (inputs if several else (inputs,))]
        batches = _BATCHES if any(shape and shape[0] is None for shape, _ in shapes) else (1,)
        probes = tuple(random_inputs(tuple((_with_batch(shape, batch), str(dtype)) for shape, dtype in shapes))
                       for batch in batches)
        if len(batches) == 1:
            return cls(probes[0], probes)
        exported = tuple(ms.Tensor(shape=list(shape), dtype=dtype) if None in shape else probe
                         for (shape, dtype), probe in zip(shapes, probes[0]))
        return cls(exported, probes)


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(
        n is None or (isinstance(n, int) and not isinstance(n, bool)) for n in value)


def _shape_and_type(value: Any) -> tuple[tuple[int | None, ...], Any]:
    """Shape and type of an input; an open batch is None."""
    if _is_shape(value) and value:
        shape, dtype = tuple(value), ms.float32
    else:
        tensor = value if isinstance(value, ms.Tensor) else as_inputs((value,))[0]
        shape, dtype = tuple(tensor.shape), tensor.dtype
    opened = tuple(None if n == -1 and axis == 0 else n for axis, n in enumerate(shape))
    if any(n is None or n < 0 for n in opened[1:]) or any(n is not None and n < 0 for n in opened[:1]):
        raise ValueError("an input's shape consists of positive sizes, and of None or -1 for an open batch in front, "
                         f"such as (None, 3, 224, 224), but got {shape}.")
    return opened, dtype


def _with_batch(shape: tuple[int | None, ...], batch: int) -> tuple[int, ...]:
    return tuple(batch if n is None else n for n in shape)
