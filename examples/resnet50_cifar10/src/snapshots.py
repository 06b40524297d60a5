"""How a training stands, in one file: parameters, the optimizer's state, the step, and what was said so far."""
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.train import Callback

from src.errors import InputError
from src.files import read_checkpoint, save_entries
from src.progress import Progress

_STEP, _LOSSES, _NOTE = "run.step", "run.losses", "run.note"
FILE = "training.ckpt"


class Snapshots(Callback):
    """Writes `training.ckpt` every `every` steps and at the end of each epoch; `restore` reads it in a later process.

    A file of another run or stage, or one that cannot be read, counts as none. With `every` 0 nothing is written.
    `seed` and `random` are for stages whose networks draw random numbers, see `stretches`.
    """

    def __init__(self, folder: Path, run: str, stage: str, every: int, seed: int = 0, random: bool = False) -> None:
        super().__init__()
        self._path, self._note, self.every = folder / FILE, {"run": run, "stage": stage}, every
        self.seed, self.random = seed, random
        self._saved = self._begin = 0

    def restore(self, net: nn.Cell, optimizer: nn.Optimizer, progress: Progress) -> int:
        """Put back what an earlier process has saved; the number of steps that are done, 0 where there is nothing."""
        self._parameters, self._progress = _named(net, optimizer), progress
        found = self._read() if self.every else None
        if found is None:
            return 0
        for name, parameter in self._parameters.items():
            parameter.set_data(ms.Tensor(found[name].asnumpy(), parameter.dtype))
        progress.go_on(json.loads(_text(found[_NOTE]))["log"], found[_LOSSES].asnumpy()[1:].tolist())
        self._saved = int(found[_STEP].asnumpy()[0])
        print(f"   goes on behind step {self._saved}", flush=True)
        return self._saved

    def go_on_behind(self, step: int) -> None:
        """What follows begins behind this step."""
        self._begin = step

    def on_train_step_end(self, run_context: Any) -> None:
        """Save where it is time, but for the last step of an epoch, whose mean loss is noted only afterwards."""
        done = self._begin + run_context.original_args().cur_step_num
        if self.every and done % self._progress.steps and done // self.every > self._saved // self.every:
            self._save(done)

    def on_train_epoch_end(self, run_context: Any) -> None:
        """Save the end of an epoch, or of a stretch."""
        done = self._begin + run_context.original_args().cur_step_num
        if self.every:
            self._save(done)

    def remove(self) -> None:
        """The stage is complete and its own file is written."""
        self._path.unlink(missing_ok=True)

    def _save(self, step: int) -> None:
        note = self._note | {"log": self._progress.log}
        losses = self._progress.losses if step % self._progress.steps else []
        entries = dict(self._parameters) | {
            _STEP: ms.Tensor([step], ms.int32), _LOSSES: ms.Tensor(np.array([0.0, *losses], np.float32)),
            _NOTE: ms.Tensor(np.frombuffer(json.dumps(note).encode(), np.uint8).astype(np.int32))}
        save_entries(entries, self._path)
        self._saved = step

    def _read(self) -> dict[str, Any] | None:
        if not self._path.is_file():
            return None
        try:
            found = read_checkpoint(str(self._path))
            note = json.loads(_text(found[_NOTE]))
        except (InputError, KeyError, ValueError):
            return None
        same = {key: note.get(key) for key in self._note} == self._note
        fits = all(name in found and tuple(found[name].shape) == tuple(parameter.shape)
                   for name, parameter in self._parameters.items())
        return found if same and fits else None


def stretches(done: int, steps: int, epochs: int, longest: int = 0) -> Iterator[tuple[int, int, int, int]]:
    """What is left of a training behind its first `done` steps: (pass, first step in it, step behind the last, passes).

    The rest of a pass that was interrupted stands for itself. With `longest`, passes are divided: every stretch begins
    at a multiple of it. Such a stretch is trained by a step that is compiled anew, with a seed of its own, since
    MindSpore keeps the state of random numbers within what it has compiled, where nobody can save it.

    >>> list(stretches(0, 10, 2)), list(stretches(14, 10, 4))
    ([(0, 0, 10, 2)], [(1, 4, 10, 1), (2, 0, 10, 2)])
    >>> list(stretches(0, 10, 1, longest=4)), list(stretches(4, 10, 1, longest=4))
    ([(0, 0, 4, 1), (0, 4, 8, 1), (0, 8, 10, 1)], [(0, 4, 8, 1), (0, 8, 10, 1)])
    """
    while done < steps * epochs:
        number, first = divmod(done, steps)
        last = min(first + longest, steps) if longest else steps
        passes = 1 if first or longest else epochs - number
        yield number, first, last, passes
        done = (number + passes - 1) * steps + last


def _named(net: nn.Cell, optimizer: nn.Optimizer) -> dict[str, ms.Parameter]:
    """Every parameter of both, by name."""
    return {parameter.name: parameter for cell in (net, optimizer) for parameter in cell.get_parameters()}


def _text(numbers: ms.Tensor) -> str:
    return numbers.asnumpy().astype(np.uint8).tobytes().decode()
