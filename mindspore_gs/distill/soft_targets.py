"""The loss between what a student and what a teacher say."""

from typing import Any

import mindspore as ms
from mindspore import nn, ops

from mindspore_gs._precision import OwnPrecision


class SoftTargets(OwnPrecision, nn.Cell):
    r"""Divergence of a student's softened answers from a teacher's.

    .. math:: T^2 \, \mathrm{KL}(p_t \| p_s), \qquad p = \mathrm{softmax}(\text{logits} / T)

    The factor :math:`T^2` keeps the size of the gradient the same at every temperature. Source: Hinton, Vinyals,
    Dean, Distilling the Knowledge in a Neural Network, 2015, section 2. It is computed in float32 whatever comes in.

    Args:
        temperature: :math:`T`, above 0.
        axis: axis of the classes.

    Inputs:
        The student's logits, and the teacher's of the same shape, usually (N, classes).

    Outputs:
        Scalar: the mean over everything but the classes. No gradient goes to the teacher's logits.

    Examples:
        >>> import mindspore as ms
        >>> from mindspore_gs.distill.soft_targets import SoftTargets
        >>> student, teacher = ms.Tensor([[0.0, 0.0]]), ms.Tensor([[4.0, 0.0]])
        >>> print(f"{float(SoftTargets(temperature=4.0)(student, teacher)):.3f}")
        1.775
    """

    def __init__(self, temperature: float, axis: int = 1):
        super().__init__()
        self.temperature, self.axis = temperature, axis

    def construct(self, student: ms.Tensor, teacher: ms.Tensor) -> ms.Tensor:
        """The divergence, a scalar."""
        if student.shape != teacher.shape:
            raise ValueError(f"the student returns logits of shape {student.shape}, but the teacher of shape "
                             f"{teacher.shape}. Give a teacher for the same classes.")
        if student.shape[self.axis] < 2:
            raise ValueError(f"the networks return {student.shape[self.axis]} class along axis {self.axis}, whose "
                             "softmax is always 1. Give networks that return logits of two classes or more, or the "
                             "axis of the classes.")
        wanted = ops.log_softmax(ops.stop_gradient(teacher).astype(ms.float32) / self.temperature, self.axis)
        said = ops.log_softmax(student.astype(ms.float32) / self.temperature, self.axis)
        return (ops.exp(wanted) * (wanted - said)).sum(self.axis).mean() * self.temperature**2


def first_of(outputs: Any) -> ms.Tensor:
    """The logits: the output itself, the first of several, or the entry "logits" of a dict."""
    if isinstance(outputs, (tuple, list)):
        return outputs[0]
    if isinstance(outputs, dict):
        if "logits" not in outputs:
            raise ValueError("a network with a dict as output must have its logits under the key 'logits'; put it into "
                             "a cell that returns them.")
        return outputs["logits"]
    return outputs
