"""What the command line reports in one line."""

import traceback
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def is_ours(error: BaseException) -> bool:
    """Whether a statement ``raise`` of this package has raised an error, so that its words are meant for users.

    What Python itself raises in the middle of other statements, and what other packages raise, is a fault in a program.
    """
    last = traceback.extract_tb(error.__traceback__)[-1]
    return _PACKAGE in Path(last.filename).resolve().parents and (last.line or "").startswith("raise ")


class CommandError(Exception):
    """A command cannot be carried out.

    Attributes:
        exit_code: 2 where the command was called wrongly, 1 where it failed.
    """

    def __init__(self, message: str, exit_code: int = 2):
        super().__init__(message)
        self.exit_code = exit_code
