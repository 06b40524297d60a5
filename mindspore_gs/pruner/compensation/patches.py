"""What a layer that mixes channels multiplies its weight with: the rows of its input, at some positions."""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import mint, nn

_LINEAR = (nn.Dense, mint.nn.Linear)


@dataclass(frozen=True)
class Layer:
    """A convolution or dense layer, as far as its patches are concerned.

    Attributes:
        kernel: height and width; (1, 1) for a dense layer.
        stride: rows and columns from one output to the next.
        dilation: rows and columns from one entry of the kernel to the next.
        pad: "same", or rows and columns of zeros at the top, bottom, left and right.
        groups: number of groups.
        dense: whether it is a dense layer, whose channels lie along the last axis.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: Any
    groups: int
    dense: bool

    @classmethod
    def of(cls, cell: nn.Cell) -> "Layer | str":
        """What is known of a cell, or the reason why it cannot be described."""
        if isinstance(cell, _LINEAR):
            if getattr(cell, "activation_flag", False):
                return "it has an activation inside"
            return cls((1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, True)
        if isinstance(cell, nn.Conv2d):
            if getattr(cell, "data_format", "NCHW") != "NCHW":
                return f"its layout is {cell.data_format}"
            pad = {"valid": (0, 0, 0, 0), "same": "same"}.get(cell.pad_mode) or _sides(cell.padding)
            return cls(_two(cell.kernel_size), _two(cell.stride), _two(cell.dilation), pad, int(cell.group), False)
        if hasattr(mint.nn, "Conv2d") and isinstance(cell, mint.nn.Conv2d):
            if getattr(cell, "padding_mode", "zeros") != "zeros" or isinstance(cell.padding, str):
                return f"its padding is {cell.padding!r}"
            rows, columns = _two(cell.padding)
            return cls(_two(cell.kernel_size), _two(cell.stride), _two(cell.dilation), (rows, rows, columns, columns),
                       int(cell.groups), False)
        return f"a {type(cell).__name__} is neither nn.Conv2d nor nn.Dense"

    def rows(self, x: np.ndarray, positions: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
        """The patches of an input at some positions of the output.

        Args:
            x: the input, shape (N, C, H, W), or (N, ..., C) for a dense layer.
            positions: for each sample, indices into the output's positions, shape (N, P).
            size: rows and columns of the output; for a dense layer what is between its first and last axis.

        Returns:
            Shape (N * P, C, kernel height, kernel width).
        """
        samples = np.arange(len(x))[:, None]
        if self.dense:
            flat = x.reshape(len(x), -1, x.shape[-1])[samples, positions]
            return flat.reshape(-1, x.shape[-1], 1, 1)
        top, bottom, left, right = self._sides(x.shape[2:], size)
        padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        rows, columns = np.divmod(positions, size[1])
        rows = rows[..., None] * self.stride[0] + np.arange(self.kernel[0]) * self.dilation[0]
        columns = columns[..., None] * self.stride[1] + np.arange(self.kernel[1]) * self.dilation[1]
        found = padded[samples[..., None, None], :, rows[..., :, None], columns[..., None, :]]  # (N, P, kh, kw, C)
        return np.moveaxis(found, -1, 2).reshape(-1, x.shape[1], *self.kernel)

    def _sides(self, shape: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, int, int, int]:
        if self.pad != "same":
            return self.pad
        total = [max((size[k] - 1) * self.stride[k] + self.dilation[k] * (self.kernel[k] - 1) + 1 - shape[k], 0)
                 for k in (0, 1)]
        return total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2

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


def _two(value: Any) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _sides(value: Any) -> tuple[int, int, int, int]:
    return (int(value),) * 4 if isinstance(value, int) else tuple(int(n) for n in value)  # type: ignore[return-value]
