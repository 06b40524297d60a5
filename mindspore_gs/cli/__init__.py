"""The command line: ``mindspore-gs``. Nothing else in the package imports it."""

import sys


def main() -> None:
    """Entry point of ``mindspore-gs`` and ``python -m mindspore_gs``; says what to install when click is missing."""
    try:
        import click  # noqa: F401
    except ImportError:
        _without_click(sys.argv[1:])
    from mindspore_gs.cli.commands import commands

    commands(prog_name="mindspore-gs")


_HELP = """Usage: mindspore-gs [doctor|export|inspect|prune|report|sensitivity] [OPTIONS]

Structured pruning for MindSpore. The commands need click: pip install 'mindspore-gs-pruner[cli]'
"""


def _without_click(arguments: list[str]) -> None:
    """Help and version are answered in any case."""
    if "--version" in arguments:
        from mindspore_gs import __version__

        print(f"mindspore-gs, version {__version__}")
    elif {"-h", "--help"} & set(arguments):
        print(_HELP, end="")
    else:
        sys.exit("error: the command line needs click: pip install 'mindspore-gs-pruner[cli]'")
    sys.exit(0)
