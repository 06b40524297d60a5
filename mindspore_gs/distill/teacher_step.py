"""A teacher that goes on learning beside its student."""

from typing import Any

import mindspore as ms
from mindspore import nn

from mindspore_gs._cells import every_cell
from mindspore_gs.errors import PruningError


class TeacherStep:
    """Trains a teacher on its own loss alone: no gradient of the student's paths reaches it.

    Args:
        teacher: the copy that the student's loss holds. Between the steps it is in evaluation mode.
        loss_fn: the loss of the task.
        optimizer: for parameters of ``teacher``.

    Raises:
        PruningError: the optimizer has none of the teacher's parameters.
    """

    def __init__(self, teacher: nn.Cell, loss_fn: Any, optimizer: nn.Optimizer):
        own = {id(parameter) for parameter in teacher.get_parameters()}
        if not any(id(parameter) in own for parameter in optimizer.parameters):
            raise PruningError("the optimizer has no parameter of the teacher's copy; make it with "
                               "list(joint.teacher.get_parameters()).")
        self.teacher = teacher
        for parameter in optimizer.parameters:
            parameter.requires_grad = True  # in PyNative mode there are no gradients without
        self.step = nn.TrainOneStepCell(_WithLoss(teacher, loss_fn), optimizer)

    def __call__(self, x: ms.Tensor, label: ms.Tensor) -> ms.Tensor:
        """Take one step on a batch; returns the teacher's loss."""
        self._switch(True)
        try:
            return self.step(x, label)
        finally:
            self._switch(False)

    def _switch(self, training: bool) -> None:
        for cell in every_cell(self.teacher):
            cell.set_train(training)


class _WithLoss(nn.Cell):
    """A network with its loss, whose names stay."""

    def __init__(self, net: nn.Cell, loss_fn: Any):
        super().__init__(auto_prefix=False)
        self.net, self._held = net, (loss_fn,)

    def construct(self, x: ms.Tensor, label: ms.Tensor) -> ms.Tensor:
        """The loss of a batch."""
        return self._held[0](self.net(x), label)
