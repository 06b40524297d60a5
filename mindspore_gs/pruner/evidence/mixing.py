"""What channels have in common: Gram matrices of what layers read, and of what each channel adds to them."""

from __future__ import annotations

import numpy as np
from mindspore import mint, nn

from mindspore_gs._mixin import original_class
from mindspore_gs.pruner.compensation.patches import Layer
from mindspore_gs.pruner.compensation.targets import POSITIONS, ROWS
from mindspore_gs.pruner.evidence.sources import Source

FILTERS = 8  # outputs of a layer at which contributions are looked at, drawn anew for each batch
_PLAIN = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Dense,
          *(getattr(mint.nn, name) for name in ("Conv2d", "Linear") if hasattr(mint.nn, name)))


class Gram:
    r"""Products of the channels at the same positions: :math:`E[x x^T]`, and the same less the means.

    Of each sample 24 positions are drawn, and more where a batch has few samples.

    Args:
        size: number of channels.
        generator: draws the positions.
    """

    def __init__(self, size: int, generator: np.random.Generator):
        self.count, self._generator = 0, generator
        self._origin, self._sum, self._products = np.zeros(size), np.zeros(size), np.zeros((size, size))

    def add(self, values: np.ndarray, precision: float) -> None:
        """Take a batch in, shape (N, channels, copies, ...)."""
        rows = np.moveaxis(values.reshape(*values.shape[:2], -1), 1, 2)
        positions = draw(self._generator, len(rows), rows.shape[1], rows.shape[2])
        flat = rows[np.arange(len(rows))[:, None], positions].reshape(-1, rows.shape[2]).astype(np.float64)
        if not self.count:
            self._origin = flat.mean(axis=0)
        flat -= self._origin
        self.count += len(flat)
        self._sum += flat.sum(axis=0)
        self._products += flat.T @ flat

    def result(self) -> dict[str, np.ndarray]:
        """``gram`` and ``covariance``, shape (channels, channels)."""
        shift = self._sum / self.count
        covariance = self._products / self.count - np.outer(shift, shift)
        mean = self._origin + shift
        return {"gram": covariance + np.outer(mean, mean), "covariance": covariance}


class Contributions:
    r"""What each channel adds to the outputs of a layer, and the products of that: :math:`\sum_o E[y_o y_o^T]`.

    At one position, channel c adds :math:`y_{oc} = \sum_k W_{ock} x_{ck}` to output o, where k goes over the entries of
    the kernel. Positions are drawn as for :class:`Gram`, and at most 8 outputs (more where there are few positions),
    which stand for all of them.

    Args:
        source: where the layer reads the channels.
        layer: how it takes its input.
        weight: its weight.
        generator: draws positions and outputs.
    """

    def __init__(self, source: Source, layer: Layer, weight: np.ndarray, generator: np.random.Generator):
        self.count, self._generator, self._layer, self._indices = 0, generator, layer, source.part.indices
        self._weight = weight.reshape(*weight.shape[:2], *layer.kernel)
        self._sum = np.zeros((len(self._indices), len(self._indices)))

    @classmethod
    def of(cls, source: Source, cell: nn.Cell, generator: np.random.Generator) -> Contributions | None:
        """For a plain convolution or dense layer; None for others."""
        layer = Layer.of(cell) if original_class(cell) in _PLAIN and source.part.axis == 1 else ""
        if isinstance(layer, str):
            return None
        return cls(source, layer, cell.weight.float().asnumpy().astype(np.float64), generator)

    def add(self, given: np.ndarray, made: np.ndarray) -> None:
        """Take a batch in: what the layer is given, and what it returns."""
        size, inputs = self._layer.size(made), self._weight.shape[1]
        available = int(np.prod(size, dtype=np.int64))
        positions = draw(self._generator, len(given), available, len(self._indices))
        rows = self._layer.rows(given, positions, size)
        outputs = len(self._weight)
        wanted = min(outputs, max(FILTERS, -(-ROWS * len(self._indices) // len(rows))))
        per_group = outputs // self._layer.groups
        for output in np.sort(self._generator.choice(outputs, wanted, replace=False)):
            first = output // per_group * inputs
            added = (rows[:, first:first + inputs] * self._weight[output]).reshape(len(rows), inputs, -1).sum(axis=2)
            added = added[:, self._indices].sum(axis=2)
            self._sum += added.T @ added * (outputs / wanted)
        self.count += len(rows)

    def result(self) -> dict[str, np.ndarray]:
        """``contributions``, shape (channels, channels)."""
        return {"contributions": self._sum / self.count}


def draw(generator: np.random.Generator, samples: int, available: int, channels: int) -> np.ndarray:
    """Different positions for each sample: 24, more where there are few samples for so many channels, or all.

    >>> draw(np.random.default_rng(0), 2, 4, 3).tolist()
    [[0, 1, 2, 3], [0, 1, 2, 3]]
    """
    wanted = max(POSITIONS, -(-ROWS * channels // samples))
    if wanted >= available:
        return np.tile(np.arange(available), (samples, 1))
    return np.sort(np.argsort(generator.random((samples, available)), axis=1)[:, :wanted], axis=1)
