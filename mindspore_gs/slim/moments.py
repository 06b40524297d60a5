"""Take an optimizer's memory along when channels go: momentum and Adam's moments are sliced as the weights are."""

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import constructor_names, parameters_by_name
from mindspore_gs.errors import PlanError
from mindspore_gs.slim.fits import check_made_by
from mindspore_gs.slim.plan import PrunePlan


def carry_moments(old: nn.Optimizer, new: nn.Optimizer, masked: nn.Cell, small: nn.Cell, plan: PrunePlan) -> int:
    """Give a slim network's optimizer the moments that the masked network's optimizer has gathered.

    A weight of shape :math:`(C_o, C_i, k, k)` has moments of the same shape, and what stays of the weight says what
    stays of them. Counters, such as Adam's powers of beta, are copied; the learning rate is not. Training goes on after
    ``convert`` as if nothing had happened.

    Args:
        old: the optimizer of ``masked``, such as ``nn.Momentum`` or ``nn.Adam``; it stays as it is.
        new: an optimizer of the same class for ``small``; its moments are set in place.
        masked: the masked network.
        small: what ``convert(masked)`` returned.
        plan: what stays: ``pruner.plan(masked)``.

    Returns:
        How many moments were carried over.

    Raises:
        TypeError: the optimizers are of different classes, or an argument is something else.
        PlanError: ``small`` was not made by ``plan``, or a moment does not fit; nothing has been changed.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs import ChannelPruner
        >>> from mindspore_gs.slim import carry_moments
        >>> pruner = ChannelPruner(prune_rate=0.5, input_shape=(1, 4))
        >>> masked = pruner.apply(nn.SequentialCell(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 2)))
        >>> small = pruner.convert(masked)
        >>> old, new = (nn.Momentum(net.trainable_params(), 0.1, 0.9) for net in (masked, small))
        >>> carry_moments(old, new, masked, small, pruner.plan(masked))
        4
    """
    for name, given, kind in (("old", old, nn.Optimizer), ("new", new, nn.Optimizer), ("masked", masked, nn.Cell),
                              ("small", small, nn.Cell), ("plan", plan, PrunePlan)):
        if not isinstance(given, kind):
            raise TypeError(f"for carry_moments(), {name!r} must be a {kind.__name__}, but got "
                            f"{type(given).__name__!r}.")
    if type(old) is not type(new):
        raise TypeError(f"carry_moments() takes two optimizers of one class, but got {type(old).__name__!r} and "
                        f"{type(new).__name__!r}.")
    check_made_by(small, plan)
    before, after = _moments(old, masked), _moments(new, small)
    values = {key: _sliced(before[key].asnumpy(), key[1], plan) for key in after if key in before}
    for key, value in values.items():
        if value.shape != tuple(after[key].shape):
            raise PlanError(f"{key[0]} of {key[1]!r} has shape {value.shape} for the slim network, which expects "
                            f"{tuple(after[key].shape)}; the plan is not that of these two networks.")
    for key, value in values.items():
        after[key].set_data(ms.Tensor(value, after[key].dtype))
    for name, counter in _counters(new).items():
        counter.set_data(ms.Tensor(_counters(old)[name].asnumpy(), counter.dtype))
    return len(values)


def _counters(optimizer: nn.Optimizer) -> dict[str, ms.Parameter]:
    """What an optimizer keeps beside weights, moments and the learning rate."""
    held = {name: getattr(optimizer, name, None) for name in ("beta1_power", "beta2_power", "global_step")}
    return {name: value for name, value in held.items() if isinstance(value, ms.Parameter)}


def _moments(optimizer: nn.Optimizer, net: nn.Cell) -> dict[tuple[str, str], ms.Parameter]:
    """The parameters of an optimizer that belong to weights, by (kind, the constructor's name of the weight)."""
    own = constructor_names(net)
    weights = {p.name: own[p.name] for p in optimizer.parameters if p.name in own}
    found = {}
    for parameter in optimizer.get_parameters():
        for present, name in weights.items():
            kind = parameter.name.removesuffix("." + present)
            if kind != parameter.name and "." not in kind:
                found[kind, name] = parameter
    shapes = {name: tuple(p.shape) for name, p in parameters_by_name(net).items()}
    return {key: p for key, p in found.items() if tuple(p.shape) == shapes[key[1]]}


def _sliced(values: np.ndarray, name: str, plan: PrunePlan) -> np.ndarray:
    for keep in plan.keeps:
        if keep.parameter == name:
            values = np.take(values, keep.indices, axis=keep.axis)
    return values
