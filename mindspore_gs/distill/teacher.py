"""Fine-tuning with the dense network as teacher."""

from collections.abc import Callable
from math import inf
from typing import Any

import mindspore as ms
from mindspore import nn, ops

from mindspore_gs._config import integer
from mindspore_gs._precision import OwnPrecision
from mindspore_gs.distill.frozen import check_networks, check_number, frozen_copy
from mindspore_gs.distill.soft_targets import SoftTargets, first_of


class DistillLoss(OwnPrecision, nn.Cell):
    r"""A network with its loss, where part of the loss is to answer as a teacher does.

    .. math:: (1 - w) \, L(s(x), y) + w \, T^2 \, \mathrm{KL}(\mathrm{softmax}(t(x) / T) \| \mathrm{softmax}(s(x) / T))

    with student :math:`s`, teacher :math:`t`, loss :math:`L`, weight :math:`w` and temperature :math:`T`. Source:
    Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015. With ``feature_weight`` :math:`v` both
    networks return a tuple (logits, features, ...), and
    :math:`v \sum_k \|s_k(x) - t_k(x)\|^2 / \|t_k(x)\|^2` comes on top.

    The cell is what ``Model`` and ``TrainOneStepCell`` take as a network with its loss, and what ``value_and_grad``
    takes in a loop of your own. The teacher is copied. The copy is frozen and stays in evaluation mode, is among no
    parameters, in no checkpoint, and untouched by mixed precision. The student is not renamed.

    Args:
        student: the network to train: dense, masked or slim. It is the attribute ``student`` of this cell.
        loss_fn: the loss of the task, a Cell or a function of (output of the student, label) that returns a scalar.
        teacher: the trained network that answers first, usually the dense one, with the same classes. Make it before
            an algorithm is applied, which may change the network in place. The logits are the output, the first of
            several, or the entry "logits" of a dict.
        temperature: above 0. Default: 4.
        weight: share of the teacher in the loss, in [0, 1]. Default: 0.5.
        feature_weight: weight of the features, at least 0. Default: 0, no features.
        axis: axis of the classes in the logits. Default: 1.

    Inputs:
        What the student is called with, one or several, then the label, one value.

    Outputs:
        Scalar, the loss in float32.

    Raises:
        TypeError: ``student`` or ``teacher`` is not a Cell, ``loss_fn`` cannot be called, or a number is none.
        ValueError: student and teacher are the same object, or a number is out of range. When called: their logits
            or features differ in shape, there is no label, or ``loss_fn`` returns no scalar.

    Examples:
        >>> import mindspore as ms
        >>> from mindspore import nn, ops
        >>> from mindspore_gs.distill import DistillLoss
        >>> student, teacher = (nn.Dense(3, 2, weight_init="zeros", bias_init="zeros") for _ in range(2))
        >>> loss = DistillLoss(student, nn.CrossEntropyLoss(), teacher)
        >>> [parameter.name for parameter in loss.trainable_params()]
        ['weight', 'bias']
        >>> print(f"{float(loss(ops.ones((1, 3)), ms.Tensor([1], ms.int32))):.4f}")  # log(2) / 2: no divergence
        0.3466
    """

    def __init__(self, student: nn.Cell, loss_fn: Callable[[Any, Any], Any], teacher: nn.Cell, temperature: float = 4.0,
                 weight: float = 0.5, feature_weight: float = 0.0, axis: int = 1):
        super().__init__(auto_prefix=False)
        owner = type(self).__name__
        check_networks(owner, student=student, teacher=teacher)
        if not callable(loss_fn):
            raise TypeError(f"For '{owner}', the 'loss_fn' must be a Cell or a function of (output, label), but got "
                            f"'{type(loss_fn).__name__}'.")
        self.weight = check_number(owner, "weight", weight, 0, 1)
        self.feature_weight = check_number(owner, "feature_weight", feature_weight, 0, inf)
        self.soft = SoftTargets(check_number(owner, "temperature", temperature, 0, inf, open_below=True),
                                integer(owner, "axis", axis))
        self.student = student
        self.task = HardTargets(loss_fn)
        self.features = Features()
        self._held = (frozen_copy(teacher, "teacher."),)  # in a tuple, it is no child

    @property
    def teacher(self) -> nn.Cell:
        """The frozen copy of the teacher."""
        return self._held[0]

    def construct(self, *inputs: Any) -> ms.Tensor:
        """The loss of a batch: data, then the label."""
        if len(inputs) < 2:
            raise ValueError(f"DistillLoss is called with the student's inputs and the label, but got {len(inputs)} "
                             "argument. Give batches of both.")
        said = self.student(*inputs[:-1])
        wanted = self._held[0](*inputs[:-1])
        loss = self.weight * self.soft(first_of(said), first_of(wanted))
        if self.weight < 1:
            loss = loss + (1 - self.weight) * self.task(said, inputs[-1])
        if self.feature_weight > 0:
            loss = loss + self.feature_weight * self.features(said, wanted)
        return loss


