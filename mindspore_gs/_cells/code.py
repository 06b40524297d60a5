"""Which names occur in the code of a user's cells, and which are compared."""

import dis
import inspect
from collections.abc import Iterator
from functools import lru_cache
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


def compared_in_methods(cell: nn.Cell) -> frozenset[str]:
    """The names of attributes that stand right beside a ``==`` or ``!=`` in the code of a cell's methods.

    Only in methods that also ask for a shape.
    """
    kind: Any = type(cell)
    found: frozenset[str] = _compared_in(kind)
    return found


@lru_cache
def _compared_in(kind: Any) -> frozenset[str]:
    methods = [value for parent in kind.__mro__ for name, value in vars(parent).items()
               if name != "__init__" and not _module_of(value).startswith("mindspore") and "shape" in names_in(value)]
    methods = [value.fget if isinstance(value, property) else value for value in methods]
    return frozenset(name for method in methods for name in _compared(inspect.unwrap(method).__code__))


_OPERANDS = 6  # the most instructions that one comparison is away from the names in it: x.shape[1] == self.channels


def _compared(code: Any) -> Iterator[str]:
    before: list[Any] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "COMPARE_OP" and instruction.argval in ("==", "!="):
            yield from (each.argval for each in before[-_OPERANDS:] if each.opname == "LOAD_ATTR")
        before = [] if instruction.opname == "COMPARE_OP" or "JUMP" in instruction.opname else [*before, instruction]


def _module_of(value: Any) -> str:
    return getattr(value.fget if isinstance(value, property) else value, "__module__", None) or ""
