"""What MindSpore writes about a failed compilation: a folder, and pages on the terminal."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms

from mindspore_gs._files import scratch_folder
from mindspore_gs._turns import whole_process

_VARIABLE = "MS_OM_PATH"
_STDERR = 2


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Where a failure is expected and gets an error of our own: nothing else of it reaches the user.

    MindSpore writes ``rank_0/om/analyze_fail.ir`` into a folder that is gone afterwards; it would lie in the user's
    current directory otherwise. A folder that the user has set (``MS_OM_PATH``) is used. What MindSpore prints on
    stderr is held back, and shown afterwards unless the block fails. An export that fails would leave MindSpore's
    strict syntax switched on, in which some networks of the user's no longer compile. One thread at a time does so.
    """
    with whole_process, _folder(), _errors_held_back(), _same_syntax():
        yield


@contextmanager
def _same_syntax() -> Iterator[None]:
    level = ms.get_context("jit_syntax_level")
    try:
        yield
    finally:
        ms.set_context(jit_syntax_level=level)


@contextmanager
def _folder() -> Iterator[None]:
    if _VARIABLE in os.environ:
        yield
        return
    with scratch_folder() as folder:
        os.environ[_VARIABLE] = str(folder)
        try:
            yield
        finally:
            os.environ.pop(_VARIABLE, None)


@contextmanager
def _errors_held_back() -> Iterator[None]:
    """MindSpore's C++ side writes to the file descriptor, not to ``sys.stderr``."""
    try:
        terminal = os.dup(_STDERR)
    except OSError:  # the process has none
        yield
        return
    failed = True
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(terminal, _STDERR)
            os.close(terminal)
            if not failed:
                held.seek(0)
                os.write(_STDERR, held.read())
