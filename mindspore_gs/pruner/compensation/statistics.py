"""New statistics for the BatchNorms behind the channels that went."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._precision import cell_inside
from mindspore_gs.masks.cells import unmasked
from mindspore_gs.norms import BatchNorm, batch_norm
from mindspore_gs.pruner.compensation.consumers import Moved
from mindspore_gs.pruner.compensation.passes import Batch, finite, hooks, run, stop_at

ENOUGH = 32  # values per channel, below which a mean and a variance say too little


@dataclass
class Moments:
    """Mean and variance of each channel of a BatchNorm's input, from batches that come one by one.

    Attributes:
        path: path of its cell.
        norm: the BatchNorm.
        count: values of each channel so far.
        sums: sum and sum of squares of each channel.
    """

    path: str
    norm: BatchNorm
    count: int = 0
    sums: list[np.ndarray] = field(default_factory=list)

    def take(self, cell: nn.Cell, arguments: Any) -> None:
        """A hook in front of the cell."""
        self.add(arguments[0])

    def add(self, given: ms.Tensor) -> tuple[int, np.ndarray, np.ndarray]:
        """Take a batch in; returns its values for each channel, their mean and their variance."""
        x = finite(self.path, given.float().asnumpy())
        axis = x.ndim - 1 if getattr(self.norm.inner, "format", "NCHW") == "NHWC" else 1
        others = tuple(k for k in range(x.ndim) if k != axis)
        mean, variance = x.mean(others, dtype=np.float64), x.var(others, dtype=np.float64)
        count = x.size // max(x.shape[axis], 1)
        new = [count * mean, count * (variance + mean ** 2)]
        self.sums = [old + n for old, n in zip(self.sums, new)] if self.sums else new
        self.count += count
        return count, mean, variance

    @property
    def both(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance."""
        mean, second = (total / self.count for total in self.sums)
        return mean, np.maximum(second - mean ** 2, 0.0)


def moments(net: nn.Cell, paths: Iterable[str], batches: Iterable[Batch]) -> dict[str, Moments]:
    """What the BatchNorms of a network are given; without those that are not reached."""
    found = {path: Moments(path, norm) for path in paths if (norm := batch_norm(cell_inside(net, path))) is not None}
    with hooks(*(each.norm.inner.register_forward_pre_hook(each.take) for each in found.values())):
        for batch in batches:
            run(net, batch)
    return {path: each for path, each in found.items() if each.count}


@dataclass(eq=False)
class Measured:
    """A BatchNorm while its input is measured."""

    moved: Moved
    moments: Moments
    dense: Moments | None
    keeps_function: bool

    def take(self, cell: nn.Cell, arguments: Any) -> None:
        """A hook in front of the cell: measure, and normalise by this batch, unless the function stays."""
        count, *found = self.moments.add(arguments[0])
        if not self.keeps_function and count >= ENOUGH:
            self._set(*self._as_in_the_dense_network(*found))

    def finish(self) -> bool:
        """Set what has been measured. Returns whether there were values enough."""
        if self.moments.count < ENOUGH:
            return False
        mean, variance = self.moments.both
        if self.keeps_function:
            self._same_function(mean, variance)
            self._set(mean, variance)
        else:
            self._set(*self._as_in_the_dense_network(mean, variance))
        return True

    def _as_in_the_dense_network(self, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""Statistics with which the output has the mean and the variance that it has in the dense network.

        With mean m and variance v of what is given, :math:`m_d, v_d` of what the dense network's BatchNorm is given,
        and its statistics :math:`\mu, \sigma^2`, these are :math:`m + (\mu - m_d) \sqrt{v / v_d}` and
        :math:`\sigma^2 v / v_d`. In a trained network they are about m and v. In one whose statistics are not those of
        its data, as in an untrained one, m and v would make another network of it.
        """
        if self.dense is None:
            return mean, variance
        eps, (its_mean, its_variance) = self.moments.norm.eps, self.dense.both
        own_mean, own_variance = (getattr(self.dense.norm, name).float().asnumpy().astype(np.float64)
                                  for name in ("mean", "variance"))
        ratio = (variance + eps) / (its_variance + eps)
        return mean + (own_mean - its_mean) * np.sqrt(ratio), np.maximum((own_variance + eps) * ratio - eps, 0.0)

    def _set(self, mean: np.ndarray, variance: np.ndarray) -> None:
        norm = self.moments.norm
        for parameter, values in ((norm.mean, mean), (norm.variance, variance)):
            set_where(parameter, values, self.moved.channels)

    def _same_function(self, mean: np.ndarray, variance: np.ndarray) -> None:
        r"""Gamma and beta for the new statistics: :math:`\gamma' = a \sigma'` and :math:`\beta' = b + a \mu'`.

        The BatchNorm is :math:`a x + b` before and after.
        """
        norm = self.moments.norm
        factor, shift = norm.affine()
        set_where(vector(norm, "gamma"), factor * np.sqrt(variance + norm.eps), self.moved.channels)
        set_where(vector(norm, "beta"), shift + factor * mean, self.moved.channels)


def vector(norm: BatchNorm, role: str) -> ms.Parameter:
    """Gamma or beta itself, where a mask makes the attribute read as their product."""
    attribute = norm.vectors[role]
    own: ms.Parameter = vars(norm.inner).get(unmasked(attribute), getattr(norm.inner, attribute))
    return own


def set_where(parameter: ms.Parameter, values: np.ndarray, where: np.ndarray) -> None:
    """Set the entries of a vector that are true in ``where``; the others stay."""
    old = parameter.float().asnumpy()
    parameter.set_data(ms.Tensor(np.where(where, values, old).astype(np.float32)).astype(parameter.dtype))


def looked_at(measured: Iterable[Measured]) -> AbstractContextManager[None]:
    """While passes run, what these BatchNorms are given is taken in."""
    return hooks(*(each.moments.norm.inner.register_forward_pre_hook(each.take) for each in measured))


class Statistics:
    """The BatchNorms of a network whose statistics are to be measured, each once, in order of execution.

    Args:
        net: the network, changed in place.
        moved: its BatchNorms that see something else.
        dense: what these are given in the network in its original form.
    """

    def __init__(self, net: nn.Cell, moved: Sequence[Moved], dense: Mapping[str, Moments]):
        self._net, self._dense = net, dense
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

    def pending(self, keeps_function: bool) -> list[nn.Cell]:
        """The BatchNorms that have not been measured, which keep their function then, or do not."""
        norms = (batch_norm(cell_inside(self._net, path)) for path in self._pending if
                 (path in self._same) == keeps_function)
        return [norm.inner for norm in norms if norm is not None]

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
        stop = [] if until is None else [stop_at(self._net, until)]
        with looked_at(measured), hooks(*stop):
            for batch in batches:
                run(self._net, batch)
        self.finish(measured)

    def in_front(self, place: int) -> list[Measured]:
        """Those in front of a place that keep their function, which passes for another purpose can measure."""
        return [self._measured(each) for each in self._pending.values()
                if each.place < place and each.path in self._same]

    def finish(self, measured: Iterable[Measured]) -> None:
        """Set the statistics of those that the passes have reached."""
        for each in measured:
            if each.moments.count:
                del self._pending[each.moved.path]
                if not each.finish():
                    self.short.append(each.moved.path)

    def _measured(self, moved: Moved) -> Measured:
        norm = batch_norm(cell_inside(self._net, moved.path))
        assert norm is not None
        return Measured(moved, Moments(moved.path, norm), self._dense.get(moved.path), moved.path in self._same)
