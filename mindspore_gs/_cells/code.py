"""Which names occur in the code of a user's cells."""

import inspect
from typing import Any

from mindspore import nn


def names_in(value: Any) -> frozenset[str]:
    """The names of globals and attributes in the code of a function or a property; none for anything else."""
    value = value.fget if isinstance(value, property) else value
    code = getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None
    return frozenset(code.co_names) if code is not None else frozenset()


def names_in_methods(cell: nn.Cell) -> frozenset[str]:
    """The names in the code of a cell's methods, but for ``__init__`` and what MindSpore and this package put there."""
    values = [value for kind in type(cell).__mro__ for name, value in vars(kind).items() if name != "__init__"]
    return frozenset().union(*(names_in(value) for value in values if not _module_of(value).startswith("mindspore")))


def _module_of(value: Any) -> str:
    return getattr(value.fget if isinstance(value, property) else value, "__module__", None) or ""
