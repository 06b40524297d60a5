"""JointRD: train a network without shortcuts with the help of the one that has them."""

from collections.abc import Callable, Sequence
from math import cos, inf, pi
from typing import Any

import mindspore as ms
from mindspore import nn
from mindspore.train import Callback

from mindspore_gs._cells import copy_network, get_cell
from mindspore_gs._precision import OwnPrecision, precision_by_path, restore_by_path
from mindspore_gs.distill.dirac import add_identity, settle
from mindspore_gs.distill.frozen import check_networks, check_number, frozen_copy
from mindspore_gs.distill.margin_relu import MarginReLULoss, margins
from mindspore_gs.distill.plain import Block, Residual, check_projection, copies, straightened, take_apart
from mindspore_gs.distill.soft_targets import SoftTargets
from mindspore_gs.distill.teacher import HardTargets
from mindspore_gs.distill.teacher_step import TeacherStep
from mindspore_gs.errors import PruningError
from mindspore_gs.norms import batch_norm


class JointRD(OwnPrecision, nn.Cell):
    r"""A network without shortcuts with its loss, to which the residual network it comes from contributes.

    .. math:: \frac{1}{K + 1} \Big(L(s(x), y) + m \sum_{k=1}^{K} L(t_k(s_k(x)), y)\Big) + \frac{w}{N} \sum_k d_k

    :math:`s_k` is the student up to block :math:`k` and :math:`t_k` the teacher from there on, so that each part of
    the student learns from gradients that went through shortcuts. :math:`d_k` is the distance of the features in front
    of the activation (:class:`~mindspore_gs.distill.margin_relu.MarginReLULoss`), N the batch. :math:`m` falls from 1
    to ``final`` in the first part of the training. With ``kl`` :math:`a` the student's own loss is
    :math:`(1 - a) L + a T^2 \mathrm{KL}`. Source: Li et al., Residual Distillation: Towards Portable Deep Neural
    Networks without Shortcuts, NeurIPS 2020.

    The cell is what ``Model`` takes as a network with its loss; give ``callbacks()`` to ``train``. In a loop of
    your own call :meth:`at` at each step. The teacher is copied. The copy is in evaluation mode and in no list of
    parameters, and what reaches it through the mixed paths is dropped. When training is over, :meth:`convert`
    gives the student.

    Args:
        teacher: the trained residual network; it stays as it is.
        loss_fn: the loss of the task, a Cell or a function of (logits, label) that returns a scalar.
        input_shape: shape of the input, such as (1, 3, 32, 32). Default: guessed.
        blocks: behind which blocks the paths meet: "stages" (default) for the last block of each size, "all", or
            their numbers, counted from 0 in order of execution.
        feature_weight: :math:`w`, at least 0. Default: 1e-4. With 0 there are no connectors.
        final: what :math:`m` falls to, in [0, 1]. Default: 0.5, for CIFAR; the authors take 5e-3 for ImageNet.
        falling: share of the training in which it falls, in (0, 1]. Default: 0.3.
        kl: :math:`a`, in [0, 1]. Default: 0; the authors take 0.9.
        temperature: T, above 0. Default: 4.
        projection: "keep" (default) or "drop", see :func:`plain_network`.
        dirac: whether kernels of removed shortcuts contain the identity while they are trained. Default: False.
        student: True (default) starts with the weights of the teacher. Otherwise a residual network of the same
            kind whose weights the student starts with, such as a new one.

    Inputs:
        The input of the network, then the label.

    Outputs:
        Scalar, the loss in float32.

    Raises:
        TypeError: ``teacher`` is not a Cell, ``loss_fn`` cannot be called, or an option has the wrong type.
        ValueError: an option is out of range.
        TraceError: the teacher cannot be traced.
        PruningError: it cannot be taken apart (see :func:`plain_network`), or the paths cannot meet at a block.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs.distill import JointRD
        >>> class Net(nn.Cell):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.stem, self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)
        ...         self.head = nn.Dense(8, 4)
        ...
        ...     def construct(self, x):
        ...         x = self.stem(x)
        ...         return self.head((x + self.norm(self.conv(x))).mean((2, 3)))
        >>> joint = JointRD(Net(), nn.CrossEntropyLoss(), (1, 3, 8, 8))
        >>> [(block.layers, block.width) for block in joint.blocks]
        [(('conv', 'norm'), 8)]
        >>> type(joint.convert()).__name__
        'Net'
    """

    def __init__(self, teacher: nn.Cell, loss_fn: Callable[[Any, Any], Any],
                 input_shape: tuple[int, ...] | None = None, *, blocks: str | Sequence[int] = "stages",
                 feature_weight: float = 1e-4, final: float = 0.5, falling: float = 0.3, kl: float = 0.0,
                 temperature: float = 4.0, projection: str = "keep", dirac: bool = False,
                 student: nn.Cell | bool = True):
        super().__init__(auto_prefix=False)
        owner = type(self).__name__
        check_networks(owner, teacher=teacher)
        if not callable(loss_fn):
            raise TypeError(f"For '{owner}', the 'loss_fn' must be a Cell or a function of (logits, label), but got "
                            f"'{type(loss_fn).__name__}'.")
        self.feature_weight = check_number(owner, "feature_weight", feature_weight, 0, inf)
        self.final = check_number(owner, "final", final, 0, 1)
        self.falling = check_number(owner, "falling", falling, 0, 1, open_below=True)
        self.kl = check_number(owner, "kl", kl, 0, 1)
        self.soft = SoftTargets(check_number(owner, "temperature", temperature, 0, inf, open_below=True))
        self.task = HardTargets(loss_fn)
        check_projection(owner, projection)
        residual = take_apart(teacher, input_shape, "JointRD()")
        self.blocks = _chosen(owner, residual, blocks)
        self.student = straightened(_start(owner, teacher, student), residual, projection)
        if dirac:
            add_identity(self.student, [path for block in residual.blocks if block.identity for path in block.layers])
        self._build(residual, projection, teacher, loss_fn)
        self._precision = precision_by_path(self.student)

    def _build(self, residual: Residual, projection: str, teacher: nn.Cell, loss_fn: Any) -> None:
        """The parts of both networks between the blocks."""
        twin = frozen_copy(teacher, "teacher.")
        ends, sums = tuple(b.end for b in self.blocks), tuple(b.sum for b in self.blocks)
        plain, whole = residual.plain(projection), residual.program
        distances = [MarginReLULoss(block.width, margins(_last_norm(teacher, block)))
                     for block in (self.blocks if self.feature_weight > 0 else ())]
        self.distances = nn.CellList(distances)
        self.paths = len(self.blocks)
        self._student = (copies(plain).cell(self.student, (plain.output, *ends, *sums)),)
        self._teacher = (copies(whole).cell(twin, (whole.output, *sums)),)
        self._rests = tuple(_rest(residual, twin, block) for block in self.blocks)
        self._held = (twin, loss_fn)
        self.m = ms.Parameter(ms.Tensor(1.0, ms.float32), name="joint_m", requires_grad=False)

    @property
    def teacher(self) -> nn.Cell:
        """The copy of the teacher, frozen but for :meth:`teacher_step`."""
        return self._held[0]

    def construct(self, x: ms.Tensor, label: ms.Tensor) -> ms.Tensor:
        """The loss of a batch."""
        said = self._student[0](x)
        loss = self.task(said[0], label)
        wanted: Any = ()
        if self.feature_weight > 0 or self.kl > 0:
            wanted = self._teacher[0](x)
        if self.kl > 0:
            loss = (1 - self.kl) * loss + self.kl * self.soft(said[0], wanted[0])
        for k in range(self.paths):
            loss = loss + self.m * self.task(self._rests[k](said[1 + k])[0], label)
        loss = loss / (self.paths + 1)
        if self.feature_weight > 0:
            for k in range(self.paths):
                distance = self.distances[k](said[1 + self.paths + k], wanted[1 + k])
                loss = loss + self.feature_weight * distance
        return loss

    def share_of_mixed_paths(self, progress: float) -> float:
        r"""m at a point of the training.

        :math:`f + (1 - f) (1 + \cos(\pi p / q)) / 2` up to progress :math:`q`, then :math:`f`, with f ``final`` and q
        ``falling``.

        Args:
            progress: share of the training that is over, in [0, 1].
        """
        rest = 0.0 if progress >= self.falling else (1 + cos(pi * progress / self.falling)) / 2
        return self.final + (1 - self.final) * rest

    def at(self, progress: float) -> None:
        """Set m for the next step.

        Args:
            progress: share of the training that is over: step / number of all steps.

        Raises:
            TypeError: it is no number.
            ValueError: it is negative or not finite.
        """
        check_number(type(self).__name__, "progress", progress, 0, inf)
        self.m.set_data(ms.Tensor(self.share_of_mixed_paths(progress), ms.float32))

    def teacher_step(self, optimizer: nn.Optimizer) -> TeacherStep:
        """A step of the teacher's own, for a teacher that goes on learning: call it with each batch.

        Args:
            optimizer: made for ``joint.teacher.get_parameters()``, or for those of them that are to be trained.
        """
        return TeacherStep(self.teacher, self._held[1], optimizer)

    def callbacks(self, teacher_optimizer: nn.Optimizer | None = None) -> list[Callback]:
        """For ``Model.train``: sets m at each step, and has the teacher take its own step where it has an optimizer.

        A training that goes on from a checkpoint of this cell says so with ``Model.train(..., initial_epoch=...)``, and
        m is that of the whole training.

        Args:
            teacher_optimizer: as in :meth:`teacher_step`; needs ``dataset_sink_mode=False``. Default: frozen.
        """
        return [_Schedule(self, None if teacher_optimizer is None else self.teacher_step(teacher_optimizer))]

    def convert(self) -> nn.Cell:
        """The student as a network of its own: a copy with plain cells, without teacher, connectors and dirac.

        What mixed precision has set on the student since is not on the copy.
        """
        twin = copy_network(self.student)
        restore_by_path(twin, self._precision)
        return settle(twin)


