"""The mixture of a competing layer for PyNative mode, where each operator is a call of its own.

MindSpore has two kinds of operators, and on a CPU every change between them waits some milliseconds for a thread to
wake up. Convolution and BatchNorm are of the older kind. So this file uses the classes of the older kind throughout,
few of them, and writes the gradients down itself. What it computes is what
:class:`~mindspore_gs.pruner.scop.cells.KfConv2d` computes in Graph mode (tests/pruner/test_knockoff_network.py compares
outputs and gradients in both modes).
"""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindspore_gs._precision import OwnPrecision
from mindspore_gs._ranks import number_of_ranks


def _number(value: float) -> ms.Tensor:
    return ms.Tensor(np.float32(value))


class ShareInParts(OwnPrecision, nn.Cell):
    r"""gamma and beta of a BatchNorm, divided between the real feature and the knockoff.

    The share s of :class:`~mindspore_gs.pruner.scop.cells.RealShare` and its rest: :math:`s\gamma, s\beta, (1-s)\gamma,
    (1-s)\beta`. The gradient of the scale is that of RealShare: :math:`\hat g + \lambda (b - 1/2)`.

    Args:
        channels: number of channels.
        dose, spring: the constants of RealShare.

    Inputs:
        - **scale** (Tensor) - shape (1, C, 1, 1).
        - **gamma**, **beta** (Tensor) - shape (C,).

    Outputs:
        Four tensors of shape (C,).
    """

    def __init__(self, channels: int, dose: float, spring: float):
        super().__init__()
        self.times, self.minus, self.plus = ops.MulNoNan(), ops.Sub(), ops.AddN()
        self.bound, self.mean, self.flat = ops.ReLU6(), ops.ReduceMean(False), ops.ReduceSum(False)
        self.normalised = ops.L2Normalize(axis=0, epsilon=1e-24)
        self.six, self.minus_three = _number(6), _number(-3)  # ReLU6 of six times the level bounds it by 0 and 1
        self.dose, self.minus_floor = _number(dose / 6), _number(dose - 1)
        self.root, self.half, self.spring = _number(channels ** 0.5), _number(0.5), _number(spring)
        self.one = ms.Tensor(np.ones(channels, np.float32))
        self.ranks = number_of_ranks()
        self.of_all: Any = ops.AllReduce(ops.ReduceOp.SUM) if self.ranks > 1 else None

    def construct(self, scale: ms.Tensor, gamma: ms.Tensor, beta: ms.Tensor) -> tuple[ms.Tensor, ...]:
        """Bound, budget, dose; then divide."""
        level = self.bound(self.times(self.flat(scale, (0, 2, 3)), self.six))
        level = self.bound(self.minus(self.minus(level, self.mean(level)), self.minus_three))
        share = self.minus(self.times(level, self.dose), self.minus_floor)
        rest = self.minus(self.one, share)
        return (self.times(gamma, share), self.times(beta, share), self.times(gamma, rest), self.times(beta, rest))

    def bprop(self, scale: ms.Tensor, gamma: ms.Tensor, beta: ms.Tensor, out: Any,
              dout: tuple[ms.Tensor, ...]) -> tuple[ms.Tensor, ...]:
        """The evidence, normalised over the layer, and the pull towards one half; gamma and beta are frozen."""
        evidence = self.plus((self.times(self.minus(dout[0], dout[2]), gamma),
                              self.times(self.minus(dout[1], dout[3]), beta)))
        if self.ranks > 1:
            evidence = self.of_all(evidence)
        evidence = self.times(self.normalised(evidence), self.root).reshape(scale.shape)
        pull = self.times(self.minus(scale, self.half), self.spring)
        return self.plus((evidence, pull)), gamma, beta


class OnlyRealLearns(OwnPrecision, nn.Cell):
    """What comes in; the gradient of the knockoffs is zero.

    Inputs:
        - **x** (Tensor) - shape (N, C, H, W).
        - **real** (Tensor) - shape (N, 1, 1, 1), 1 for real samples and 0 for knockoffs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.times = ops.MulNoNan()

    def construct(self, x: ms.Tensor, real: ms.Tensor) -> ms.Tensor:
        """The same."""
        return x

    def bprop(self, x: ms.Tensor, real: ms.Tensor, out: Any, dout: ms.Tensor) -> tuple[ms.Tensor, ms.Tensor]:
        """Zero for the knockoffs."""
        return self.times(dout, real), real


class EagerMixture(nn.Cell):
    r"""Convolution, BatchNorm and mixture: :math:`BN_s(conv(x)) + BN_{1-s}(conv(x)_{k})`, k the knockoff of a sample.

    A knockoff is its own knockoff, so it passes. Nothing is trained through the knockoffs.

    Args:
        channels: number of channels.
        dose, spring: the constants of RealShare.
        reuse: number of real samples that a knockoff serves.
        outer: how often the batch is repeated along the first axis.
    """

    def __init__(self, channels: int, dose: float, spring: float, reuse: int, outer: int):
        super().__init__(auto_prefix=False)
        self.parts = ShareInParts(channels, dose, spring)
        self.only_real = OnlyRealLearns()
        self.take, self.plus = ops.Gather(), ops.AddN()
        self.reuse, self.outer = reuse, outer
        self.places: dict[int, tuple[ms.Tensor, ms.Tensor]] = {}

    def mix(self, x: ms.Tensor, conv: nn.Cell, norm: Any, scale: ms.Tensor) -> ms.Tensor:
        """The mixture for a joint batch of real samples and knockoffs. For PyNative mode only."""
        if x.shape[0] not in self.places:
            self.places[x.shape[0]] = _places(x.shape[0], self.reuse, self.outer)
        knockoff_of, real = self.places[x.shape[0]]
        features = conv(self.only_real(x, real))
        knockoffs = ops.stop_gradient(self.take(ops.stop_gradient(features), knockoff_of, 0))
        gamma, beta, rest_gamma, rest_beta = self.parts(scale, norm.gamma, norm.beta)
        mean, variance = norm.moving_mean, norm.moving_variance
        return self.plus((norm.bn_infer(features, gamma, beta, mean, variance)[0],
                          norm.bn_infer(knockoffs, rest_gamma, rest_beta, mean, variance)[0]))


def _places(total: int, reuse: int, outer: int) -> tuple[ms.Tensor, ms.Tensor]:
    """For each entry of a joint batch the place of its knockoff, and whether it is real.

    >>> [values.reshape(-1).tolist() for values in _places(6, 2, 1)]
    [[4, 5, 4, 5, 4, 5], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]]
    """
    blocks = np.arange(total).reshape(outer, -1)
    count = blocks.shape[1] // (reuse + 1) * reuse
    knockoffs = blocks[:, count:]
    places = np.concatenate([np.tile(knockoffs, (1, reuse)), knockoffs], axis=1).reshape(-1)
    real = np.ones(blocks.shape, np.float32)
    real[:, count:] = 0
    return ms.Tensor(places.astype(np.int32)), ms.Tensor(real.reshape(-1, 1, 1, 1))
