"""Soft pruning: filters are set to zero after each epoch, and may come back."""

from collections.abc import Iterator
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.train import Callback

from mindspore_gs._config import positive
from mindspore_gs.graph import Group, Role
from mindspore_gs.pruner.channel import ChannelPruner
from mindspore_gs.pruner.phases.phase import Phase


class SoftPruning(Phase):
    """Set the filters of the channels with the lowest scores to zero after each epoch, and train all of them on.

    The filters of all layers that make a channel are set to zero together. In the next epoch they get gradients like
    all others, so a channel that was set to zero by mistake can come back and another one goes instead. Biases and
    BatchNorms are left alone, as in the paper: with them at zero too, no gradient would arrive any more.
    :meth:`finish` masks the channels of the last time for good.

    Source: He et al., Soft Filter Pruning for Accelerating Deep Convolutional Neural Networks, IJCAI 2018.

    Args:
        network: the network, trained or not.
        pruner: says which channels may go, how many, and by which criterion; the paper takes ``criterion="l2"`` and
            one ``prune_rate`` for all layers.
        every: after how many epochs, at least 1. Default: 1.

    Raises:
        TypeError, ValueError: an argument has the wrong type or is out of range.
        PruningError: as :class:`Phase`.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs import ChannelPruner
        >>> from mindspore_gs.pruner.phases import SoftPruning
        >>> net = nn.SequentialCell(nn.Dense(4, 3), nn.ReLU(), nn.Dense(3, 2))
        >>> soft = SoftPruning(net, ChannelPruner(criterion="l2", prune_rate=0.4, input_shape=(1, 4)))
        >>> [int(keep.sum()) for keep in soft.prune().values()]           # after each epoch
        [2]
        >>> int((abs(net[0].weight.asnumpy()).sum(axis=1) == 0).sum())
        1
        >>> soft.pruner.convert(soft.finish())[0].weight.shape
        (2, 4)
    """

    def __init__(self, network: nn.Cell, pruner: ChannelPruner, every: int = 1):
        every = positive(type(self).__name__, "every", every)
        super().__init__(network, pruner)
        self.every = every
        self.chosen: dict[Group, np.ndarray] | None = None

    def _check_pruner(self, pruner: ChannelPruner) -> None:
        super()._check_pruner(pruner)
        if isinstance(pruner._config.data, Iterator):
            raise ValueError("For 'SoftPruning', the pruner reads its 'data' after each epoch, but an iterator can be "
                             "read only once; give it a list of batches or a mindspore.dataset.")

    def prune(self) -> dict[Group, np.ndarray]:
        """Choose, and set the filters to zero: the one line that a training loop of your own needs after each epoch.

        Returns:
            For each group, one truth value per channel: whether it stays. It is ``chosen`` from then on.

        Raises:
            PruningError: the phase is over, or the target cannot be met.
        """
        self._check_going_on()
        self.chosen = super()._choice()
        for group, stays in self.chosen.items():
            for part in group.slices:
                if part.role is Role.FILTER:
                    _zero(self._parameters[part.parameter], part.axis, part.indices[~stays].reshape(-1))
        return self.chosen

    def callbacks(self) -> list[Callback]:
        """For ``Model.train``: prunes at the end of each epoch. Put them in front of a ``ModelCheckpoint``."""
        return [_EachEpoch(self)]

    def _choice(self) -> dict[Group, np.ndarray]:
        return super()._choice() if self.chosen is None else self.chosen


class _EachEpoch(Callback):
    """Prunes at the end of epochs."""

    def __init__(self, phase: SoftPruning):
        super().__init__()
        self._phase = phase

    def on_train_epoch_end(self, run_context: Any) -> None:
        """Prune, every so many epochs."""
        if run_context.original_args().cur_epoch_num % self._phase.every == 0:
            self._phase.prune()


def _zero(parameter: ms.Parameter, axis: int, positions: np.ndarray) -> None:
    """With assign: in PyNative mode an optimizer that has run already would go on with the data before set_data."""
    values = parameter.float().asnumpy().copy()
    np.moveaxis(values, axis, 0)[positions] = 0
    ms.ops.assign(parameter, ms.Tensor(values).astype(parameter.dtype))