class _Schedule(Callback):
    """Sets m and trains the teacher."""

    def __init__(self, joint: JointRD, step: TeacherStep | None):
        super().__init__()
        self.joint, self.step, self.first_epoch = joint, step, 0

    def on_train_begin(self, run_context: Any) -> None:
        """Forget the last training."""
        self.first_epoch = 0

    def on_train_step_begin(self, run_context: Any) -> None:
        """Before each step; in sink mode, before each epoch."""
        state = run_context.original_args()
        self.first_epoch = self.first_epoch or state.cur_epoch_num
        epochs = self.first_epoch - 1 + state.epoch_num  # MindSpore's number is without those before initial_epoch
        in_epoch = 0 if state.dataset_sink_mode else (state.cur_step_num - 1) % state.batch_num
        self.joint.at((state.cur_epoch_num - 1 + in_epoch / state.batch_num) / epochs)
        if self.step is not None:
            if state.dataset_sink_mode:
                raise PruningError("the teacher sees each batch only with dataset_sink_mode=False; pass that to "
                                   "Model.train, or leave 'teacher_optimizer' out.")
            self.step(*state.train_dataset_element)


def _chosen(owner: str, residual: Residual, wanted: Any) -> tuple[Block, ...]:
    """The blocks that are wanted."""
    blocks = residual.blocks
    if wanted == "all":
        return blocks
    if wanted == "stages":
        return tuple(b for k, b in enumerate(blocks) if k + 1 == len(blocks) or blocks[k + 1].size != b.size)
    numbers = list(wanted) if isinstance(wanted, (list, tuple)) else []
    if not numbers or not all(isinstance(k, int) and not isinstance(k, bool) and 0 <= k < len(blocks) for k in numbers):
        raise ValueError(f"For '{owner}', the 'blocks' must be 'stages', 'all' or numbers from 0 to {len(blocks) - 1}, "
                         f"but got {wanted!r}.")
    return tuple(blocks[k] for k in sorted(set(numbers)))


