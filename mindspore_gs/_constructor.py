"""The function of a user's that builds a network, for files that are read into it."""

import inspect
from typing import Any

from mindspore import nn


def check_constructor(caller: str, constructor: Any, kind: str) -> None:
    """Refuse what cannot be called without arguments.

    Args:
        caller: name of the function that takes it, such as ``"load_pruned"``.
        constructor: what the user gave.
        kind: which network it builds, such as ``"original"``.

    Raises:
        TypeError: it is no function, or wants arguments.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs._constructor import check_constructor
        >>> check_constructor("load_pruned", lambda: nn.Dense(3, 4), "original")
    """
    wanted = f"{caller}() takes a function that builds the {kind} network, such as 'lambda: resnet20()', but "
    if isinstance(constructor, nn.Cell) or not callable(constructor):
        raise TypeError(f"{wanted}got {type(constructor).__name__!r}.")
    try:
        signature = inspect.signature(constructor)
    except (TypeError, ValueError):  # a function written in C does not say what it wants
        return
    try:
        signature.bind()
    except TypeError as error:
        name = getattr(constructor, "__name__", type(constructor).__name__)
        raise TypeError(f"{wanted}{name!r} cannot be called without arguments: {error}. Give "
                        f"'lambda: {name}(...)'.") from error


def built_by(constructor: Any) -> nn.Cell:
    """What the constructor returns.

    Raises:
        TypeError: it is no Cell.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs._constructor import built_by
        >>> built_by(lambda: nn.Dense(3, 4)).weight.shape
        (4, 3)
    """
    net = constructor()
    if not isinstance(net, nn.Cell):
        raise TypeError(f"the constructor must return a mindspore.nn.Cell, but returned {type(net).__name__!r}.")
    return net
