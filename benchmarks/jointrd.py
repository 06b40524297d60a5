"""A network without shortcuts, trained three ways: with JointRD, by itself, and with the teacher's answers alone.

    python benchmarks/jointrd.py --data_path DATA --pretrained CHECKPOINT --out runs --epochs 12 --seeds 0 1 \
        --plot curve.png

Each run is one JSON file in the folder; a run whose file is there is not repeated. All ways train the same student with
the same batches, optimizer and number of steps; JointRD's connectors are trained besides. Memory and time of the two
networks are measured by benchmarks/plain.py.
"""

import argparse
import itertools
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from mindspore import nn  # noqa: E402
from mindspore.train import Callback  # noqa: E402
from rich.table import Table  # noqa: E402
from src.batches import Batches  # noqa: E402
from src.data import load_data  # noqa: E402
from src.engine import accuracy, sgd  # noqa: E402
from src.files import load_checkpoint  # noqa: E402
from src.lr import cosine  # noqa: E402
from src.models import NETWORKS, build  # noqa: E402

from benchmarks.command import make_table, run  # noqa: E402
from benchmarks.jointrd_plot import draw  # noqa: E402
from benchmarks.stored_runs import stored_run  # noqa: E402
from mindspore_gs.distill import DistillLoss, JointRD, plain_network  # noqa: E402

WAYS = ("joint", "naive", "kl")
SHAPE = (1, 3, 32, 32)
SHARED = ("net", "epochs", "batch", "train_images", "eval_images", "holdout", "eval_on", "start", "projection",
          "pretrained")
ONE = ("way", "lr", "seed")


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--net", default="resnet20", choices=NETWORKS, help="the residual network, which teaches")
    result.add_argument("--data_path", help="folder of CIFAR-10's binary files; without it: scikit-learn's digits")
    result.add_argument("--pretrained", required=True, help="checkpoint of the residual network")
    result.add_argument("--out", type=Path, required=True, help="folder of the runs, one JSON file each")
    result.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    result.add_argument("--lrs", nargs="+", type=float, default=[0.1], help="peak learning rates, cosine to 0")
    result.add_argument("--seeds", nargs="+", type=int, default=[0])
    result.add_argument("--epochs", type=int, default=12)
    result.add_argument("--batch", type=int, default=128)
    result.add_argument("--train_images", type=int, default=0, help="that are trained on; 0: all")
    result.add_argument("--eval_images", type=int, default=0, help="that are evaluated; 0: all")
    result.add_argument("--holdout", type=int, default=0, help="training images that are kept out of everything")
    result.add_argument("--eval_on", default="test", choices=("test", "holdout"))
    result.add_argument("--start", default="teacher", choices=("teacher", "random"), help="weights of the student")
    result.add_argument("--projection", default="keep", choices=("keep", "drop"))
    return result


def measure(options: argparse.Namespace) -> dict:
    """Do the runs that are not there yet.

    Returns:
        ``rows``, one for each run: what was asked for, ``teacher`` (accuracy in percent), ``curve`` (that of the
        student after each epoch), ``final`` and ``seconds``.
    """
    settings = {name: getattr(options, name) for name in SHARED}
    data, rows = load_data(options.data_path, options.holdout, options.eval_on, options.train_images,
                           options.eval_images), []
    for values in itertools.product(options.ways, options.lrs, options.seeds):
        asked = dict(zip(ONE, values))
        place = options.out / ("-".join(str(value) for value in (options.net, *values)) + ".json")
        rows.append(stored_run(place, settings | asked, lambda asked=asked: one(options, data, **asked)) | asked)
    return {"rows": rows}


def one(options: argparse.Namespace, data: Any, way: str, lr: float, seed: int) -> dict[str, Any]:
    """One run."""
    begin, classes = time.monotonic(), len(data.classes)
    teacher = load_checkpoint(build(options.net, classes), options.pretrained)
    ms.set_seed(seed)
    start = build(options.net, classes) if options.start == "random" else teacher
    loss, student, callbacks, finish = _prepared(options, way, teacher, start)
    batches = Batches(data.train, options.batch, seed, data.augment)
    rates = cosine(lr, options.epochs * len(batches))
    watch = Curve(student, lambda net: 100 * accuracy(net, data.evaluation))
    model = ms.Model(loss, optimizer=sgd(loss.trainable_params(), rates, 0.9, 5e-4))
    model.train(options.epochs, batches.dataset(), [*callbacks, watch], dataset_sink_mode=False)
    final = 100 * accuracy(finish(), data.evaluation)
    return {"teacher": 100 * accuracy(teacher, data.evaluation), "curve": watch.found, "final": final,
            "losses": watch.losses, "seconds": time.monotonic() - begin, "shown": {"final": round(final, 2)}}


def _prepared(options: argparse.Namespace, way: str, teacher: nn.Cell, start: nn.Cell) -> tuple[nn.Cell, Any, Any, Any]:
    """The student with its loss, the student, the callbacks, and what gives the plain network in the end."""
    task = nn.CrossEntropyLoss()
    if way == "joint":
        joint = JointRD(teacher, task, SHAPE, projection=options.projection,
                        student=True if start is teacher else start)
        return joint, joint.student, joint.callbacks(), joint.convert
    student = plain_network(start, SHAPE, options.projection)
    if way == "naive":
        return nn.WithLossCell(student, task), student, [], lambda: student
    return DistillLoss(student, task, teacher, temperature=4.0, weight=0.9), student, [], lambda: student


class Curve(Callback):
    """The mean loss of each epoch, and the student's accuracy after it."""

    def __init__(self, student: nn.Cell, score: Any) -> None:
        super().__init__()
        self._student, self._score, self._sum = student, score, []
        self.found: list[float] = []
        self.losses: list[float] = []

    def on_train_step_end(self, run_context: Any) -> None:
        """Keep the loss."""
        self._sum.append(float(run_context.original_args().net_outputs.asnumpy()))

    def on_train_epoch_end(self, run_context: Any) -> None:
        """Evaluate; the network is in training mode again afterwards."""
        self.losses.append(float(np.mean(self._sum)))
        self._sum = []
        self.found.append(self._score(self._student))
        run_context.original_args().train_network.set_train(True)
        print(f"epoch {len(self.found)}: loss {self.losses[-1]:.3f}, accuracy {self.found[-1]:.2f}", flush=True)


def table(record: dict) -> Table:
    """Mean and spread over the seeds."""
    o = record["options"]
    result = make_table(f"{o['net']} without shortcuts, {o['epochs']} epochs of {o['train_images'] or 'all'} images, "
                        f"start: {o['start']}; accuracy in percent, {len(o['seeds'])} seeds +- half of the range",
                        ("way", "lr"), ("residual network", "first epoch", "last epoch", "seconds"))
    for key in dict.fromkeys((row["way"], row["lr"]) for row in record["rows"]):
        rows = [row for row in record["rows"] if (row["way"], row["lr"]) == key]
        columns = [[row["teacher"] for row in rows], [row["curve"][0] for row in rows], [row["final"] for row in rows]]
        spread = [f"{np.mean(found):.2f} +- {(max(found) - min(found)) / 2:.2f}" for found in columns]
        result.add_row(*map(str, key), *spread, f"{np.mean([row['seconds'] for row in rows]):.0f}")
    return result


if __name__ == "__main__":
    ms.set_context(mode=ms.GRAPH_MODE)
    run(parser(), measure, table, draw)
