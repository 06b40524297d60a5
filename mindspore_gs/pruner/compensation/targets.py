"""What the layers should compute: outputs of the dense network, at some positions of each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from mindspore import nn

from mindspore_gs.pruner.compensation.consumers import Consumer
from mindspore_gs.pruner.compensation.passes import Batch, Place, look

POSITIONS = 24  # of each sample's feature map
ROWS = 4  # wanted for each column, from more positions where there are few samples
ENTRIES = 1 << 26  # of the matrix to solve, half a gigabyte
HELD = 1 << 27  # numbers that are held at a time, half a gigabyte


def wanted_positions(columns: int, samples: int) -> int:
    """How many positions of each sample are wanted for a layer; 0 where even one takes too much memory.

    There are :data:`ROWS` rows for each of the layer's columns. Where a matrix of columns times columns is too large,
    there are so few rows that one of rows times columns is not.

    >>> [wanted_positions(columns, 1024) for columns in (144, 8000, 18432, 100000)]
    [24, 32, 3, 0]
    """
    if columns * columns <= ENTRIES:
        return max(POSITIONS, -(-ROWS * columns // samples))
    return min(ENTRIES // (columns * samples), POSITIONS)


def end_of(consumer: Consumer) -> Place:
    """The output of a layer with its BatchNorm, if it has one."""
    return Place(consumer.norm or consumer.name, output=True)


@dataclass(eq=False)
class Target:
    """What one layer should compute.

    Attributes:
        consumer: the layer.
        stream: where the residual stream is seen behind it, if its output is added to one.
        wanted: how many positions of each sample are wanted.
        sizes: for each batch, rows and columns of the layer's output.
        positions: for each batch, indices into the output's positions, shape (N, P).
        made: for each batch, the output there, shape (N * P, outputs).
        ends: for each batch, the output of the BatchNorm behind; without a stream none.
        streams: for each batch, the residual stream; without one none.
    """

    consumer: Consumer
    stream: Place | None
    wanted: int
    sizes: list[tuple[int, ...]] = field(default_factory=list)
    positions: list[np.ndarray] = field(default_factory=list)
    made: list[np.ndarray] = field(default_factory=list)
    ends: list[np.ndarray] = field(default_factory=list)
    streams: list[np.ndarray] = field(default_factory=list)

    def places(self) -> list[tuple[Place, list[np.ndarray]]]:
        """What is looked at, in order of execution, with the list that takes it."""
        made = [(Place(self.consumer.name, output=True), self.made)]
        return made if self.stream is None else [*made, (end_of(self.consumer), self.ends), (self.stream, self.streams)]

    def draw(self, output: np.ndarray, generator: np.random.Generator) -> None:
        """Draw positions of a batch's output."""
        self.sizes.append(self.consumer.layer.size(output))
        available = int(np.prod(self.sizes[-1], dtype=np.int64))
        wanted = min(available, self.wanted)
        self.positions.append(np.stack([generator.choice(available, wanted, replace=False) for _ in output]))

    def rows(self, values: np.ndarray) -> np.ndarray:
        """What lies at the positions of the last batch."""
        return self.consumer.layer.outputs(values, self.positions[-1])

    def complete(self, batches: int) -> bool:
        """Whether every place was reached in every batch."""
        return all(len(found) == batches for _, found in self.places())


class Targets:
    """The targets of all layers. One pass of the dense network gathers those of as many layers as memory allows.

    Args:
        dense: the network in its original form.
        batches: inputs of it.
        layers: the layers in order of execution, with where the residual stream is seen behind each, or None.
        generator: draws positions.
    """

    def __init__(self, dense: nn.Cell, batches: Sequence[Batch], layers: Mapping[Consumer, Place | None],
                 generator: np.random.Generator):
        self.dense, self.batches, self.layers, self.generator = dense, batches, layers, generator
        self.samples = sum(len(batch[0]) if batch[0].ndim else 1 for batch in batches)
        self._held: dict[Consumer, Target] = {}

    def of(self, consumer: Consumer) -> Target | None:
        """The target of a layer, which is given away; None where evaluation does not reach it."""
        if consumer not in self._held:
            self._held = self._gather(self._next(consumer))
        target = self._held.pop(consumer)
        return target if target.complete(len(self.batches)) else None

    def _next(self, first: Consumer) -> list[Target]:
        """A layer and those behind it, as many as may be held."""
        layers = list(self.layers)
        found: list[Target] = []
        held = 0
        for consumer in layers[layers.index(first):]:
            wanted = wanted_positions(consumer.columns, self.samples)
            target = Target(consumer, self.layers[consumer], wanted)
            held += self.samples * wanted * len(consumer.outputs) * len(target.places())
            if found and held > HELD:
                break
            found.append(target)
        return found

    def _gather(self, targets: Sequence[Target]) -> dict[Consumer, Target]:
        takers: dict[Place, list[tuple[Target, list[np.ndarray]]]] = {}
        for target in targets:
            for place, found in target.places():
                takers.setdefault(place, []).append((target, found))

        def take(place: Place, values: np.ndarray) -> None:
            for target, found in takers[place]:
                if found is target.made:
                    target.draw(values, self.generator)
                found.append(target.rows(values))

        for batch in self.batches:
            look(self.dense, batch, list(takers), take)
        return {target.consumer: target for target in targets}
