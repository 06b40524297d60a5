"""Let a program that holds networks end without MindSpore's tracebacks.

``Cell.__del__`` releases compiled graphs and counts down the cells, with objects that it finds in the globals of its
module. When the interpreter ends, it takes the modules out of ``sys.modules``; those that something still refers to (a
test runner, a debugger, an extension) are emptied, the latest import first. Networks in a module that was imported
before MindSpore's die after that, and each of their cells prints an AttributeError: the globals are None by then.

At that point there is nothing left to release: MindSpore has let go of its graphs in a handler of its own. So, once the
program is over and before modules are emptied, cells die without it. Whatever else fails is reported as ever.
"""

import atexit

from mindspore import nn


def _die_quietly(cell: nn.Cell) -> None:
    """What a cell does as it dies after the end of the program: nothing."""


def _leave_nothing_to_release() -> None:
    nn.Cell.__del__ = _die_quietly


def register() -> None:
    """Have it done when the interpreter ends. A second call changes nothing."""
    atexit.unregister(_leave_nothing_to_release)
    atexit.register(_leave_nothing_to_release)
