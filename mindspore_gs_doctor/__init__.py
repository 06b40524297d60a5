"""The entry point of ``mindspore-gs``. It lies beside the package, so that it answers where that cannot be imported.

With NumPy 2, or with another package of the same name in front of it, ``import mindspore_gs`` fails. ``mindspore-gs
doctor`` says so.
"""

import argparse
import json
import sys
from contextlib import redirect_stdout


def main() -> None:
    """``mindspore-gs``: ``doctor`` by itself, every other command by the package."""
    if sys.argv[1:2] == ["doctor"]:
        sys.exit(doctor(sys.argv[2:]))
    try:
        from mindspore_gs.cli import main as commands
    except ImportError as error:
        sys.exit(f"error: {' '.join(str(error).split())} ('mindspore-gs doctor' looks for the cause.)")
    commands()


def doctor(arguments: list[str]) -> int:
    """Print what is found; 1 where there is a problem.

    Args:
        arguments: ``--json`` or nothing.
    """
    from mindspore_gs_doctor.checks import examine

    parser = argparse.ArgumentParser("mindspore-gs doctor", description="Look for what goes wrong with this "
                                     "installation or machine, and say what to do. Exit code 1: there is a problem.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    with redirect_stdout(sys.stderr):
        findings = examine()
    if options.json:
        print(json.dumps([finding.document() for finding in findings], indent=2))
    else:
        print("\n".join(finding.line() for finding in findings))
    return int(any(finding.level == "problem" for finding in findings))
