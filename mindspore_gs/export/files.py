"""Exported files appear whole or not at all, under any name that the file system takes."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mindspore import nn

from mindspore_gs._cells import evaluating
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import ExportError, first_line
from mindspore_gs.progress import step


def with_suffix(file_name: str | os.PathLike, suffix: str) -> Path:
    """The path, with the suffix appended where it is missing."""
    path = Path(file_name)
    return path if path.suffix == suffix else path.with_name(path.name + suffix)


@contextmanager
def exporting(net: nn.Cell, path: Path, how: str = "") -> Iterator[Path]:
    """A place to write the file to, which takes its name once the block has ended without an error.

    MindSpore takes no spaces, ``=`` or letters beyond ASCII in a path, so the place is a temporary folder with a plain
    name. The network is in evaluation mode meanwhile.

    Args:
        net: the network, for the text of errors.
        path: the file that the user asked for.
        how: what is special about the export, such as ``" with an open batch"``.

    Yields:
        Path of a file in a folder of its own.

    Raises:
        ExportError: whatever goes wrong, with the user's path in the text.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / ("network" + path.suffix)
            with step(f"writing and comparing {path.name}"), evaluating(net), nothing_left_behind():
                yield place
            put(place, path)
    except ExportError as error:
        if str(error).startswith(type(net).__name__ + " cannot be exported"):
            raise
        raise ExportError(f"{type(net).__name__} cannot be exported{how} to {path}: {error}") from error
    except Exception as error:
        raise ExportError(f"{type(net).__name__} cannot be exported{how} to {path}: {first_line(error)}") from error


def put(source: Path, path: Path) -> None:
    """Copy a file to ``path``, which holds what it held, or all of the new file, at every moment."""
    _sweep(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(source, "rb") as old, open(part, "wb") as new:
            shutil.copyfileobj(old, new)
            new.flush()
            os.fsync(new.fileno())
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Remove what processes that were killed while they wrote this file have left."""
    pattern = re.compile(re.escape(f".{path.name}.") + r"(\d+)\.part")
    for file in path.parent.iterdir():
        match = pattern.fullmatch(file.name)
        if match and not _alive(int(match.group(1))):
            file.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
