"""What is counted of feature maps: moments, zeros, ranks, independence. Plain NumPy.

Each class takes values of shape (N, channels, copies, ...), as :meth:`Source.values` gives them, batch by batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

RANKED = 500  # samples whose maps are ranked at most: what the paper of HRank uses
INDEPENDENT = 128  # samples of which the nuclear norms are computed at most
LARGEST = 1 << 22  # numbers in a stack of matrices


class Moments:
    """Mean and variance of each channel, over samples and positions."""

    def __init__(self, size: int):
        self.count = 0
        self._origin, self._sum, self._squares = np.zeros(size), np.zeros(size), np.zeros(size)

    def add(self, values: np.ndarray, precision: float) -> None:
        """Take a batch in."""
        rows = by_channel(values)
        if not self.count:
            self._origin = rows.mean(axis=1)
        rows = rows - self._origin[:, None]
        self.count += rows.shape[1]
        self._sum += rows.sum(axis=1)
        self._squares += (rows ** 2).sum(axis=1)

    def result(self) -> dict[str, np.ndarray]:
        """``mean`` and ``variance``, shape (channels,)."""
        shift = self._sum / self.count
        return {"mean": self._origin + shift, "variance": np.maximum(self._squares / self.count - shift ** 2, 0.0)}


class Zeros:
    """The share of values that are not above zero: those that a ReLU has set to zero, or would."""

    def __init__(self, size: int):
        self.count = 0
        self._sum = np.zeros(size)

    def add(self, values: np.ndarray, precision: float) -> None:
        """Take a batch in."""
        rows = by_channel(values)
        self.count += rows.shape[1]
        self._sum += (rows <= 0).sum(axis=1)

    def result(self) -> dict[str, np.ndarray]:
        """``zeros``, shape (channels,), from 0 to 1."""
        return {"zeros": self._sum / self.count}


class Rank:
    """The rank of each channel's map as a matrix, averaged over samples, of which the first 500 are used.

    Values below zero count as zero, since a map that no ReLU has cut always has full rank.
    """

    def __init__(self, size: int):
        self.count = 0
        self._sum = np.zeros(size)

    def add(self, values: np.ndarray, precision: float) -> None:
        """Take a batch in; singular values below the precision of the numbers count as zero."""
        values = values[:max(RANKED - self.count, 0)]
        if not values.size:
            return
        self.count += len(values)
        copies = values.shape[2:]
        shape = (copies[0], -1, copies[-1]) if len(copies) > 2 else (1, copies[0], -1)
        matrices = np.maximum(values, 0).reshape(*values.shape[:2], *shape).astype(np.float64)
        sizes = np.linalg.svd(matrices, compute_uv=False)
        least = sizes.max(axis=-1, keepdims=True) * precision * max(matrices.shape[-2:])
        self._sum += (sizes > least).sum(axis=(0, 2, 3))

    def result(self) -> dict[str, np.ndarray]:
        """``rank``, shape (channels,)."""
        return {"rank": self._sum / self.count}


class Independence:
    """The nuclear norm of each sample's maps less that without the channel, over the first 128 samples."""

    def __init__(self, size: int):
        self.count = 0
        self._sum = np.zeros(size)

    def add(self, values: np.ndarray, precision: float) -> None:
        """Take a batch in."""
        for maps in values[:max(INDEPENDENT - self.count, 0)]:
            self.count += 1
            self._sum += added_norm(maps.reshape(len(maps), -1).astype(np.float64))

    def result(self) -> dict[str, np.ndarray]:
        """``independence``, shape (channels,)."""
        return {"independence": self._sum / self.count}


def by_channel(values: np.ndarray) -> np.ndarray:
    """Shape (channels, everything else) in float64."""
    rows: np.ndarray = values.swapaxes(0, 1).reshape(values.shape[1], -1).astype(np.float64)
    return rows


def added_norm(maps: np.ndarray) -> np.ndarray:
    r"""How much of the nuclear norm each row adds: :math:`\|A\|_* - \|A_{-j}\|_*`.

    The singular values of A without row j are the square roots of the eigenvalues of :math:`A_{-j} A_{-j}^T`, or of
    :math:`A^T A - a_j a_j^T`, whichever is smaller.

    Args:
        maps: A, shape (channels, positions).

    Examples:
        >>> added_norm(np.diag([3.0, 4.0])).round(6).tolist()
        [3.0, 4.0]
    """
    size, positions = maps.shape
    wide = positions >= size
    gram = maps @ maps.T if wide else maps.T @ maps
    whole = _root_sum(gram[None])[0]
    rest = np.empty(size)
    step = max(1, LARGEST // max(1, gram.size))
    for first in range(0, size, step):
        rows = np.arange(first, min(first + step, size))
        if wide:
            stack = np.repeat(gram[None], len(rows), axis=0)
            stack[np.arange(len(rows)), rows, :] = stack[np.arange(len(rows)), :, rows] = 0.0
        else:
            stack = gram - maps[rows, :, None] * maps[rows, None, :]
        rest[rows] = _root_sum(stack)
    return np.asarray(np.maximum(whole - rest, 0.0))


def _root_sum(stack: np.ndarray) -> np.ndarray:
    """The sum of the roots of the eigenvalues of each matrix; those that are rounding count as zero."""
    found = np.linalg.eigvalsh(stack)
    least = np.abs(found).max(axis=-1, keepdims=True) * stack.shape[-1] * np.finfo(np.float64).eps
    total: np.ndarray = np.sqrt(np.where(found > least, found, 0.0)).sum(axis=-1)
    return total


MAPS: dict[str, Any] = {"mean": Moments, "variance": Moments, "zeros": Zeros, "rank": Rank,
                        "independence": Independence}
