"""Optimizers that train nothing of the network that is trained: made before it was pruned, or for another one."""

from typing import Any

from mindspore import nn
from mindspore.train import Callback

from mindspore_gs.errors import PruningError
from mindspore_gs.pruner.boost import refuse_boosted_head
from mindspore_gs.pruner.overflow import check_loss


def check_optimizer(net: nn.Cell, optimizer: Any) -> None:
    """Refuse an optimizer that has none of the parameters of ``net`` that are to be trained.

    An algorithm makes parameters (scales), freezes others, and a slim network is a copy with parameters of its own.
    An optimizer that is older moves what it was made for: nothing that is used, or what should stay as it is.
    Parameters are compared as objects, so names do not matter.

    Args:
        net: the network that is trained.
        optimizer: its optimizer, of ``mindspore.nn`` or ``mindspore.mint``; None is accepted.

    Raises:
        PruningError: no parameter is in common.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs.pruner.optimizers import check_optimizer
        >>> net, other = nn.Dense(2, 3), nn.Dense(2, 3)
        >>> check_optimizer(net, nn.SGD(net.trainable_params()))
        >>> check_optimizer(net, nn.SGD(other.trainable_params()))
        Traceback (most recent call last):
        mindspore_gs.errors.PruningError: none of the 2 parameters of the SGD is one of the 2 trainable parameters ...
    """
    parameters = parameters_of(optimizer)
    trainable = net.trainable_params()
    if not parameters or {id(p) for p in parameters} & {id(p) for p in trainable}:
        return
    raise PruningError(f"none of the {len(parameters)} parameters of the {type(optimizer).__name__} is one of the "
                       f"{len(trainable)} trainable parameters of the {type(net).__name__}, so it would train nothing "
                       "that counts: it was made for another network, or before an algorithm was applied to this one. "
                       "Make it afterwards: optimizer = nn.Momentum(net.trainable_params(), ...), "
                       "and the Model or training step with it.")


def check_run(state: Any) -> None:
    """Refuse a run of ``Model.train`` that would train nothing that counts, or could not be converted afterwards.

    Args:
        state: what ``run_context.original_args()`` returns.

    Raises:
        PruningError: the optimizer is of another network, or boost has put another head into a masked one.
    """
    refuse_boosted_head(state.network)
    check_optimizer(state.network, optimizer_of(state))


class OptimizerCheck(Callback):
    """Refuse, before the first step of ``Model.train``, an optimizer that would train nothing of the network."""

    def on_train_begin(self, run_context: Any) -> None:
        """Check the optimizer that the run has."""
        check_run(run_context.original_args())

    def on_train_epoch_end(self, run_context: Any) -> None:
        """Refuse to go on with a loss that is NaN or infinite, and name the layer that it comes from."""
        check_loss(run_context.original_args())


def optimizer_of(state: Any) -> Any:
    """The optimizer of a training run, from a callback's ``run_context.original_args()``; None where it is unknown."""
    return state.get("optimizer") or getattr(state.get("train_network"), "optimizer", None)


def parameters_of(optimizer: Any) -> list[Any]:
    """The parameters that an optimizer trains; empty where they are unknown."""
    groups = getattr(optimizer, "param_groups", None)
    if groups:
        return [parameter for group in groups for parameter in group["params"]]
    return list(getattr(optimizer, "parameters", ()))
