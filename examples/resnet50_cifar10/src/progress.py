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
    """

    def __init__(self, title: str, epochs: int, steps: int) -> None:
        super().__init__()
        self._title, self._epochs, self._steps = title, epochs, steps
        self._tty = sys.stderr.isatty()
        self._losses: list[float] = []
        self._done = 0
        self._begin = self._epoch_begin = self._shown = time.monotonic()
        self.log: list[dict[str, float]] = []

    def on_train_epoch_begin(self, run_context: Any) -> None:
        """Start the clock of the epoch."""
        self._epoch_begin = time.monotonic()
        self._losses = []

    def on_train_step_end(self, run_context: Any) -> None:
        """Keep the loss; speak when it is time."""
        output = run_context.original_args().net_outputs
        loss = output[0] if isinstance(output, (tuple, list)) else output
        self._losses.append(float(loss.asnumpy()))
        self._done += 1
        now = time.monotonic()
        if now - self._shown >= (TTY_SECONDS if self._tty else PLAIN_SECONDS):
            self._shown = now
            self._say(f"step {self._done}/{self._epochs * self._steps}", now, passing=True)

    def on_train_epoch_end(self, run_context: Any) -> None:
        """Note the epoch and say so."""
        now = time.monotonic()
        entry = {"epoch": len(self.log) + 1, "loss": float(np.mean(self._losses)), "seconds": now - self._epoch_begin}
        self.log.append(entry)
        self._done = len(self.log) * self._steps
        self._say(f"epoch {entry['epoch']}/{self._epochs}", now, passing=False)

    def _say(self, where: str, now: float, passing: bool) -> None:
        if not self._title:
            return
        left = (now - self._begin) / max(self._done, 1) * (self._epochs * self._steps - self._done)
        loss = float(np.mean(self._losses[-50:])) if passing else self.log[-1]["loss"]
        line = f"{self._title}: {where}, loss {loss:.4f}, {left / 60:.1f} min left"
        start = "\r\033[K" if self._tty else ""
        print(start + line, end="" if self._tty and passing else "\n", file=sys.stderr, flush=True)
