"""The command line: ``mindspore-gs``. Nothing else in the package imports it."""

import sys


def main() -> None:
    """Entry point of ``mindspore-gs`` and ``python -m mindspore_gs``; says what to install when click is missing."""
    try:
        import click  # noqa: F401
    except ImportError:
        sys.exit("error: the command line needs click: pip install 'mindspore-gs-pruner[cli]'")
    from mindspore_gs.cli.commands import commands

    commands(prog_name="mindspore-gs")
