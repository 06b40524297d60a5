"""Numbers that are no numbers: found by the first call that reads a network or a file, and named."""

import os
from collections.abc import Iterator, Mapping

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import owners_by_name, parameters_by_name
from mindspore_gs._mixin import is_mindspores
from mindspore_gs.errors import CheckpointError, PruningError
from mindspore_gs.norms import batch_norms


def check_finite(net: nn.Cell, owner: str) -> None:
    """Refuse a network with a NaN, an infinite weight or statistic, or a negative variance.

    A parameter that is not trained and belongs to a cell of the user's own may be infinite: attention adds minus
    infinity where it must not look.

    Args:
        net: the network.
        owner: who asks, for messages, such as ``"save_pruned()"``.

    Raises:
        PruningError: names the parameter, and says how many of its values are wrong.
    """
    for name, wrong in _wrong_numbers(net, parameters_by_name(net)):
        raise PruningError(f"{owner}: {name!r} of {type(net).__name__} {wrong}. The training before has diverged, or a "
                           "damaged file was loaded: load the last good checkpoint, and train on with a lower learning "
                           "rate.")


def check_finite_values(net: nn.Cell, values: Mapping[str, ms.Tensor], path: str | os.PathLike) -> None:
    """Refuse a file with such numbers, as :func:`check_finite` refuses a network, before ``net`` takes them.

    Args:
        net: the network that the values are for.
        values: a value for each of its parameters, by the constructor's name.
        path: the file, for messages.

    Raises:
        CheckpointError: names the entry, and says how many of its values are wrong.
    """
    for name, wrong in _wrong_numbers(net, values):
        raise CheckpointError(f"{path}: {name!r} {wrong}. The training before has diverged: take an earlier "
                              "checkpoint, and train on with a lower learning rate.")


def _wrong_numbers(net: nn.Cell, values: Mapping[str, ms.Tensor]) -> Iterator[tuple[str, str]]:
    """The parameters with wrong numbers, and what is wrong."""
    variances = {id(norm.variance) for norm in batch_norms(net).values()}
    parameters = parameters_by_name(net)
    for name, holders in owners_by_name(net).items():
        parameter, cell = parameters[name], holders[0][1]
        free = not parameter.requires_grad and not is_mindspores(cell)
        wrong = _wrong(values[name], id(parameter) in variances, free)
        if wrong:
            yield name, wrong


def _wrong(value: ms.Tensor, variance: bool, infinite_allowed: bool) -> str:
    """What is wrong with some of the numbers, or nothing."""
    if not value.is_floating_point() or not value.size:
        return ""
    numbers = value.float().asnumpy() if value.dtype == ms.bfloat16 else value.asnumpy()
    bad = np.isnan(numbers) if infinite_allowed else ~np.isfinite(numbers)
    if bad.any():
        kinds = " and ".join(kind for kind, found in (("NaN", np.isnan(numbers)), ("infinite", np.isinf(numbers)))
                             if found.any())
        return f"has {int(bad.sum())} of {numbers.size} values that are {kinds}"
    if variance and (numbers < 0).any():
        return f"is a variance, but has {int((numbers < 0).sum())} of {numbers.size} values below 0"
    return ""
