"""What one layer is given in the pruned network, and what is missing at its output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import parameters_by_name
from mindspore_gs._precision import cell_inside
from mindspore_gs.norms import batch_norm
from mindspore_gs.pruner.compensation.consumers import Consumer
from mindspore_gs.pruner.compensation.passes import Batch, Place, look
from mindspore_gs.pruner.compensation.ridge import Rows
from mindspore_gs.pruner.compensation.targets import Target, end_of

NOT_REACHED = "evaluation does not reach it as a cell that is called with a tensor"
HELD_OUT = 8  # every eighth sample is not fitted but tells whether the fit is better
TOLERANCE = 1e-3  # between a layer's output and its patches times its weight, relative


@dataclass(eq=False)
class Fit:
    """Rows of one layer, for each group of the convolution: what it is given, and what is missing at its output.

    Attributes:
        fitted: those to solve with.
        held_out: those that judge.
        targets: number, sum and sum of squares of the targets, per output.
    """

    fitted: list[Rows]
    held_out: list[Rows]
    targets: list[np.ndarray] = field(default_factory=list)

    def count_targets(self, target: np.ndarray) -> None:
        """Take in targets, shape (rows, outputs)."""
        new = [np.array(float(len(target))), target.sum(0), (target ** 2).sum(0)]
        self.targets = [old + n for old, n in zip(self.targets, new)] if self.targets else new

    @property
    def variance(self) -> np.ndarray:
        """Of the targets, per output: what errors are compared with."""
        number, total, squares = self.targets
        return np.maximum(squares / number - (total / number) ** 2, 0.0)


def factor_behind(net: nn.Cell, consumer: Consumer) -> np.ndarray:
    """What the BatchNorm behind a layer multiplies each of its channels with; 1 where there is none."""
    norm = batch_norm(cell_inside(net, consumer.norm)) if consumer.norm else None
    return np.ones(len(consumer.outputs)) if norm is None else norm.affine()[0]


def weight_of(net: nn.Cell, consumer: Consumer) -> np.ndarray:
    """A layer's weight without mask, shape (outputs, inputs of a group, sizes of the kernel ...)."""
    values = parameters_by_name(net)[consumer.weight].float().asnumpy()
    return values.reshape(*values.shape[:2], *consumer.layer.kernel)


class Gathering:
    """Gathers for one layer.

    Args:
        work: the masked network, repaired up to this layer.
        target: what the layer should compute.
        factor: what the BatchNorm behind the layer multiplies each of its channels with.
    """

    def __init__(self, work: nn.Cell, target: Target, factor: np.ndarray):
        self.work, self.target, self.factor = work, target, factor
        self.consumer, self.stream = target.consumer, target.stream

    def all(self, batches: Iterable[Batch], samples: int) -> Fit | str:
        """The rows of all batches, or the reason why there are none.

        Args:
            batches: inputs of the networks.
            samples: how many samples they have together.
        """
        columns = self.consumer.columns
        sizes = [int(part.sum()) for part in np.split(self.consumer.outputs, self.consumer.layer.groups)]
        fit = Fit([Rows(columns, size) for size in sizes], [Rows(columns, size) for size in sizes])
        number = count()
        for k, batch in enumerate(batches):
            problem = self._take(k, batch, fit, number, samples)
            if problem:
                return problem
        return fit

    def _take(self, k: int, batch: Batch, fit: Fit, number: Iterator[int], samples: int) -> str:
        """The rows of one batch. Returns why there are none, or nothing."""
        positions, layer = self.target.positions[k], self.consumer.layer
        given, made = Place(self.consumer.name), Place(self.consumer.name, output=True)
        places = [given, made] if self.stream is None else [given, made, end_of(self.consumer), self.stream]
        here: dict[Place, np.ndarray] = {}

        def take(place: Place, values: np.ndarray) -> None:
            here[place] = layer.rows(values, positions, self.target.sizes[k]) if place == given else \
                layer.outputs(values, positions)

        look(self.work, batch, places, take)
        if not here.keys() >= set(places):
            return NOT_REACHED
        x, output, target = here[given], here[made].astype(np.float64), self.target.made[k].astype(np.float64)
        if not self._is_product(x, output):
            return "its output is not its weight times the channels that stay"
        if self.stream is not None:
            target += self._drift(k, here[self.stream] - here[end_of(self.consumer)])
        held = self._held_out(positions.shape, number, samples)
        fit.count_targets(target[:, self.consumer.outputs])
        for rows, where in ((fit.fitted, ~held), (fit.held_out, held)):
            self._add(rows, x[where], (target - output)[where])
        return ""

    def _drift(self, k: int, carried: np.ndarray) -> np.ndarray:
        """What the shortcut has lost in a batch, in units of the layer's output, shape (rows, outputs).

        Channels that the BatchNorm behind multiplies with almost nothing cannot make up for it.

        Args:
            k: number of the batch.
            carried: what the shortcut carries in the pruned network.
        """
        lost = self.target.streams[k] - self.target.ends[k] - carried
        size = np.abs(self.factor)
        return lost * np.divide(1.0, self.factor, out=np.zeros_like(self.factor), where=size > 1e-3 * size.max())

    def _add(self, rows: Sequence[Rows], x: np.ndarray, missing: np.ndarray) -> None:
        consumer, groups = self.consumer, self.consumer.layer.groups
        if not len(x):
            return
        whose = np.split(np.arange(len(consumer.outputs)), groups)
        for k, part in enumerate(np.split(x, groups, axis=1)):
            own = whose[k][consumer.outputs[whose[k]]]
            rows[k].add(part[:, consumer.inputs].reshape(len(x), -1), missing[:, own])

    @staticmethod
    def _held_out(shape: tuple[int, ...], number: Iterator[int], samples: int) -> np.ndarray:
        """Which rows only judge: all of every eighth sample, or every eighth position where there are few samples."""
        index = np.array([next(number) for _ in range(shape[0])])[:, None] + np.zeros(shape[1], dtype=int)
        if samples < HELD_OUT:
            index = np.broadcast_to(np.arange(shape[1]), shape)
        return (index % HELD_OUT == HELD_OUT - 1).reshape(-1)

    def _is_product(self, x: np.ndarray, output: np.ndarray) -> bool:
        """Whether the layer computes its weight times the patches of the channels that stay, and nothing else."""
        consumer, groups = self.consumer, self.consumer.layer.groups
        weights = np.split(weight_of(self.work, consumer)[:, consumer.inputs], groups)
        parts = [part[:, consumer.inputs].reshape(len(x), -1) for part in np.split(x, groups, axis=1)]
        expected = np.concatenate([part @ w.reshape(len(w), -1).T for part, w in zip(parts, weights)], axis=1)
        cell = cell_inside(self.work, consumer.name)
        bias = getattr(cell, "bias", None)
        if isinstance(bias, ms.Tensor):
            expected = expected + bias.float().asnumpy()
        expected, output = expected[:, consumer.outputs], output[:, consumer.outputs]
        half = parameters_by_name(self.work)[consumer.weight].dtype != ms.float32
        allowed = (20 if half else 1) * TOLERANCE * max(1e-6, float(np.abs(output).max(initial=0.0)))
        return float(np.abs(expected - output).max(initial=0.0)) <= allowed
