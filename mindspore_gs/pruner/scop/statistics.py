"""Let every BatchNorm of a network use its moving statistics in training mode too, and undo it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mindspore as ms
from mindspore import nn

from mindspore_gs._mixin import mix_in, take_out
from mindspore_gs.norms import fixed_training


class Frozen:
    """Mixed into the class of a cell that stays in evaluation mode, whatever ``set_train`` says."""

    training = fixed_training(False)


class FrozenInTraining:
    """Mixed into a BatchNorm that takes the batch's statistics always: in training mode it uses its moving ones.

    Evaluation does in the phase what it does outside. There are no knockoffs in the batch then.
    """

    @property
    def use_batch_statistics(self: Any) -> bool:
        """The switch that MindSpore's BatchNorm reads."""
        return not self.training

    @use_batch_statistics.setter
    def use_batch_statistics(self: Any, given: bool | None) -> None:
        """Remember what is set; it is there again behind the phase."""
        vars(self)["use_batch_statistics"] = given


def freeze_statistics(net: nn.Cell) -> list[tuple[nn.Cell, Any]]:
    """Freeze; returns what :func:`thaw_statistics` needs: each cell with its old setting."""
    changed: list[tuple[nn.Cell, Any]] = []
    for _, cell in net.cells_and_names():
        if getattr(cell, "use_batch_statistics", None) is True:
            changed.append((cell, FrozenInTraining))
            mix_in(cell, FrozenInTraining)
        elif hasattr(cell, "use_batch_statistics"):
            changed.append((cell, cell.use_batch_statistics))
            cell.use_batch_statistics = False
        elif _keeps_statistics(cell):
            changed.append((cell, Frozen))
            mix_in(cell, Frozen)
    return changed


def thaw_statistics(changed: list[tuple[nn.Cell, Any]]) -> None:
    """Undo :func:`freeze_statistics`."""
    for cell, setting in changed:
        if setting in (Frozen, FrozenInTraining):
            take_out(cell, setting)
        else:
            cell.use_batch_statistics = setting


@contextmanager
def statistics_frozen(net: nn.Cell) -> Iterator[None]:
    """:func:`freeze_statistics` for a while."""
    changed = freeze_statistics(net)
    try:
        yield
    finally:
        thaw_statistics(changed)


def _keeps_statistics(cell: nn.Cell) -> bool:
    """Whether a cell keeps a mean and a variance of its own: MindSpore's mint cells, and those that people write."""
    means = (getattr(cell, name, None) for name in ("running_mean", "moving_mean"))
    return not cell._cells and any(isinstance(mean, ms.Tensor) for mean in means)
