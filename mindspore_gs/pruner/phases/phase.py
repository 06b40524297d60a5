"""What all phases have in common: a network and a pruner at the beginning, a masked network at the end."""

import numpy as np
from mindspore import nn
from mindspore.train import Callback

from mindspore_gs._cells import parameters_by_name, remember_names
from mindspore_gs._precision import precision_of, restore_precision
from mindspore_gs.comp_algo import check_cell
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import Group
from mindspore_gs.masks.trial import check_trainable
from mindspore_gs.pruner.channel import ChannelPruner
from mindspore_gs.pruner.phases.entries import Entries


class Phase:
    """A phase of training that ends in a masked network.

    It traces the network once, when it begins. The groups of channels that the pruner may remove are what it works on,
    and :meth:`finish` masks them without a second trace.

    Args:
        network: the network, trained or not. It stays as it is; train it on.
        pruner: a :class:`~mindspore_gs.ChannelPruner`, whose options say which channels may go, how many, and by which
            criterion.

    Attributes:
        network: the network.
        graph: its channel graph.
        groups: the groups that may lose channels.

    Raises:
        TypeError: ``network`` is not a Cell, or ``pruner`` is no ``ChannelPruner``.
        PruningError: the network cannot be pruned, or has masks already.
    """

    def __init__(self, network: nn.Cell, pruner: ChannelPruner):
        self._check_pruner(pruner)
        check_cell(pruner, network)
        self.network, self.pruner = network, pruner
        self.graph, self.residual, self.groups = pruner.prepare(network)
        check_trainable(network, self.graph, self.groups)
        remember_names(network)
        self._parameters = parameters_by_name(network)
        self._precision, self._over = precision_of(network), False

    def _check_pruner(self, pruner: ChannelPruner) -> None:
        """Refuse a pruner that the phase cannot work with."""
        if type(pruner) is not ChannelPruner:
            raise TypeError(f"For '{type(self).__name__}', the 'pruner' must be a ChannelPruner, but got "
                            f"'{type(pruner).__name__}'. Give one, such as ChannelPruner(prune_rate=0.5).")

    def callbacks(self) -> list[Callback]:
        """Callbacks that carry the phase out in ``Model.train``."""
        raise NotImplementedError

    def finish(self) -> nn.Cell:
        """End the phase: mask the channels that the pruner's criterion and target choose now.

        What mixed precision has set on the network is undone, since ``Model`` sets it again for the masked network.

        Returns:
            The network, masked. Train it on, or give it to the pruner's ``convert``.

        Raises:
            PruningError: the phase is over already, or the target cannot be met.
        """
        self._check_going_on()
        restore_precision(self.network, self._precision)
        masked = self.pruner._masked(self.network, self.graph, self.residual, self.groups, self._choice())
        self._over = True
        return masked

    def _choice(self) -> dict[Group, np.ndarray]:
        """Truth value per channel of each group: whether it stays."""
        return self.pruner._choose(self.network, self.graph, self.groups, {})

    def _check_going_on(self) -> None:
        if self._over:
            raise PruningError(f"this {type(self).__name__} is over, and its network is masked; go on with the "
                               "network, or begin a phase with a new one.")

    def _norms(self, entries: Entries) -> dict[Group, np.ndarray]:
        names = {name for name, _ in entries.axes}
        values = {name: self._parameters[name].float().asnumpy() for name in names}
        return entries.by_group(entries.norms(values))
