"""A run that was interrupted goes on behind its last complete stage when the same command is given again."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mindspore as ms

from src.config import Config
from src.files import save_json

_NOT_ASKED = ("results_json", "latency_runs", "export")


class Run:
    """What a run has finished, kept as `run.json` beside its checkpoints until the run ends.

    Each stage starts from the run's seed, so that a stage computes the same whether the ones before it were computed in
    this process or in an earlier one. A `run.json` of other settings, or one that cannot be read, counts as none.
    """

    def __init__(self, config: Config) -> None:
        self._path = Path(config.output_path) / "run.json"
        self._seed = config.seed
        self._settings = {key: value for key, value in config.to_dict().items() if key not in _NOT_ASKED}
        self._stages = self._read()

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        same = isinstance(found, dict) and found.get("settings") == json.loads(json.dumps(self._settings))
        return dict(found["stages"]) if same else {}

    def begin(self, stage: str) -> dict[str, Any] | None:
        """Seed the stage; what an earlier process noted about it, or None where it is still to be done."""
        ms.set_seed(self._seed)
        return self._stages.get(stage)

    def finish(self, stage: str, log: list[dict[str, float]]) -> None:
        """Note that a stage is complete, with the log of its epochs. Its checkpoint must be written already."""
        self._stages[stage] = {"log": log}
        save_json(self._path, {"settings": self._settings, "stages": self._stages})

    def end(self) -> None:
        """The run is complete: the next one starts anew."""
        self._path.unlink(missing_ok=True)