def _start(owner: str, teacher: nn.Cell, student: Any) -> nn.Cell:
    """The network whose weights the student starts with."""
    if student is True:
        return teacher
    check_networks(owner, student=student, teacher=teacher)
    shapes = [{p.name: p.shape for p in net.get_parameters()} for net in (student, teacher)]
    if type(student) is not type(teacher) or shapes[0] != shapes[1]:
        raise ValueError(f"For '{owner}', the 'student' must be another {type(teacher).__name__} with parameters of "
                         "the same names and shapes. Build it with the constructor of the teacher.")
    return student


def _rest(residual: Residual, twin: nn.Cell, block: Block) -> nn.Cell:
    """The teacher from a block on."""
    program = copies(residual.program)
    try:
        return program.cell(twin, (program.output,), block.end)
    except PruningError as error:
        raise PruningError(f"the paths cannot meet behind the block of {block.layers[0]!r}: {error} Leave this block "
                           "out of 'blocks'.") from error


def _last_norm(teacher: nn.Cell, block: Block) -> Any:
    """The BatchNorm that ends the main path of a block."""
    norm = batch_norm(get_cell(teacher, block.layers[-1]))
    if norm is None:
        raise PruningError(f"the block of {block.layers[0]!r} ends in {block.layers[-1]!r}, which is no BatchNorm, so "
                           "there are no margins for its features. Give feature_weight=0.")
    return norm
