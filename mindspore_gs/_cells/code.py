"""Which names occur in the code of a user's cells, and what it compares."""

import dis
import inspect
from typing import Any

from mindspore import nn

_SIZES = frozenset({"shape", "size", "dim", "channels", "in_channels", "out_channels", "num_features"})
_CHOICES = frozenset({"min", "max"})
_COMPARISONS = frozenset({"COMPARE_OP", "CONTAINS_OP"})


def names_in(value: Any) -> frozenset[str]:
    """The names of globals and attributes in the code of a function or a property; none for anything else."""
    value = value.fget if isinstance(value, property) else value
    code = getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None
    return frozenset(code.co_names) if code is not None else frozenset()


def compares_sizes(cell: nn.Cell) -> bool:
    """Whether a method of the user's asks for sizes and compares something: other widths may take another way there."""
    return any(names_in(value) & _SIZES and (names_in(value) & _CHOICES or _compares(value))
               for value in _methods(cell))


def _compares(value: Any) -> bool:
    value = value.fget if isinstance(value, property) else value
    code = getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None
    return code is not None and any(step.opname in _COMPARISONS for step in dis.get_instructions(code))


def names_in_methods(cell: nn.Cell) -> frozenset[str]:
    """The names in the code of a cell's methods, but for ``__init__`` and what MindSpore and this package put there."""
    return frozenset().union(*map(names_in, _methods(cell)))


def _methods(cell: nn.Cell) -> list[Any]:
    values = [value for kind in type(cell).__mro__ for name, value in vars(kind).items() if name != "__init__"]
    return [value for value in values if not _module_of(value).startswith("mindspore")]


def _module_of(value: Any) -> str:
    return getattr(value.fget if isinstance(value, property) else value, "__module__", None) or ""
