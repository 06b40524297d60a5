"""Feature distillation with a margin ReLU and a partial squared distance."""

from math import erf, exp, pi, sqrt

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindspore_gs.norms import BatchNorm


def margins(norm: BatchNorm) -> np.ndarray:
    r"""What each channel behind a BatchNorm is on average where it is negative.

    With a normal distribution of mean :math:`\beta` and deviation :math:`|\gamma|` this is
    :math:`\beta - |\gamma| \varphi(\beta / |\gamma|) / \Phi(-\beta / |\gamma|)`; where hardly anything is negative,
    :math:`-3 |\gamma|`. Source: Heo et al., A Comprehensive Overhaul of Feature Distillation, ICCV 2019.

    Args:
        norm: the last BatchNorm of a block.

    Returns:
        One margin for each channel, at most 0, in float32.
    """
    gamma = np.ones(norm.mean.shape) if norm.gamma is None else np.abs(norm.gamma.asnumpy().astype(np.float64))
    beta = np.zeros(norm.mean.shape) if norm.beta is None else norm.beta.asnumpy().astype(np.float64)
    return np.array([_margin(float(s), float(m)) for s, m in zip(gamma, beta)], np.float32)


def _margin(deviation: float, mean: float) -> float:
    """
    >>> round(_margin(1.0, 0.0), 4), _margin(1.0, 5.0), _margin(0.0, 1.0), _margin(0.0, -1.0)
    (-0.7979, -3.0, 0.0, -1.0)
    """  # noqa: D205, D212
    if deviation == 0:
        return min(mean, 0.0)
    negative = (1 + erf(-mean / deviation / sqrt(2))) / 2
    if negative < 0.001:
        return -3 * deviation
    density = exp(-(mean / deviation)**2 / 2) / sqrt(2 * pi)
    return min(mean - deviation * density / negative, 0.0)


class MarginReLULoss(nn.Cell):
    r"""Partial squared distance of a student's features from a teacher's, both in front of their activation.

    The target is :math:`t' = \max(t, m)` with the margin :math:`m` of each channel. An entry counts
    :math:`(s - t')^2`, or nothing where :math:`s \le t' \le 0`. Source: Heo et al., ICCV 2019, section 3.

    Args:
        width: channels of student and teacher.
        margin: one margin for each channel, at most 0.

    Inputs:
        Features of the student and of the teacher, (N, width, H, W) or (N, width). The student's go through a
        connector, a 1x1 convolution and a BatchNorm, whose parameters are trained. No gradient goes to the teacher's.

    Outputs:
        Scalar: the sum over all entries over N, in float32.
    """

    def __init__(self, width: int, margin: np.ndarray):
        super().__init__()
        self.connector = nn.SequentialCell(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width))
        self.margin = ms.Tensor(margin.reshape(1, -1, 1, 1), ms.float32)

    def construct(self, student: ms.Tensor, teacher: ms.Tensor) -> ms.Tensor:
        """The distance, a scalar."""
        ones = (1,) * (4 - student.ndim)
        target = ops.stop_gradient(teacher).astype(ms.float32).reshape(teacher.shape + ones)
        target = ops.maximum(target, self.margin)
        said = self.connector(student.reshape(student.shape + ones)).astype(ms.float32)
        counts = ops.logical_or(said > target, target > 0).astype(ms.float32)
        return ((said - target)**2 * counts).sum() / student.shape[0]
