"""The one line on a terminal. Imported where there is a terminal, because rich takes a moment to load."""

import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from mindspore_gs.progress import PATIENCE


class Line:
    """A line that is rewritten.

    Args:
        stream: the terminal.
    """

    def __init__(self, stream: TextIO):
        self._live = Live(console=Console(file=stream), auto_refresh=False)
        self._live.start()

    def say(self, text: str) -> None:
        """Put another text into the line."""
        self._live.update(Text(text), refresh=True)

    def close(self) -> None:
        """Leave the line as it is, and the terminal as it was."""
        self._live.stop()


class Display(Progress):
    """The steps that are running, one inside of the other, as one line: the innermost one.

    It is written to a copy of stderr's file descriptor, because what MindSpore prints on stderr may be held back
    meanwhile (:func:`~mindspore_gs._scratch.nothing_left_behind`).
    """

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="replace")
        super().__init__(TextColumn("{task.description}"), BarColumn(24), _Clock(), transient=True,
                         console=Console(file=self._file), refresh_per_second=5)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The innermost step; nothing at all in the first two seconds of the outermost one."""
        tasks = self.tasks
        if tasks and (tasks[0].elapsed or 0.0) >= PATIENCE:
            yield self.make_tasks_table(tasks[-1:])

    def close(self) -> None:
        """Take the line away."""
        self.stop()
        self._file.close()


class _Clock(ProgressColumn):
    """How many there are, and the time left; the time that has passed where nobody knows how many there will be."""

    def render(self, task: Task) -> Text:
        """The text of one step."""
        elapsed = task.elapsed or 0.0
        if not task.total:
            return Text(f"{elapsed:.0f} s")
        if not task.completed:
            return Text(f"0/{task.total:.0f}")
        left: Any = elapsed / task.completed * (task.total - task.completed)
        return Text(f"{task.completed:.0f}/{task.total:.0f}, {left:.0f} s left")
