"""Phases that act at each step: a penalty that is put into the optimizer."""

from math import inf
from typing import Any

import numpy as np
from mindspore import nn
from mindspore.train import Callback

from mindspore_gs.errors import PruningError
from mindspore_gs.graph import Group
from mindspore_gs.pruner.channel import ChannelPruner
from mindspore_gs.pruner.optimizers import optimizer_of
from mindspore_gs.pruner.phases.entries import Entries
from mindspore_gs.pruner.phases.optimizer import is_in, put_in, take_off
from mindspore_gs.pruner.phases.penalty import Penalty
from mindspore_gs.pruner.phases.phase import Phase


class StepwisePhase(Phase):
    """A phase with a penalty, which acts in the optimizer.

    As a gradient it is added to the gradients of the loss before the optimizer sees them. As a proximal step it acts on
    the weights after the optimizer's step. Either way it is part of the step that MindSpore compiles.

    Args:
        network: as in :class:`Phase`.
        pruner: as in :class:`Phase`.
        proximal: proximal step (True) or gradient (False).
    """

    penalty: Penalty

    def __init__(self, network: nn.Cell, pruner: ChannelPruner, proximal: bool):
        if not isinstance(proximal, bool):
            raise TypeError(f"For '{type(self).__name__}', the 'proximal' must be 'bool', but got "
                            f"'{type(proximal).__name__}'.")
        super().__init__(network, pruner)
        self._entries: Entries
        self._optimizer: Any = None

    def norms(self) -> dict[Group, np.ndarray]:
        """The norm of each channel now, as the penalty sees it: shape (channels,) for each group that it acts on."""
        return self._norms(self._entries)

    def add_to(self, optimizer: nn.Cell) -> nn.Cell:
        """Put the penalty into an optimizer, in place: the one line that a training loop of your own needs.

        From then on ``optimizer(gradients)`` takes the penalty along, in Graph and in PyNative mode.

        Args:
            optimizer: of ``mindspore.nn``, ``mindspore.mint`` or ``mindspore.experimental``, or one of your own: a
                Cell with ``parameters`` that is called with their gradients.

        Returns:
            The same optimizer.

        Raises:
            TypeError: it is not such a Cell.
            PruningError: it has a penalty already, does not have all the parameters that the penalty acts on, or the
                proximal step cannot know its learning rate; or the phase is over.
        """
        self._check_going_on()
        parameters = getattr(optimizer, "parameters", None)
        if not isinstance(optimizer, nn.Cell) or parameters is None:
            raise TypeError(f"For '{type(self).__name__}', the optimizer must be a Cell with 'parameters', such as "
                            f"nn.Momentum(...), but got '{type(optimizer).__name__}'.")
        if self._optimizer is not None or is_in(optimizer):
            raise PruningError(f"this {type(optimizer).__name__} or this {type(self).__name__} is in use: an optimizer "
                               "takes one penalty, and a phase one optimizer. Call remove() of the phase first.")
        places = self._places(optimizer, list(parameters))
        self.penalty.bind(self._entries, places, {name: self._parameters[name].shape for name in places})
        put_in(optimizer, self.penalty)
        self._optimizer = optimizer
        return optimizer

    def remove(self) -> None:
        """Take the penalty out of the optimizer again; what it has counted stays with the phase."""
        if self._optimizer is not None:
            take_off(self._optimizer)
            self._optimizer = None

    def callbacks(self) -> list[Callback]:
        """For ``Model.train``: the penalty is in the optimizer as long as the training runs."""
        return [_InOptimizer(self)]

    def finish(self) -> nn.Cell:
        """As :meth:`Phase.finish`; the optimizer is as it was before."""
        self.remove()
        return super().finish()

    def _places(self, optimizer: nn.Cell, parameters: list[Any]) -> dict[str, int]:
        """Where the parameters that the penalty acts on are in the optimizer."""
        known = {id(parameter): k for k, parameter in enumerate(parameters)}
        names = [name for name, _ in self._entries.axes]
        missing = [name for name in names if id(self._parameters[name]) not in known]
        if missing:
            raise PruningError(f"this {type(optimizer).__name__} does not train {missing[0]!r}, on which "
                               f"{type(self).__name__} acts ({len(missing)} of {len(names)} parameters are missing). "
                               "Make it from the network's trainable_params(), unfreeze the layers, or give their "
                               "names to the pruner as 'ignore'.")
        grouped = hasattr(optimizer, "param_groups")
        if self.penalty.proximal and not grouped and (getattr(optimizer, "learning_rate", None) is None
                                                      or type(optimizer).__name__ == "LARS"):
            raise PruningError(f"the proximal step takes the optimizer's learning rate, and {type(optimizer).__name__} "
                               "has one of its own for each layer, or none. Use proximal=False.")
        return {name: known[id(self._parameters[name])] for name in names}


class _InOptimizer(Callback):
    """Puts the penalty into the optimizer of a run, and takes it out again."""

    def __init__(self, phase: StepwisePhase):
        super().__init__()
        self._phase, self._mine = phase, False

    def on_train_begin(self, run_context: Any) -> None:
        """Put it in, unless the user has done so."""
        optimizer = optimizer_of(run_context.original_args())
        if optimizer is None:
            raise PruningError(f"{type(self._phase).__name__} does not find the optimizer of this run. Give it to the "
                               "Model, or call add_to(optimizer) of the phase yourself and leave its callbacks out.")
        if self._phase._optimizer is not optimizer:
            self._phase.add_to(optimizer)
            self._mine = True

    def on_train_end(self, run_context: Any) -> None:
        """Take it out."""
        self.__exit__()

    def __exit__(self, *error: Any) -> None:
        """``Model.train`` leaves here, also when a step has failed."""
        if self._mine:
            self._phase.remove()
            self._mine = False


def check_strength(owner: str, name: str, value: Any) -> float:
    """A number above 0.

    Raises:
        TypeError: it is no number.
        ValueError: it is not above 0, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"For '{owner}', the '{name}' must be a number, but got '{type(value).__name__}'.")
    if not 0 < value < inf:
        raise ValueError(f"For '{owner}', the '{name}' must be above 0 and finite, but got {value!r}.")
    return float(value)
