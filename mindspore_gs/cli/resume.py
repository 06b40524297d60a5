"""``mindspore-gs prune`` goes on behind its last complete step when it was interrupted and is given again."""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import nn

from mindspore_gs import __version__
from mindspore_gs._cells import parameters_by_name
from mindspore_gs._files import digest, remove_leftovers, whole_file

FILE = "run.json"


class Steps:
    """Which files of a run are complete, noted in ``run.json`` beside them, each with its SHA-256.

    A file counts as complete where the note is of the same run, the run did not end, and the file is the one that was
    noted. The note of another run, or one that cannot be read, counts as none.

    Args:
        folder: where the files are.
        name: the run's name, see :func:`name_of`.
    """

    def __init__(self, folder: Path, name: str):
        self._folder, self.name = folder, name
        found = self._read()
        self._files, self._values = (dict(found[key]) if isinstance(found.get(key), dict) else {}
                                     for key in ("files", "values"))
        self._write(complete=False)

    @classmethod
    @contextmanager
    def begun(cls, folder: Path, name: str) -> Iterator["Steps"]:
        """The steps of a run in a folder, which is made. A run that is refused before it has anything to note leaves
        nothing: no note where there was none, and no folder that it has made.
        """
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        noted = (folder / FILE).exists()
        folder.mkdir(parents=True, exist_ok=True)
        steps = cls(folder, name)
        try:
            yield steps
        except Exception:
            if not noted and not steps._files and not any(steps._values.values()):
                (folder / FILE).unlink(missing_ok=True)
                for place in made:
                    if not any(place.iterdir()):
                        place.rmdir()
            raise

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads((self._folder / FILE).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        same = isinstance(found, dict) and found.get("run") == self.name and found.get("complete") is False
        return found if same else {}

    def make(self, file: str, write: Callable[[Path], Any]) -> Path:
        """The path of a file that is complete: it is there already, or ``write`` makes it now."""
        path = self._folder / file
        remove_leftovers(path)
        if not self.has(file):
            write(path)
            self.note([file])
        return path

    def has(self, file: str) -> bool:
        """Whether a file is complete."""
        return file in self._files and digest(self._folder / file) == self._files[file]

    def value(self, name: str, find: Callable[[], Any], anew: bool = False) -> Any:
        """What an earlier process found out and noted under this name; where none has, ``find`` does it now.

        Args:
            name: of the value.
            find: returns it, as something that JSON can hold.
            anew: whether what was noted before does not count.
        """
        if anew or name not in self._values:
            self._values[name] = find()
            self._write(complete=False)
        return self._values[name]

    def note(self, files: Iterable[str], complete: bool = False) -> None:
        """Note that these files are complete, or that all is done: then the same command starts anew."""
        self._files |= {file: found for file in files if (found := digest(self._folder / file))}
        self._write(complete)

    def _write(self, complete: bool) -> None:
        text = json.dumps({"run": self.name, "complete": complete, "files": self._files,
                           "values": {} if complete else self._values}, indent=2) + "\n"
        with whole_file(self._folder / FILE) as draft:
            draft.write_text(text, encoding="utf-8")


def name_of(net: nn.Cell, order: Mapping[str, Any]) -> str:
    """Twelve digits that follow from what a run starts from: its order, the weights, and the versions.

    Args:
        net: the network, with its weights.
        order: what was asked for. Of a function its name and its source count.

    Examples:
        >>> net = nn.Dense(1, 1, "ones")
        >>> name_of(net, {"a": 1}) == name_of(net, {"a": 1}) != name_of(net, {"a": 2})
        True
    """
    found = hashlib.sha256(json.dumps([order, __version__, ms.__version__], default=_said, sort_keys=True).encode())
    for name, parameter in parameters_by_name(net).items():
        found.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
        value = parameter.float() if parameter.dtype == ms.bfloat16 else parameter
        found.update(value.asnumpy().tobytes())
    return found.hexdigest()[:12]


def _said(value: Any) -> Any:
    """What JSON cannot hold: a function by its name and source, other things by their type."""
    if not callable(value):
        return type(value).__name__
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError):
        source = ""
    return [getattr(value, "__module__", ""), getattr(value, "__qualname__", type(value).__name__), source]
