"""Exported files appear whole or not at all, under any name that the file system takes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mindspore import nn

from mindspore_gs._cells import evaluating, same_values
from mindspore_gs._files import scratch_folder, whole_file
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import ExportError, PruningError, first_line
from mindspore_gs.progress import step


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
        with scratch_folder() as folder:
            place = folder / ("network" + path.suffix)
            with (step(f"writing and comparing {path.name}"), evaluating(net), same_values(net),
                  nothing_left_behind()):
                yield place
            put(place, path)
    except ExportError as error:
        if str(error).startswith(type(net).__name__ + " cannot be exported"):
            raise
        raise ExportError(f"{type(net).__name__} cannot be exported{how} to {path}: {error}") from error
    except Exception as error:
        why = str(error) if isinstance(error, PruningError) else first_line(error)
        raise ExportError(f"{type(net).__name__} cannot be exported{how} to {path}: {why}") from error


def put(source: Path, path: Path) -> None:
    """Copy a file to ``path``, which holds what it held, or all of the new file, at every moment."""
    with whole_file(path) as draft:
        shutil.copyfile(source, draft)
