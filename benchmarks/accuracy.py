"""Accuracy after pruning: criteria x widths x targets x seeds, before and after fine-tuning.

    python benchmarks/accuracy.py --data_path DATA --pretrained CHECKPOINT --out runs --criteria l1 random --seeds 0 1 2

Each run is one JSON file in the folder; a run whose file is there is not repeated, so the command goes on where it was
stopped. A seed stands for its own images for recalibration and compensation, its own order of training, and its own
random scores. Without --data_path the images are scikit-learn's digits, on which a network is trained first.
"""

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from mindspore import nn  # noqa: E402
from rich.table import Table  # noqa: E402
from src.batches import Batches, normalise  # noqa: E402
from src.data import Data, load_data  # noqa: E402
from src.engine import accuracy, sgd, train  # noqa: E402
from src.files import load_checkpoint  # noqa: E402
from src.lr import cosine  # noqa: E402
from src.models import NETWORKS, build  # noqa: E402

from benchmarks.accuracy_plot import draw  # noqa: E402
from benchmarks.command import make_table, run, write_json  # noqa: E402
from benchmarks.conditions import conditions  # noqa: E402
from mindspore_gs import ChannelPruner, recalibrate, summary  # noqa: E402
from mindspore_gs._cells import copy_network  # noqa: E402
from mindspore_gs.graph import RESIDUAL_POLICIES  # noqa: E402
from mindspore_gs.pruner.compensation import compensate  # noqa: E402
from mindspore_gs.pruner.criteria import CRITERIA  # noqa: E402
from mindspore_gs.pruner.widths import KINDS, SCOPES  # noqa: E402

REPAIRS = ("nothing", "recalibrated", "compensated")
SHARED = ("net", "residual", "images", "epochs", "lr", "batch", "holdout", "eval_on", "budget", "pretrained")
ONE = ("criterion", "scope", "target", "seed")


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--net", default="resnet20", choices=NETWORKS)
    result.add_argument("--data_path", help="folder of CIFAR-10's binary files; without it: scikit-learn's digits")
    result.add_argument("--pretrained", help="checkpoint of the dense network; without it one is trained for 20 epochs")
    result.add_argument("--out", type=Path, required=True, help="folder of the runs, one JSON file each")
    result.add_argument("--criteria", nargs="+", default=["l1"], help=", ".join(CRITERIA))
    result.add_argument("--scopes", nargs="+", default=["layer"], choices=SCOPES, help="how the target is met")
    result.add_argument("--targets", nargs="+", type=float, default=[0.5], help="shares that are left")
    result.add_argument("--budget", default="macs", choices=KINDS, help="what the target counts")
    result.add_argument("--seeds", nargs="+", type=int, default=[0])
    result.add_argument("--residual", default="inner", choices=RESIDUAL_POLICIES)
    result.add_argument("--min-channels", type=int, default=4, help="that a layer keeps at least")
    result.add_argument("--images", type=int, default=1024, help="training images for recalibration and compensation")
    result.add_argument("--epochs", type=int, default=0, help="of fine-tuning; 0: none")
    result.add_argument("--tune", nargs="+", default=["recalibrated"], choices=REPAIRS, help="what is fine-tuned")
    result.add_argument("--lr", type=float, default=0.01, help="of fine-tuning, cosine to 0")
    result.add_argument("--batch", type=int, default=128)
    result.add_argument("--holdout", type=int, default=0, help="training images that are kept out of everything")
    result.add_argument("--eval_on", default="test", choices=("test", "holdout"))
    return result


def measure(options: argparse.Namespace) -> dict:
    """Do the runs that are not there yet.

    Returns:
        ``rows``, one for each run: what was asked for, ``macs`` and ``params`` as shares of the dense network's,
        ``dense``, ``before`` (accuracy by repair), ``after`` (by what was fine-tuned) and ``seconds``.

    Raises:
        ValueError: a file in the folder is of a run with other settings, or a criterion is unknown.
    """
    unknown = [name for name in options.criteria if name not in CRITERIA]
    if unknown:
        raise ValueError(f"the criterion {unknown[0]!r} is unknown; there are {', '.join(CRITERIA)}.")
    settings = {name: getattr(options, name) for name in SHARED} | {"min_channels": options.min_channels}
    rows, bench = [], None
    for values in itertools.product(options.criteria, options.scopes, options.targets, options.seeds):
        asked = dict(zip(ONE, values))
        place = options.out / ("-".join(str(value) for value in (options.net, *values)) + ".json")
        row = _stored(place, settings, options.tune if options.epochs else [])
        if row is None:
            bench = bench or Bench(options)
            row = {"settings": settings, **asked, **bench.one(**asked)}
            write_json({**conditions(), **row}, place)
            print(place, {kind: {name: round(value, 2) for name, value in row[kind].items()}
                          for kind in ("before", "after")}, flush=True)
        rows.append(row)
    return {"rows": rows}


