"""Passes over the batches in which cells that give what they gave before are not computed again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import every_cell
from mindspore_gs.pruner.compensation.passes import Batch, hooks, run
from mindspore_gs.pruner.compensation.patches import as_array

HELD = 1 << 27  # numbers that are held, half a gigabyte
_FLOATS = (ms.float16, ms.bfloat16, ms.float32)


@dataclass(eq=False)
class _Record:
    """What one cell returns for each batch.

    Attributes:
        cell: the cell.
        within: ids of the cells that its call calls, itself among them.
        values: for each batch, the array and the type of the tensor.
        wanted: whether it is to be kept.
        started: when its call for the first batch began.
        seconds: what this call took.
        own: a ``construct`` that was set on the cell itself.
    """

    cell: nn.Cell
    within: frozenset[int]
    values: list[tuple[np.ndarray, Any]] = field(default_factory=list)
    wanted: bool = True
    started: float = 0.0
    seconds: float = 0.0
    own: Any = None

    @property
    def size(self) -> int:
        """Numbers for the first batch."""
        return self.values[0][0].size

    @property
    def worth(self) -> float:
        """Seconds that a number saves."""
        return self.seconds / max(self.size, 1)

    def contains(self, other: _Record) -> bool:
        """Whether a pass that leaves this cell out leaves another one out as well."""
        return other is not self and id(other.cell) in self.within

    def replay(self, batch: Callable[[], int]) -> None:
        """Let the cell return what was kept for a batch."""
        def construct(*arguments: Any, **more: Any) -> ms.Tensor:
            array, kind = self.values[batch()]
            return ms.Tensor(array).astype(kind)

        self.own = vars(self.cell).get("construct")
        vars(self.cell)["construct"] = construct

    def compute_again(self) -> None:
        """Let the cell compute."""
        if self.own is None:
            del vars(self.cell)["construct"]
        else:
            vars(self.cell)["construct"] = self.own


class Replay:
    """The passes of a network that is changed layer after layer, in order of execution.

    A cell in front of everything that is still to be changed returns in each pass what it returned before. So it is
    computed once, and later passes return the arrays that were kept. That is done for cells that are called once in a
    pass and return a tensor, for as many as memory allows. Without it the time would grow with the square of the number
    of layers.

    Args:
        net: the network, in PyNative mode and in evaluation mode. Its cells are changed, so it must be a copy.
        batches: inputs of it.
        few: inputs of a pass that shows which cells call which.
        held: how many numbers may be kept. Default: 2 ** 27; with 0 every pass computes everything.
    """

    def __init__(self, net: nn.Cell, batches: Sequence[Batch], few: Batch, held: int = HELD):
        self._batches, self._held = batches, held
        self._records: list[_Record] = []  # what passes do not compute
        self._batch, self._unchanged = 0, False
        self._within = called_once(net, few) if held else {}

    def passes(self) -> Iterator[Batch]:
        """The batches, each to be run before the next one is taken."""
        for k, batch in enumerate(self._batches):
            self._batch = k
            yield batch

    def recording(self, changing: Collection[nn.Cell], watched: Collection[nn.Cell]) -> Generator[Batch, None, None]:
        """The batches, as :meth:`passes`; what cells return is kept for later passes.

        Args:
            changing: the cells that will be changed. What follows the first call of one is not kept.
            watched: cells whose inputs will be asked for, so that they have to be called.
        """
        apart = {id(cell) for cell in (*changing, *watched)}
        taking = [_Record(cell, within) for cell, within in self._within.items() if apart.isdisjoint(within)
                  and not any(id(cell) in record.within for record in self._records)]
        handles = [hook for record in taking for hook in self._hooks(record, taking)]
        with hooks(*handles, *(cell.register_forward_pre_hook(self._stop) for cell in changing)):
            for batch in self.passes():
                self._unchanged = True
                yield batch
                if self._batch == 0:
                    chosen = self._choice([record for record in taking if record.values])
                    for record in taking:
                        record.wanted = record in chosen
                        record.values = record.values if record.wanted else []
        self._replace([record for record in chosen if len(record.values) == len(self._batches)])

    def _stop(self, cell: nn.Cell, arguments: Any) -> None:
        self._unchanged = False

    def _hooks(self, record: _Record, taking: Sequence[_Record]) -> tuple[Any, Any]:
        def before(cell: nn.Cell, arguments: Any) -> None:
            record.started = perf_counter()

        def after(cell: nn.Cell, arguments: Any, output: Any) -> None:
            if not self._unchanged or not record.wanted:
                return
            new = isinstance(output, ms.Tensor) and output.dtype in _FLOATS and len(record.values) == self._batch
            record.values = [*record.values, (as_array(output).copy(), output.dtype)] if new else []
            if self._batch == 0:
                record.seconds = perf_counter() - record.started
                for other in taking:
                    other.values = [] if new and record.contains(other) else other.values

        return record.cell.register_forward_pre_hook(before), record.cell.register_forward_hook(after)

    def _choice(self, fresh: Sequence[_Record]) -> list[_Record]:
        """Of what is kept and what could be, what saves most for its size, without what lies in other cells of it."""
        for record in fresh:
            record.seconds += sum(old.seconds for old in self._records if record.contains(old))
        chosen: list[_Record] = []
        left = self._held // len(self._batches)
        for record in sorted((*self._records, *fresh), key=lambda each: -each.worth):
            if record.size <= left and not any(other.contains(record) for other in chosen):
                chosen.append(record)
                left -= record.size
        return [record for record in chosen if not any(other.contains(record) for other in chosen)]

    def _replace(self, records: list[_Record]) -> None:
        for record in self._records:
            record.compute_again()
        for record in records:
            record.replay(lambda: self._batch)
        self._records = records


def called_once(net: nn.Cell, batch: Batch) -> dict[nn.Cell, frozenset[int]]:
    """The cells with a layer in them that are called once in a pass, with the ids of the cells that only they call.

    Cells without a layer, such as activations, take little time. A cell that calls one which others call as well is
    left out, since places in a pass are counted by calls.
    """
    calls: Counter[int] = Counter()
    inside: dict[int, Counter[int]] = {}
    running: list[int] = []

    def before(cell: nn.Cell, arguments: Any) -> None:
        running.append(id(cell))
        calls[id(cell)] += 1
        for each in set(running):
            inside.setdefault(each, Counter())[id(cell)] += 1

    def after(cell: nn.Cell, arguments: Any, output: Any) -> None:
        running.pop()

    cells = every_cell(net)
    with hooks(*(cell.register_forward_pre_hook(before) for cell in cells),
               *(cell.register_forward_hook(after) for cell in cells)):
        run(net, batch)
    return {cell: frozenset(inside[id(cell)]) for cell in cells if cell is not net and calls[id(cell)] == 1
            and all(calls[each] == number for each, number in inside[id(cell)].items())
            and any(parameter.ndim > 1 for parameter in cell.get_parameters())}
