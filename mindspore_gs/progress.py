"""Whatever takes long says so: one updating line on a terminal, quiet lines in the log elsewhere.

The functions of this package use it by themselves. On a terminal, whatever takes more than two seconds shows one line
on stderr with the time left, or with the time that has passed where the number of steps is unknown, and the line goes
when it is done. Elsewhere nothing is printed. The logger ``mindspore_gs.progress`` gets one line at the level INFO when
two seconds have passed, one every 30 seconds, and one at the end; ``logging.basicConfig(level=logging.INFO)`` shows
them.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mindspore.train import Callback

__all__ = ["Step", "TrainingProgress", "step", "tracked"]

T = TypeVar("T")
PATIENCE = 2.0  # seconds; what is done by then is not worth a line
INTERVAL = 30.0  # seconds between two lines of one step in a log
_log = logging.getLogger("mindspore_gs.progress")


class Step:
    """Something that is going on; :func:`step` gives it.

    Attributes:
        text: what is done.
        total: how many parts it has; None where that is unknown.
        done: how many of them are done.
    """

    def __init__(self, text: str, total: int | None = None):
        self.text, self.total, self.done = text, total, 0
        self._begin = time.monotonic()
        self._said: float | None = None
        self._timer: threading.Timer | None = None
        self._task: Any = None

    def advance(self, parts: int = 1, text: str | None = None) -> None:
        """So many parts more are done.

        Args:
            parts: their number. Default: 1.
            text: what is done now, if it has another name. Default: the same.
        """
        self.done += parts
        self.text = self.text if text is None else text
        if self._task is not None and _shown is not None:
            _shown.update(self._task, completed=self.done, description=self.text)
        elif self._said is not None and time.monotonic() - self._said >= INTERVAL:
            self._say(self.where())

    def counting(self, function: Callable[..., T]) -> Callable[..., T]:
        """The same function; each call of it is a part of the step."""
        def counted(*arguments: Any) -> T:
            result = function(*arguments)
            self.advance()
            return result

        return counted

    def where(self) -> str:
        """How far it is: ``"3 of 8, 12 s left"``; the seconds that have passed where the number is unknown."""
        passed = time.monotonic() - self._begin
        if self.total is None:
            return f"{passed:.0f} s so far"
        if not self.done:
            return f"0 of {self.total}"
        return f"{self.done} of {self.total}, {passed / self.done * max(self.total - self.done, 0):.0f} s left"

    def _say(self, what: str) -> None:
        self._said = time.monotonic()
        _log.info("%s: %s", self.text, what)

    def _start(self) -> None:
        global _shown
        if threading.current_thread() is threading.main_thread() and (_shown is not None or sys.stderr.isatty()):
            if _shown is None:
                from mindspore_gs._terminal import Display
                _shown = Display()
                _shown.start()
            self._task = _shown.add_task(self.text, total=self.total)
        elif _log.isEnabledFor(logging.INFO):
            self._timer = threading.Timer(PATIENCE, lambda: self._say(self.where()))
            self._timer.daemon = True
            self._timer.start()

    def _stop(self) -> None:
        global _shown
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None and _shown is not None:
            _shown.remove_task(self._task)
            if not _shown.tasks:
                _shown.close()
                _shown = None
        if self._said is not None:
            self._say(f"done after {time.monotonic() - self._begin:.1f} s")
        self._timer = self._task = self._said = None


_shown: Any = None  # the line, while there is one


@contextmanager
def step(text: str, total: int | None = None) -> Iterator[Step]:
    """Show that something is going on, for as long as the block takes. Steps may be inside of each other.

    Args:
        text: what is done, such as ``"tracing"``.
        total: how many parts it has, each of which ends with a call of ``advance``. Default: unknown.

    Yields:
        The step.

    Examples:
        >>> from mindspore_gs.progress import step
        >>> with step("counting", 3) as counting:
        ...     for _ in range(3):
        ...         counting.advance()
        >>> counting.done
        3
    """
    running = Step(text, total)
    running._start()
    try:
        yield running
    finally:
        running._stop()


def tracked(items: Iterable[T], text: str, total: int | None = None) -> Iterator[T]:
    """The items, one after the other, as the parts of one step.

    Args:
        items: anything that can be gone through.
        text: what is done.
        total: how many there are. Default: their length, where they have one.

    Examples:
        >>> from mindspore_gs.progress import tracked
        >>> [2 * n for n in tracked([1, 2, 3], "doubling")]
        [2, 4, 6]
    """
    known = len(items) if total is None and hasattr(items, "__len__") else total  # type: ignore[arg-type]
    with step(text, known) as running:
        for item in items:
            yield item
            running.advance()


class TrainingProgress(Callback):
    """For ``Model.train``: epochs, loss and the time left.

    On a terminal it is one line on stderr that is rewritten; elsewhere a line every 30 seconds and after each epoch. It
    changes nothing, and reads the loss, which makes a device wait at each step; leave it out where that matters.

    Args:
        title: what the training is for, such as ``"fine-tuning"``; ``""`` only keeps the log.

    Attributes:
        log: one dict for each epoch: ``epoch`` (from 1), ``loss`` (mean over its steps), ``seconds``.

    Examples:
        >>> from mindspore_gs.progress import TrainingProgress
        >>> progress = TrainingProgress("fine-tuning")     # model.train(4, dataset, callbacks=[progress])
        >>> progress.log
        []
    """

    def __init__(self, title: str):
        super().__init__()
        self.title, self._whole = title, Step(title)
        self.log: list[dict[str, float]] = []
        self._losses: list[float] = []
        self._begin = self._said = 0.0

    def on_train_begin(self, run_context: Any) -> None:
        """Begin the line."""
        state = run_context.original_args()
        self._said = time.monotonic()
        self._whole = Step(self.title, state.epoch_num * state.batch_num)
        if self.title and sys.stderr.isatty():
            self._whole._start()

    def on_train_epoch_begin(self, run_context: Any) -> None:
        """Start the clock of the epoch."""
        self._begin, self._losses = time.monotonic(), []

    def on_train_step_end(self, run_context: Any) -> None:
        """Keep the loss; speak when it is time."""
        state = run_context.original_args()
        self._losses.append(loss_of(state.net_outputs))
        steps = state.cur_step_num - self._whole.done  # several where the data are sunk
        self._whole.advance(steps, f"{self.title}, loss {self._losses[-1]:.4f}")
        if not sys.stderr.isatty() and time.monotonic() - self._said >= INTERVAL:
            self._print(f"step {self._whole.where()}, loss {self._losses[-1]:.4f}")

    def on_train_epoch_end(self, run_context: Any) -> None:
        """Note the epoch and say so."""
        state = run_context.original_args()
        mean = sum(self._losses) / max(len(self._losses), 1)
        self.log.append({"epoch": len(self.log) + 1, "loss": mean, "seconds": time.monotonic() - self._begin})
        left = self._whole.where().rpartition(", ")[2]
        self._print(f"epoch {len(self.log)} of {state.epoch_num}, loss {mean:.4f}, {left}")

    def on_train_end(self, run_context: Any) -> None:
        """Take the line away."""
        self._whole._stop()

    def __exit__(self, *error: Any) -> None:
        """``Model.train`` leaves here, also when a step has failed: the terminal is as it was."""
        self._whole._stop()

    def _print(self, text: str) -> None:
        self._said = time.monotonic()
        if self.title:
            print(f"{self.title}: {text}", file=sys.stderr, flush=True)


def loss_of(outputs: Any) -> float:
    """The loss among what a training step returns, which is the first thing; not a number where there is none."""
    value = outputs[0] if isinstance(outputs, (tuple, list)) else outputs
    return float(value.asnumpy().mean()) if hasattr(value, "asnumpy") else float("nan")
