"""Mix a class into that of one cell, and take it out again."""

from typing import Any

from mindspore import nn


def mix_in(cell: nn.Cell, mixin: type, **attributes: Any) -> None:
    """Make ``cell`` an instance of its own class and of ``mixin``, which comes first."""
    kind = type(cell)
    cell.__class__ = type(kind.__name__, (mixin, kind), {"__module__": kind.__module__, "_mixed": (mixin, kind),
                                                         "__qualname__": kind.__qualname__, **attributes})


def has(cell: nn.Cell, mixin: type) -> bool:
    """Whether ``mixin`` has been mixed into the class of ``cell``."""
    return isinstance(cell, mixin) and "_mixed" in vars(type(cell))


def take_out(cell: nn.Cell, mixin: type) -> None:
    """Undo :func:`mix_in`."""
    mixed, kind = vars(type(cell))["_mixed"]
    assert mixed is mixin
    cell.__class__ = kind
