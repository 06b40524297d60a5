"""A callback that prints the loss, the epochs and the remaining time."""
from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from mindspore.train import Callback

PLAIN_SECONDS = 30.0
TTY_SECONDS = 0.5


class Progress(Callback):
    """On a terminal one line that is rewritten; elsewhere a line every 30 seconds and after each epoch.

    With an empty title it only keeps the log, one entry per epoch: epoch (from 1), loss (mean over its steps), seconds.
    `losses` are those of the present epoch so far, `steps` the number of steps in an epoch.
    """

    def __init__(self, title: str, epochs: int, steps: int) -> None:
        super().__init__()
        self._title, self._epochs, self.steps = title, epochs, steps
        self._tty = sys.stderr.isatty()
        self.losses: list[float] = []
        self._done = self._first = self._passed = 0
        self._begin = self._epoch_begin = self._shown = time.monotonic()
        self.log: list[dict[str, float]] = []

    def go_on(self, log: list[dict[str, float]], losses: list[float]) -> None:
        """Begin where an earlier process has stopped: behind the epochs of `log`, and `losses` of the next one."""
        self.log, self.losses = list(log), list(losses)
        self._first = self._done = self._passed = len(log) * self.steps + len(losses)

    def on_train_epoch_begin(self, run_context: Any) -> None:
        """Start the clock of the epoch, unless it is the rest of one."""
        if self._passed % self.steps == 0:
            self._epoch_begin = time.monotonic()
            self.losses = []

    def on_train_step_end(self, run_context: Any) -> None:
        """Keep the loss; speak when it is time."""
        output = run_context.original_args().net_outputs
        loss = output[0] if isinstance(output, (tuple, list)) else output
        self.losses.append(float(loss.asnumpy()))
        self._done += 1
        now = time.monotonic()
        if now - self._shown >= (TTY_SECONDS if self._tty else PLAIN_SECONDS):
            self._shown = now
            self._say(f"step {self._done}/{self._epochs * self.steps}", now, passing=True)

    def on_train_epoch_end(self, run_context: Any) -> None:
        """Note the epoch and say so, once all its steps are done."""
        self._passed += run_context.original_args().batch_num
        if self._passed % self.steps:
            return
        now = time.monotonic()
        entry = {"epoch": len(self.log) + 1, "loss": float(np.mean(self.losses)), "seconds": now - self._epoch_begin}
        self.log.append(entry)
        self._done = len(self.log) * self.steps
        self._say(f"epoch {entry['epoch']}/{self._epochs}", now, passing=False)

    def _say(self, where: str, now: float, passing: bool) -> None:
        if not self._title:
            return
        left = (now - self._begin) / max(self._done - self._first, 1) * (self._epochs * self.steps - self._done)
        loss = float(np.mean(self.losses[-50:])) if passing else self.log[-1]["loss"]
        line = f"{self._title}: {where}, loss {loss:.4f}, {left / 60:.1f} min left"
        start = "\r\033[K" if self._tty else ""
        print(start + line, end="" if self._tty and passing else "\n", file=sys.stderr, flush=True)
