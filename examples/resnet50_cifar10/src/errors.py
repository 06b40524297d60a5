"""Errors of the user's input, and how a script ends on one."""
from __future__ import annotations

import sys
from collections.abc import Callable

from mindspore_gs.errors import PruningError


class InputError(ValueError):
    """Something the user gave is wrong; the message says what was got, the rule and the remedy."""


def run_script(main: Callable[[], None]) -> None:
    """Run `main`; an `InputError` or an error of mindspore_gs becomes one line on stderr and exit code 2.

    So does a file that cannot be read or written, with exit code 1.
    """
    try:
        main()
    except (InputError, PruningError) as error:
        line = " ".join(str(error).split())
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        raise SystemExit(1) from None
