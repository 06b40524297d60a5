"""Runs that are files: one that is there is not repeated, so a command goes on where it was stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.accuracy_rows import stored
from benchmarks.command import write_json
from benchmarks.conditions import conditions


def stored_run(place: Path, settings: dict[str, Any], do: Callable[[], dict]) -> dict:
    """The run in a file, which is done and written where there is none yet.

    Args:
        place: the file.
        settings: what the run was asked for; they are stored with it.
        do: does the run.

    Raises:
        ValueError: the file is of a run with other settings.
    """
    row = stored(place, settings)
    if row is not None:
        return row
    row = {**conditions(), "settings": settings, **do()}
    write_json(row, place)
    print(place, row.get("shown", ""), flush=True)
    return row
