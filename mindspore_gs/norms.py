"""Every kind of BatchNorm in one place: what its vectors are called, and where its statistics come from.

MindSpore has two families. Those of ``mindspore.nn`` call their vectors gamma, beta, moving_mean, moving_variance and
have a switch, ``use_batch_statistics``; ``nn.BatchNorm3d`` is a cell around a ``BatchNorm2d``. Those of
``mindspore.mint.nn`` call them weight, bias, running_mean, running_var and go by the training flag alone. A BatchNorm
without statistics (``track_running_stats=False``) and one that a network writes out itself have nothing to switch and
are none of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import mint, nn

from mindspore_gs._mixin import has, mix_in, original_class, take_out

_NN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
_MINT = tuple(getattr(mint.nn, name) for name in ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm")
              if hasattr(mint.nn, name))
BATCH_NORMS = (*_NN, nn.BatchNorm3d, *_MINT)


@dataclass(frozen=True)
class BatchNorm:
    """A BatchNorm of any kind.

    Attributes:
        cell: the cell as the network has it.
        inner: the cell that holds the vectors, another one for ``nn.BatchNorm3d``.
        gamma: the scale, or None without ``affine`` (mint).
        beta: the shift, or None.
        mean: the moving mean.
        variance: the moving variance.
        eps: what is added to the variance.
    """

    cell: nn.Cell
    inner: nn.Cell
    gamma: ms.Parameter | None
    beta: ms.Parameter | None
    mean: ms.Parameter
    variance: ms.Parameter
    eps: float

    @property
    def plain(self) -> bool:
        """Whether the class is MindSpore's own, mixins aside. A subclass may compute something else."""
        return original_class(self.cell) in BATCH_NORMS and original_class(self.inner) in BATCH_NORMS

    @property
    def vectors(self) -> Mapping[str, str]:
        """Attribute of :attr:`inner` for each of ``gamma``, ``beta``, ``mean`` and ``variance`` that exists."""
        found = {"gamma": self.gamma, "beta": self.beta, "mean": self.mean, "variance": self.variance}
        names = _names(self.inner)
        return {role: names[role] for role, parameter in found.items() if parameter is not None}

    @property
    def always_on_the_batch(self) -> bool:
        """Whether it takes the batch's statistics even in evaluation mode."""
        return getattr(self.inner, "use_batch_statistics", None) is True

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        r"""Factor and summand per channel that it is on its moving statistics, in float64.

        :math:`\gamma / \sqrt{v + \epsilon}` and :math:`\beta - \mu \gamma / \sqrt{v + \epsilon}`.
        """
        mean, variance = (p.asnumpy().astype(np.float64) for p in (self.mean, self.variance))
        factor = 1 / np.sqrt(variance + self.eps)
        if self.gamma is not None:
            factor = factor * self.gamma.asnumpy()
        shift = 0.0 if self.beta is None else self.beta.asnumpy().astype(np.float64)
        return factor, shift - mean * factor

    def freeze(self) -> Any:
        """Use the moving statistics in training mode as well, and leave them as they are.

        Returns:
            What :meth:`restore` needs to undo it: the former ``use_batch_statistics``.
        """
        if isinstance(self.inner, _NN):
            before = self.inner.use_batch_statistics
            self.inner.use_batch_statistics = False
            return before
        if not has(self.inner, OnMovingStatistics):
            training = self.inner.training
            mix_in(self.inner, OnMovingStatistics).training = training
        return None

    def restore(self, setting: Any) -> None:
        """Undo :meth:`freeze`, which returned ``setting``."""
        if isinstance(self.inner, _NN):
            self.inner.use_batch_statistics = setting
        elif has(self.inner, OnMovingStatistics):
            take_out(self.inner, OnMovingStatistics)

    def follow_batch(self) -> None:
        """From now on normalise by each batch, whatever the mode, and let the moving statistics be those of the last.

        There is no way back: meant for a copy of a network.
        """
        self.restore(True)
        if isinstance(self.inner, _NN):
            arguments = dict(self.inner.bn_train.init_attrs, momentum=1.0)
            arguments.pop("name", None)
            self.inner.bn_train = type(self.inner.bn_train)(**arguments)
        else:
            self.inner.momentum = 1.0
            mix_in(self.inner, OnBatchStatistics)


def fixed_training(value: bool) -> property:
    """A training flag that always reads as ``value``. What is set is there again once a mixin with it is taken out."""
    def read(self: nn.Cell) -> bool:
        return value

    def remember(self: nn.Cell, given: bool) -> None:
        vars(self)["training"] = given

    return property(read, remember)


class OnMovingStatistics:
    """Mixed into a BatchNorm of ``mint.nn``: its training flag reads False, so that it uses its moving statistics."""

    training = fixed_training(False)


class OnBatchStatistics:
    """Mixed into a BatchNorm of ``mint.nn``: its training flag reads True, whatever the mode of the network."""

    training = fixed_training(True)


def batch_norm(cell: nn.Cell) -> BatchNorm | None:
    """What a BatchNorm consists of, or None for any other cell, and for one without moving statistics."""
    if not isinstance(cell, BATCH_NORMS):
        return None
    inner = cell.bn2d if isinstance(cell, nn.BatchNorm3d) else cell
    names = _names(inner)
    gamma, beta, mean, variance = (getattr(inner, names[role]) for role in ("gamma", "beta", "mean", "variance"))
    if mean is None or variance is None:
        return None
    return BatchNorm(cell, inner, gamma, beta, mean, variance, inner.eps)


def batch_norms(net: nn.Cell) -> dict[str, BatchNorm]:
    """Each BatchNorm of a network by path, once. The cell inside of an ``nn.BatchNorm3d`` is no further one."""
    found: dict[str, BatchNorm] = {}
    inside: set[int] = set()
    for path, cell in net.cells_and_names():
        norm = batch_norm(cell)
        if norm is not None and id(cell) not in inside:
            found[path] = norm
            inside.add(id(norm.inner))
    return found


def _names(inner: nn.Cell) -> dict[str, str]:
    if isinstance(inner, _NN):
        return {"gamma": "gamma", "beta": "beta", "mean": "moving_mean", "variance": "moving_variance"}
    return {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}