def _stored(place: Path, settings: dict[str, Any], tuned: list[str]) -> dict | None:
    """The run in a file, or None where there is none yet."""
    if not place.is_file():
        return None
    row: dict = json.loads(place.read_text())
    if row["settings"] != settings or not set(tuned) <= row["after"].keys():
        raise ValueError(f"{place} is of a run with other settings ({row['settings']}); give another --out.")
    return row


class Bench:
    """The images and the dense network that all runs share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.data: Data = load_data(options.data_path, options.holdout, options.eval_on)
        self.net = build(options.net, len(self.data.classes))
        if options.pretrained:
            load_checkpoint(self.net, options.pretrained)
        else:
            self._train(self.net, 20, 0.1, seed=0, title="dense network")
        self.dense = self._accuracy(self.net)

    def one(self, criterion: str, scope: str, target: float, seed: int) -> dict[str, Any]:
        """One run."""
        begin, batches = time.monotonic(), self._batches(seed)
        pruner = ChannelPruner(criterion=criterion, scope=scope, target={self.options.budget: target}, seed=seed,
                               residual=self.options.residual, input_shape=(1, 3, 32, 32),
                               min_channels=self.options.min_channels, data=batches)
        masked = pruner.apply(copy_network(self.net))
        nets = {"nothing": pruner.convert(masked)}
        nets["recalibrated"] = recalibrate(copy_network(nets["nothing"]), batches)
        started = time.monotonic()
        compensate(masked, batches, samples=self.options.images)
        repair = time.monotonic() - started
        nets["compensated"] = pruner.convert(masked)
        found = summary(self.net, nets["nothing"], (1, 3, 32, 32))
        row: dict[str, Any] = {"macs": found.macs_ratio, "params": found.params_ratio, "dense": self.dense,
                               "before": {name: self._accuracy(net) for name, net in nets.items()}, "after": {}}
        for name in self.options.tune if self.options.epochs else ():
            self._train(nets[name], self.options.epochs, self.options.lr, seed, name)
            row["after"][name] = self._accuracy(nets[name])
        return row | {"seconds": {"compensation": repair, "all": time.monotonic() - begin}}

    def _batches(self, seed: int) -> list[ms.Tensor]:
        """Training images of a seed, in batches."""
        chosen = np.random.default_rng(seed).permutation(len(self.data.train))[:self.options.images]
        size = self.options.batch
        return [ms.Tensor(normalise(self.data.train.pixels[chosen[k:k + size]])) for k in range(0, len(chosen), size)]

    def _accuracy(self, net: nn.Cell) -> float:
        """In percent, in Graph mode."""
        return 100 * accuracy(net, self.data.evaluation, batch_size=1000)

    def _train(self, net: nn.Cell, epochs: int, rate: float, seed: int, title: str) -> None:
        batches = Batches(self.data.train, self.options.batch, seed, self.data.augment)
        rates = cosine(rate, epochs * len(batches))
        train(net, batches, epochs, sgd(net.trainable_params(), rates, 0.9, 5e-4), title)


def table(record: dict) -> Table:
    """Mean and spread over the seeds."""
    options = record["options"]
    tuned = options["tune"] if options["epochs"] else []
    result = make_table(f"{options['net']}: accuracy in percent, mean over {len(options['seeds'])} seeds +- half of "
                        "the range", ("criterion", "widths"),
                        ("MACs", "parameters", *REPAIRS, *(f"{name}, {options['epochs']} epochs" for name in tuned)))
    for key in dict.fromkeys((row["criterion"], row["scope"], row["target"]) for row in record["rows"]):
        rows = [row for row in record["rows"] if (row["criterion"], row["scope"], row["target"]) == key]
        columns = [[row["before"][name] for row in rows] for name in REPAIRS]
        columns += [[row["after"][name] for row in rows] for name in tuned]
        shares = [f"{np.mean([row[kind] for row in rows]):.3f}" for kind in ("macs", "params")]
        result.add_row(*key[:2], *shares, *(f"{np.mean(c):.2f} +- {(max(c) - min(c)) / 2:.2f}" for c in columns))
    return result


if __name__ == "__main__":
    ms.set_context(mode=ms.GRAPH_MODE)
    run(parser(), measure, table, draw)
