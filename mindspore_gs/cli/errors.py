"""What the command line reports in one line."""


class CommandError(Exception):
    """A command cannot be carried out.

    Attributes:
        exit_code: 2 where the command was called wrongly, 1 where it failed.
    """

    def __init__(self, message: str, exit_code: int = 2):
        super().__init__(message)
        self.exit_code = exit_code