class HardTargets(OwnPrecision, nn.Cell):
    """The loss of the task in float32, as ``Model`` computes it under mixed precision.

    Args:
        loss_fn: what returns a scalar for (output, label). A cell without parameters is kept out of reach of mixed
            precision.
    """

    def __init__(self, loss_fn: Callable[[Any, Any], Any]):
        super().__init__(auto_prefix=False)
        self._held = (loss_fn,)
        if isinstance(loss_fn, nn.Cell) and list(loss_fn.get_parameters()):
            self.loss_fn = loss_fn  # a child, so that its parameters are trained

    def construct(self, outputs: Any, label: Any) -> ms.Tensor:
        """The loss, a scalar."""
        loss = self._held[0](_in_float32(outputs), label)
        if not isinstance(loss, ms.Tensor):
            raise ValueError("'loss_fn' must return a scalar, but returned no tensor. Give a function of (output, "
                             "label) that returns one.")
        if loss.size != 1:
            raise ValueError(f"'loss_fn' must return a scalar, but returned shape {loss.shape}. Give it "
                             "reduction='mean'.")
        return loss.reshape(())


class Features(OwnPrecision, nn.Cell):
    """Squared distances of a student's features from a teacher's, each relative to the teacher's."""

    def construct(self, said: Any, wanted: Any) -> ms.Tensor:
        """Of two tuples (logits, features, ...): the sum over the features, a scalar in float32."""
        if not isinstance(said, tuple) or not isinstance(wanted, tuple) or len(said) != len(wanted) or len(said) < 2:
            raise ValueError("with 'feature_weight', student and teacher must return tuples of the same length, "
                             "(logits, features, ...).")
        total = ops.zeros((), ms.float32)
        for k in range(1, len(said)):
            if said[k].shape != wanted[k].shape:
                raise ValueError(f"features {k} have shape {said[k].shape} in the student and {wanted[k].shape} in the "
                                 "teacher. Take features of places that keep their width, such as the residual "
                                 "stream with residual='keep'.")
            target = ops.stop_gradient(wanted[k]).astype(ms.float32)
            distance = ((said[k].astype(ms.float32) - target)**2).sum()
            total = total + distance / ops.maximum((target**2).sum(), ms.Tensor(1e-12, ms.float32))
        return total


def _in_float32(outputs: Any) -> Any:
    """An output, or each of several, in float32 where it is a half."""
    if isinstance(outputs, (tuple, list)):
        converted = ()
        for item in outputs:
            converted = converted + (_in_float32(item),)  # type: ignore[assignment]
        return converted
    if isinstance(outputs, dict):
        entries = {}
        for key in outputs.keys():  # noqa: SIM118 - Graph mode
            entries[key] = _in_float32(outputs[key])
        return entries
    if outputs.dtype in (ms.float16, ms.bfloat16):
        return outputs.astype(ms.float32)
    return outputs
