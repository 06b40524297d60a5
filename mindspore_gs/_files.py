"""Files appear whole or not at all, and what an interrupted run left beside them is removed by the next one."""

import glob
import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FILE_MODE = 0o644
_ENDING = ".draft"
_SCRATCH = "mindspore_gs"
_PLAIN = re.compile(r"[0-9A-Za-z_./-]+")
_LONGEST = 60


def checked_path(owner: str, name: str, value: Any) -> Path:
    """A user's path.

    Args:
        owner: who takes it, for messages, such as ``"save_pruned()"``.
        name: name of the argument.
        value: what the user gave.

    Raises:
        TypeError: it is neither text nor a path.
        ValueError: it is empty, has a zero byte, or is a folder.

    Examples:
        >>> from mindspore_gs._files import checked_path
        >>> checked_path("save_pruned()", "path", "small.ckpt").name
        'small.ckpt'
    """
    text = _path_text(owner, name, value)
    if Path(text).is_dir():
        raise ValueError(f"for {owner}, {name!r} must be the path of a file, but {text} is a folder.")
    return Path(text)


def checked_folder(owner: str, name: str, value: Any) -> Path:
    """A user's path of a folder, which may be there or not.

    Args:
        owner, name, value: as for :func:`checked_path`.

    Raises:
        TypeError: it is neither text nor a path.
        ValueError: it is empty, has a zero byte, or is a file.

    Examples:
        >>> from mindspore_gs._files import checked_folder
        >>> checked_folder("SummaryWriter", "folder", "summaries").name
        'summaries'
    """
    text = _path_text(owner, name, value, "a folder")
    if Path(text).exists() and not Path(text).is_dir():
        raise ValueError(f"for {owner}, {name!r} must be the path of a folder, but {text} is a file.")
    return Path(text)


def _path_text(owner: str, name: str, value: Any, kind: str = "a file") -> str:
    """The text of a path, which is more than spaces."""
    if isinstance(value, bytes) or not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"for {owner}, {name!r} must be a path, text or os.PathLike, but got "
                        f"{type(value).__name__!r}.")
    text = os.fspath(value)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ValueError(f"for {owner}, {name!r} must be the path of {kind}, but got {text!r}.")
    return text


def path_with_suffix(owner: str, name: str, value: Any, suffix: str) -> Path:
    """A user's path, with the suffix appended where it is missing.

    Args:
        owner, name, value: as for :func:`checked_path`.
        suffix: such as ``".onnx"``.

    Raises:
        TypeError, ValueError: as :func:`checked_path`; what is called so with the suffix may not be a folder.

    Examples:
        >>> from mindspore_gs._files import path_with_suffix
        >>> path_with_suffix("export_onnx()", "file_name", "network.v2", ".onnx").name
        'network.v2.onnx'
    """
    text = _path_text(owner, name, value)
    return checked_path(owner, name, text if Path(text).suffix == suffix else f"{Path(text)}{suffix}")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to; what lies there at the end takes the place of ``path`` at once.

    The draft has the name of ``path`` and lies in a hidden folder beside it,
    ``.<name>.<host>.<process>.<random>.draft``. Drafts of processes that are gone, because they were killed, are
    removed first. The bytes are on the disk before the old file is replaced.

    Args:
        path: the file; folders above it are made.

    Raises:
        OSError: the place cannot be written; the old file is as it was, and no draft is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    prefix = f"{_draft_of(path)}.{os.getpid()}."
    with tempfile.TemporaryDirectory(prefix=prefix, suffix=_ENDING, dir=path.parent) as folder:
        draft = Path(folder) / path.name
        with _naming(path):
            yield draft
            draft.chmod(FILE_MODE)
            _to_disk(draft)
            draft.replace(path)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What goes wrong is said with the file's own name: a full disk comes without one, and a draft's says nothing."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder among the system's temporary files, which is gone afterwards.

    Its name is ``mindspore_gs.<host>.<process>.<random>.draft``. Those of processes that were killed are removed first.
    It lies in ``TMPDIR``, or in ``/tmp`` where MindSpore does not take that path: one with spaces or other letters.
    """
    place = Path(tempfile.gettempdir())
    place = place if _PLAIN.fullmatch(str(place)) else Path("/tmp")
    begin = f"{_SCRATCH}.{_host()}"
    _remove_dead(place, begin)
    with tempfile.TemporaryDirectory(prefix=f"{begin}.{os.getpid()}.", suffix=_ENDING, dir=place) as folder:
        yield Path(folder)


def remove_leftovers(path: Path) -> None:
    """Remove the drafts of ``path`` whose process on this machine has ended."""
    _remove_dead(path.parent, _draft_of(path))


def _remove_dead(place: Path, begin: str) -> None:
    """Remove the folders ``<begin>.<process>.<random>.draft`` whose process has ended; others' folders stay."""
    for folder in place.glob(f"{glob.escape(begin)}.*{_ENDING}"):
        process = folder.name.split(".")[-3]
        if process.isdigit() and not _alive(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _draft_of(path: Path) -> str:
    """How the name of a draft begins: with the file's name and this machine's, both cut to a length that fits."""
    return f".{path.name[:_LONGEST]}.{_host()}"


def _host() -> str:
    name = socket.gethostname()[:_LONGEST]
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _to_disk(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def digest(path: Path) -> str | None:
    """SHA-256 of a file; None where there is none."""
    if not path.is_file():
        return None
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()
