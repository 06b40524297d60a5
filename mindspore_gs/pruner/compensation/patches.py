"""What a layer that mixes channels multiplies its weight with: the rows of its input, at some positions."""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import mint, nn

_LINEAR = (nn.Dense, mint.nn.Linear)
_RANKS = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}


@dataclass(frozen=True)
class Layer:
    """A convolution or dense layer, as far as its patches are concerned.

    Attributes:
        kernel: its sizes along the axes of space; empty for a dense layer.
        stride: steps from one output to the next, along each axis.
        dilation: steps from one entry of the kernel to the next, along each axis.
        pad: "same", or for each axis how many zeros come in front and behind.
        groups: number of groups.
        dense: whether it is a dense layer, whose channels lie along the last axis.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pad: Any
    groups: int
    dense: bool

    @classmethod
    def of(cls, cell: nn.Cell) -> "Layer | str":
        """What is known of a cell, or the reason why it cannot be described."""
        if isinstance(cell, _LINEAR):
            return "it has an activation inside" if getattr(cell, "activation_flag", False) else \
                cls((), (), (), (), 1, True)
        rank = next((rank for kind, rank in _RANKS.items() if isinstance(cell, kind)), 0)
        if rank:
            layout = getattr(cell, "data_format", "NCHW")
            if layout not in ("NCHW", "NCDHW"):
                return f"its layout is {layout}"
            pad = "same" if cell.pad_mode == "same" else _pairs(0 if cell.pad_mode == "valid" else cell.padding, rank)
            return cls(_each(cell.kernel_size, rank), _each(cell.stride, rank), _each(cell.dilation, rank), pad,
                       int(cell.group), False)
        if hasattr(mint.nn, "Conv2d") and isinstance(cell, mint.nn.Conv2d):
            if getattr(cell, "padding_mode", "zeros") != "zeros" or isinstance(cell.padding, str):
                return f"its padding is {cell.padding!r}"
            return cls(_each(cell.kernel_size, 2), _each(cell.stride, 2), _each(cell.dilation, 2),
                       tuple((n, n) for n in _each(cell.padding, 2)), int(cell.groups), False)
        return f"a {type(cell).__name__} is no convolution of mindspore.nn, and no nn.Dense"

    def rows(self, x: np.ndarray, positions: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
        """The patches of an input at some positions of the output.

        Args:
            x: the input, shape (N, C, ...), or (N, ..., C) for a dense layer.
            positions: for each sample, indices into the output's positions, shape (N, P).
            size: sizes of the output along the axes of space; for a dense layer what is between its first and last.

        Returns:
            Shape (N * P, C, sizes of the kernel ...).
        """
        samples, rank = np.arange(len(x))[:, None], len(self.kernel)
        if self.dense:
            return x.reshape(len(x), -1, x.shape[-1])[samples, positions].reshape(-1, x.shape[-1])
        padded = np.pad(x, ((0, 0), (0, 0), *self._sides(x.shape[2:], size)))
        places: list[Any] = [samples.reshape(-1, *[1] * (rank + 1)), slice(None)]
        for axis, first in enumerate(np.unravel_index(positions, size)):
            inside = np.arange(self.kernel[axis]) * self.dilation[axis]
            along = first.reshape(*first.shape, *[1] * rank) * self.stride[axis]
            places.append(along + inside.reshape([-1 if k == axis else 1 for k in range(rank)]))
        found = padded[tuple(places)]  # (N, P, kernel ..., C)
        return np.moveaxis(found, -1, 2).reshape(-1, x.shape[1], *self.kernel)

    def _sides(self, shape: tuple[int, ...], size: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """Zeros in front and behind, along each axis."""
        if self.pad != "same":
            pairs: tuple[tuple[int, int], ...] = self.pad
            return pairs
        total = [max((m - 1) * s + d * (k - 1) + 1 - n, 0)
                 for n, m, s, d, k in zip(shape, size, self.stride, self.dilation, self.kernel)]
        return tuple((n // 2, n - n // 2) for n in total)

    def outputs(self, y: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """An output, or anything of its shape, at these positions: shape (N * P, channels)."""
        flat = y.reshape(len(y), -1, y.shape[-1]) if self.dense else \
            np.moveaxis(y, 1, -1).reshape(len(y), -1, y.shape[1])
        return flat[np.arange(len(y))[:, None], positions].reshape(-1, flat.shape[-1])

    def size(self, y: np.ndarray) -> tuple[int, ...]:
        """The axes along which an output has positions."""
        return y.shape[1:-1] if self.dense else y.shape[2:]


def as_array(value: ms.Tensor) -> np.ndarray:
    """A tensor in float32."""
    return value.float().asnumpy()


def _each(value: Any, rank: int) -> tuple[int, ...]:
    """One number for each axis of space, from a number or a tuple; Conv1d has those of two axes."""
    return (int(value),) * rank if isinstance(value, int) else tuple(int(n) for n in value[-rank:])


def _pairs(value: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """Padding in front and behind, for each axis, from a number or from all of them in a row."""
    numbers = _each(value, 2 * rank)
    return tuple(zip(numbers[0::2], numbers[1::2]))
