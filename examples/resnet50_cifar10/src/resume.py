"""A run that was interrupted goes on where it stopped when the same command is given again."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore_gs._files import digest

from src.config import Config
from src.files import save_json

FILE = "run.json"
_NOT_ASKED = ("results_json", "latency_runs", "export", "output_path")


class Run:
    """What a run has finished, kept as `run.json` beside its files.

    Each stage starts from the run's seed, so that a stage computes the same whether the ones before it were computed in
    this process or in an earlier one. A `run.json` of other settings or of a complete run counts as none, and so
    does one that cannot be read.

    `run.json` names every file of the run with its SHA-256, so that files of two runs in one folder can be told apart.
    `name` is the run's name: twelve digits that follow from its settings.
    """

    def __init__(self, config: Config) -> None:
        self.folder = Path(config.output_path)
        self._path = self.folder / FILE
        self._seed = config.seed
        settings = {key: value for key, value in config.to_dict().items() if key not in _NOT_ASKED}
        if config.pretrained:
            settings["pretrained_sha256"] = digest(Path(config.pretrained))
        self._settings = json.loads(json.dumps(settings))
        self.name = hashlib.sha256(json.dumps(self._settings, sort_keys=True).encode()).hexdigest()[:12]
        found = self._read()
        self._stages: dict[str, Any] = found.get("stages", {})
        self.files: dict[str, str] = found.get("files", {})

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        same = isinstance(found, dict) and found.get("settings") == self._settings and found.get("complete") is False
        whole = same and all(isinstance(found.get(key), dict) for key in ("stages", "files"))
        return found if whole and all(isinstance(note, dict) for note in found["stages"].values()) else {}

    def begin(self, stage: str, *files: str) -> dict[str, Any] | None:
        """Seed the stage; what an earlier process noted about it, or None where it is still to be done.

        It is to be done also where one of its `files` is gone or is not the one that was noted.
        """
        ms.set_seed(self._seed)
        there = all(name in self.files and digest(self.folder / name) == self.files[name] for name in files)
        return self._stages.get(stage) if there else None

    def finish(self, stage: str, log: list[dict[str, float]], *files: str) -> None:
        """Note that a stage is complete, with the log of its epochs. Its `files` must be written already."""
        self._stages[stage] = {"log": log}
        self.note(files)

    def once(self, what: str, compute: Callable[[], float]) -> float:
        """A number that an earlier process has noted, or what `compute` gives, which is noted."""
        if what not in self._stages:
            self._stages[what] = {"value": compute()}
            self.note()
        return float(self._stages[what]["value"])

    def note(self, files: Iterable[str] = (), complete: bool = False) -> None:
        """Write `run.json`, with these files of the run beside those that are in it already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.files |= {name: found for name in files if (found := digest(self.folder / name))}
        save_json(self._path, {"run": self.name, "complete": complete, "settings": self._settings,
                               "stages": self._stages, "files": self.files})

    def end(self) -> None:
        """The run is complete: the next one starts anew."""
        self.note(complete=True)
