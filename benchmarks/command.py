"""The command line that all benchmarks have in common: measure, print a table, write JSON, draw."""

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.conditions import conditions, warning
from benchmarks.turns import Spread

WIDTH = 132  # columns; a pipe has no width of its own


def run(parser: argparse.ArgumentParser, measure: Callable[[argparse.Namespace], dict],
        table: Callable[[dict], Table], draw: Callable[[dict, Path], None] | None = None) -> None:
    """Run one benchmark as a command.

    Args:
        parser: the benchmark's own options; ``--json``, and ``--plot`` where it can draw, are added.
        measure: from the options, what was found: ``{"rows": [...]}``.
        table: the table of that.
        draw: its picture.
    """
    parser.add_argument("--json", type=Path, help="write what was found, with machine, versions and commit")
    if draw is not None:
        parser.add_argument("--plot", type=Path, help="draw a picture, .png or .svg (needs matplotlib)")
    options = parser.parse_args()
    state = conditions()
    found = measure(options)
    values = {key: value for key, value in vars(options).items() if key not in ("json", "plot")}
    command = shlex.join(["python", *sys.argv])
    record = {**state, "command": command, "options": values, **found}
    print_table(table(record))
    if warning(state):
        print(warning(state))
    if options.json:
        write_json(record, options.json)
    if draw is not None and options.plot:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        draw(record, options.plot)


def print_table(table: Table) -> None:
    """Print, at least :data:`WIDTH` columns wide."""
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(table)


def make_table(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    """An empty table; names stand on the left, numbers on the right."""
    result = Table(title=Text(title, "table.title"), title_justify="left")
    for name in left:
        result.add_column(name)
    for name in right:
        result.add_column(name, justify="right")
    return result


def write_json(record: dict, path: Path) -> None:
    """Write a record. A number that is not finite is an error, since JSON has none.

    Raises:
        ValueError: there is one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, default=_plain, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Spread):
        return {"median": value.median, "low": value.low, "high": value.high}
    return str(value)
