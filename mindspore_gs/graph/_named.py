"""Named tuples, which MindSpore exports from no network: a trace takes them for tuples, whose channels are the same."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mindspore import nn

from mindspore_gs.graph._plain import plain_tuple


@contextmanager
def as_plain_tuples(net: nn.Cell) -> Iterator[bool]:
    """Inside, code of the network's cells that makes a named tuple makes a tuple.

    Yields:
        Whether there is a class of named tuples in the modules of these cells.
    """
    modules = {kind.__module__ for _, cell in net.cells_and_names() for kind in type(cell).__mro__}
    found = [(vars(module), name, value) for module in map(sys.modules.get, modules) if module is not None
             for name, value in vars(module).items() if _is_named(value)]
    try:
        for names, name, _ in found:
            names[name] = plain_tuple
        yield bool(found)
    finally:
        for names, name, value in found:
            names[name] = value


def _is_named(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields")
