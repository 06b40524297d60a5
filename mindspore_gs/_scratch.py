"""Where MindSpore puts what it writes about a failed compilation."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = "MS_OM_PATH"


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Let MindSpore write its ``rank_0/om/analyze_fail.ir`` into a folder that is gone afterwards.

    It would lie in the user's current directory otherwise. A folder that the user has set (``MS_OM_PATH``) is used.
    """
    if _VARIABLE in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ[_VARIABLE] = folder
        try:
            yield
        finally:
            os.environ.pop(_VARIABLE, None)
