"""New statistics for the BatchNorms behind the channels that went."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._precision import cell_inside
from mindspore_gs.masks.cells import unmasked
from mindspore_gs.norms import BatchNorm, batch_norm
from mindspore_gs.pruner.compensation.consumers import Moved
from mindspore_gs.pruner.compensation.passes import Batch, hooks, run, stop_at

ENOUGH = 32  # values per channel, below which a mean and a variance say too little


@dataclass(eq=False)
class _Measured:
    """A BatchNorm while its input is measured."""

    moved: Moved
    norm: BatchNorm
    keeps_function: bool
    count: int = 0
    sums: list[np.ndarray] = field(default_factory=list)

    def take(self, cell: nn.Cell, arguments: Any) -> None:
        """A hook in front of the cell: measure, and normalise by this batch, unless the function stays."""
        x = arguments[0].float().asnumpy().astype(np.float64)
        axis = x.ndim - 1 if getattr(self.norm.inner, "format", "NCHW") == "NHWC" else 1
        flat = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
        mean, variance = flat.mean(0), flat.var(0)
        new = [len(flat) * mean, len(flat) * (variance + mean ** 2)]
        self.sums = [old + n for old, n in zip(self.sums, new)] if self.sums else new
        self.count += len(flat)
        if not self.keeps_function and len(flat) >= ENOUGH:
            self._set(mean, variance)

    def finish(self) -> bool:
        """Set what has been measured. Returns whether there were values enough."""
        if self.count < ENOUGH:
            return False
        mean, second = (total / self.count for total in self.sums)
        variance = np.maximum(second - mean ** 2, 0.0)
        if self.keeps_function:
            self._same_function(mean, variance)
        self._set(mean, variance)
        return True

    def _set(self, mean: np.ndarray, variance: np.ndarray) -> None:
        for parameter, values in ((self.norm.mean, mean), (self.norm.variance, variance)):
            set_where(parameter, values, self.moved.channels)

    def _same_function(self, mean: np.ndarray, variance: np.ndarray) -> None:
        r"""Gamma and beta for the new statistics: :math:`\gamma' = a \sigma'` and :math:`\beta' = b + a \mu'`.

        The BatchNorm is :math:`a x + b` before and after.
        """
        factor, shift = self.norm.affine()
        set_where(vector(self.norm, "gamma"), factor * np.sqrt(variance + self.norm.eps), self.moved.channels)
        set_where(vector(self.norm, "beta"), shift + factor * mean, self.moved.channels)


def vector(norm: BatchNorm, role: str) -> ms.Parameter:
    """Gamma or beta itself, where a mask makes the attribute read as their product."""
    attribute = norm.vectors[role]
    own: ms.Parameter = vars(norm.inner).get(unmasked(attribute), getattr(norm.inner, attribute))
    return own


def set_where(parameter: ms.Parameter, values: np.ndarray, where: np.ndarray) -> None:
    """Set the entries of a vector that are true in ``where``; the others stay."""
    old = parameter.float().asnumpy()
    parameter.set_data(ms.Tensor(np.where(where, values, old).astype(np.float32)).astype(parameter.dtype))


class Statistics:
    """The BatchNorms of a network whose statistics are to be measured, each once, in order of execution.

    Args:
        net: the network, changed in place.
        moved: its BatchNorms that see something else.
    """

    def __init__(self, net: nn.Cell, moved: Sequence[Moved]):
        self._net = net
        self._pending = {each.path: each for each in moved}
        self._same: set[str] = set()
        self.short: list[str] = []

    def keep_function(self, path: str) -> None:
        """This BatchNorm gets new statistics, and gamma and beta with which it computes what it did."""
        self._same.add(path)

    @property
    def left(self) -> list[str]:
        """Paths of those that have not been measured."""
        return list(self._pending)

    def measure(self, batches: Iterable[Batch], until: str | None = None, place: int | None = None) -> None:
        """Measure those in front of a cell, or all that are left.

        Nothing is run where all of those in front of the cell keep their function, since then what the cell is given
        does not depend on it.

        Args:
            batches: what to run.
            until: path of the cell.
            place: its place in the order of execution.
        """
        measured = [self._measured(each) for each in self._pending.values() if place is None or each.place < place]
        if not measured or (until is not None and all(each.keeps_function for each in measured)):
            return
        handles = [each.norm.inner.register_forward_pre_hook(each.take) for each in measured]
        if until is not None:
            handles.append(stop_at(self._net, until))
        with hooks(*handles):
            for batch in batches:
                run(self._net, batch)
        for each in measured:
            if each.count:
                del self._pending[each.moved.path]
                if not each.finish():
                    self.short.append(each.moved.path)

    def _measured(self, moved: Moved) -> _Measured:
        norm = batch_norm(cell_inside(self._net, moved.path))
        assert norm is not None
        return _Measured(moved, norm, moved.path in self._same)
