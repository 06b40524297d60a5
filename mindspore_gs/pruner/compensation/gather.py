"""What one layer is given and what it should compute, gathered from both networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

POSITIONS = 24  # of each sample's feature map
ROWS = 4  # wanted for each column, from more positions where there are few samples
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
    """A layer's weight without mask, shape (outputs, inputs of a group, kernel height, kernel width)."""
    values = parameters_by_name(net)[consumer.weight].float().asnumpy()
    return values.reshape(*values.shape[:2], *consumer.layer.kernel)


class Gathering:
    """Gathers for one layer.

    Args:
        dense: the network in its original form.
        work: the masked one, repaired up to this layer.
        consumer: the layer.
        stream: where the residual stream is seen behind it, if its output is added to one.
        generator: draws positions.
    """

    def __init__(self, dense: nn.Cell, work: nn.Cell, consumer: Consumer, stream: Place | None,
                 generator: np.random.Generator):
        self.dense, self.work, self.consumer, self.stream, self.generator = dense, work, consumer, stream, generator
        self.factor = factor_behind(dense, consumer)
        self.columns = int(consumer.inputs.sum()) * int(np.prod(consumer.layer.kernel))

    def all(self, batches: Sequence[Batch], samples: int) -> Fit | str:
        """The rows of all batches, or the reason why there are none.

        Args:
            batches: inputs of the networks.
            samples: how many samples they have together.
        """
        sizes = [int(part.sum()) for part in np.split(self.consumer.outputs, self.consumer.layer.groups)]
        fit = Fit([Rows(self.columns, size) for size in sizes], [Rows(self.columns, size) for size in sizes])
        number = count()
        for batch in batches:
            problem = self._take(batch, fit, number, samples)
            if problem:
                return problem
        return fit

    def _take(self, batch: Batch, fit: Fit, number: Iterator[int], samples: int) -> str:
        """The rows of one batch. Returns why there are none, or nothing."""
        layer = self.consumer.layer
        given, made = Place(self.consumer.name), Place(self.consumer.name, output=True)
        places = [made] if self.stream is None else [made, self._end, self.stream]
        there, here = look(self.dense, batch, places), look(self.work, batch, [given, *places])
        if not (there.keys() >= set(places) and here.keys() >= {given, *places}):
            return "evaluation does not reach it as a cell that is called with a tensor"
        size = layer.size(here[made])
        positions = self._positions(len(here[made]), int(np.prod(size, dtype=np.int64)), samples)
        x = layer.rows(here[given], positions, size)
        output, target = (layer.outputs(values[made], positions).astype(np.float64) for values in (here, there))
        if not self._is_product(x, output):
            return "its output is not its weight times the channels that stay"
        if self.stream is not None:
            target += layer.outputs(self._drift(there, here, self.stream), positions)
        held = self._held_out(positions.shape, number, samples)
        fit.count_targets(target[:, self.consumer.outputs])
        for rows, where in ((fit.fitted, ~held), (fit.held_out, held)):
            self._add(rows, x[where], (target - output)[where])
        return ""

    @property
    def _end(self) -> Place:
        return Place(self.consumer.norm or self.consumer.name, output=True)

    def _drift(self, there: dict[Place, np.ndarray], here: dict[Place, np.ndarray], stream: Place) -> np.ndarray:
        """What the shortcut has lost, in units of the layer's output, shape of the output.

        Channels that the BatchNorm behind multiplies with almost nothing cannot make up for it.
        """
        lost = there[stream] - there[self._end] - here[stream] + here[self._end]
        size = np.abs(self.factor)
        share = np.divide(1.0, self.factor, out=np.zeros_like(self.factor), where=size > 1e-3 * size.max())
        if self.consumer.layer.dense:
            return lost * share
        return lost * share.reshape(-1, *(1,) * (lost.ndim - 2))

    def _add(self, rows: Sequence[Rows], x: np.ndarray, missing: np.ndarray) -> None:
        consumer, groups = self.consumer, self.consumer.layer.groups
        if not len(x):
            return
        whose = np.split(np.arange(len(consumer.outputs)), groups)
        for k, part in enumerate(np.split(x, groups, axis=1)):
            own = whose[k][consumer.outputs[whose[k]]]
            rows[k].add(part[:, consumer.inputs].reshape(len(x), -1), missing[:, own])

    def _positions(self, count_here: int, available: int, samples: int) -> np.ndarray:
        wanted = min(available, max(POSITIONS, -(-ROWS * self.columns // samples)))
        return np.stack([self.generator.choice(available, wanted, replace=False) for _ in range(count_here)])

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
