"""Started by kills.py: a run that ends itself with SIGKILL at its n-th step or access to a file.

    python tests/trust/killed.py FOLDER N MILLISECONDS train|prune ARGUMENTS...

Counted are training steps, and what Python does to files below FOLDER: open, rename, make, remove. At the n-th of these
the process is killed, MILLISECONDS later, so that it dies in the middle of things too. With N = 0 it is never killed.
Each of them is a line of FOLDER/../events.
"""

import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "resnet50_cifar10"
_WATCHED = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "shutil.rmtree")


class Death:
    """Counts what happens, writes it down, and kills the process when it is time."""

    def __init__(self, folder: Path, number: int, milliseconds: float) -> None:
        self.folder, self.number, self.seconds = str(folder), number, milliseconds / 1000
        self.log = os.open(folder.parent / "events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.count, self.phase = 0, "start"
        sys.addaudithook(self.watch)

    def watch(self, event: str, arguments: tuple) -> None:
        """An audit hook: Python calls it before it touches a file."""
        if event in _WATCHED and isinstance(arguments[0], (str, os.PathLike)):
            path = os.path.abspath(os.fspath(arguments[0]))
            if isinstance(path, str) and path.startswith(self.folder):
                self.happens(f"{event} {path.removeprefix(self.folder)}")

    def happens(self, what: str) -> None:
        """One more of the things that are counted."""
        self.count += 1
        os.write(self.log, f"{self.phase}: {what}\n".encode())
        if self.count == self.number:
            threading.Thread(target=self.strike, daemon=True).start() if self.seconds else self.strike()

    def strike(self) -> None:
        """The end, without a chance to tidy up."""
        time.sleep(self.seconds)
        os.write(self.log, f"killed in {self.phase}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)


def train(arguments: list[str], death: Death) -> None:
    """train.py of the example, with a network of three layers."""
    from mindspore import nn

    sys.path.insert(0, str(EXAMPLE))
    from src import models, snapshots, stages
    from src.resume import Run

    from tests.networks import Block

    class Tiny(nn.Cell):
        """A stem, a block with a shortcut, a classifier."""

        def __init__(self, num_classes: int = 10) -> None:
            super().__init__()
            self.stem = nn.SequentialCell(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
            self.block, self.head = Block(6, 8, 6, 1), nn.Dense(6, num_classes)

        def construct(self, x):  # noqa: ANN001, ANN201
            return self.head(self.block(self.stem(x)).mean((2, 3)))

    begin = Run.begin

    def begin_and_say(self: Run, stage: str, *files: str) -> object:
        death.phase = stage
        return begin(self, stage, *files)

    class Steps(snapshots.Snapshots):
        """Says each step, before it is noted."""

        def on_train_step_end(self, run_context: object) -> None:
            death.happens("a step")
            super().on_train_step_end(run_context)

    Run.begin, stages.Snapshots = begin_and_say, Steps
    models.NETWORKS["tiny"] = Tiny
    sys.argv = ["train.py", *arguments]
    runpy.run_path(str(EXAMPLE / "train.py"), run_name="__main__")


def prune(arguments: list[str], death: Death) -> None:
    """mindspore-gs prune, on the network of this file."""
    from mindspore_gs.cli import pruning
    from mindspore_gs.cli.commands import commands

    step = pruning.step

    def step_and_say(text: str) -> object:
        death.phase = text
        return step(text)

    pruning.step = step_and_say
    sys.argv = ["mindspore-gs", *arguments]
    commands(prog_name="mindspore-gs")


def network() -> object:
    """A network with the same weights in every process."""
    from tests import networks
    from tests.helpers import randomise

    return randomise(networks.Long())


def batches() -> list:
    """Two batches with labels, the same in every process."""
    import mindspore as ms
    import numpy as np

    from tests.helpers import image

    return [(image(8, 3, 8, 8, seed=k), ms.Tensor(np.arange(8) % 4, ms.int32)) for k in range(2)]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    place, number, wait, kind, *rest = sys.argv[1:]
    {"train": train, "prune": prune}[kind](rest, Death(Path(place), int(number), float(wait)))
