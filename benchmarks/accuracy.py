"""Accuracy after pruning: criteria x widths x targets x seeds x repairs, without training and after it.

    python benchmarks/accuracy.py --data_path DATA --pretrained CHECKPOINT --out runs --criteria l1 random --seeds 0 1 2
    python benchmarks/accuracy.py ... --steps 25 50 100 --tune recalibrated compensated --teachers 0 0.5
    python benchmarks/accuracy.py ... --starts scratch-E scratch-B rewound unlearned

Each network that is measured is one JSON file in the folder. What is there is not measured again, so the command goes
on where it was stopped. The rows of one criterion, scope, target and seed share the choice of channels. A seed stands
for its own training images (``--images``: for criteria that look at data, the knockoff phase and compensation, as they
are; augmented, as training has them, for recalibration), its own order of training, and its own random scores. Without
--data_path the images are scikit-learn's digits; without --pretrained a dense network is trained first.

Further rows start from other weights in the same slim architecture. scratch-E trains initial weights for
``--scratch-epochs``, scratch-B for as many MACs as that costs the dense network (Liu et al., Rethinking the Value of
Network Pruning, ICLR 2019). rewound trains the dense network's weights of an early step for ``--scratch-epochs`` less
what was trained by then (Frankle et al., Linear Mode Connectivity and the Lottery Ticket Hypothesis, ICML 2020).
unlearned has channels of its own: gates are trained for ``--gate-steps`` on initial weights that stay as they are, and
the channels with the largest ones are trained as scratch-E (Wang et al., Pruning from Scratch, AAAI 2020).
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from rich.table import Table  # noqa: E402
from src.data import load_data  # noqa: E402
from src.models import NETWORKS  # noqa: E402

from benchmarks.accuracy_nets import Dense, Slims  # noqa: E402
from benchmarks.accuracy_plot import draw  # noqa: E402
from benchmarks.accuracy_rows import REPAIRS, STARTS, Choice, Row, grouped, spread, stored  # noqa: E402
from benchmarks.command import make_table, run, write_json  # noqa: E402
from benchmarks.conditions import conditions  # noqa: E402
from mindspore_gs.graph import RESIDUAL_POLICIES  # noqa: E402
from mindspore_gs.pruner.criteria import CRITERIA  # noqa: E402
from mindspore_gs.pruner.widths import KINDS, SCOPES  # noqa: E402

SHARED = ("net", "residual", "images", "batch", "holdout", "eval_on", "test_images", "budget", "min_channels",
          "kf_steps", "pretrained")


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    _what(result)
    _images(result)
    _training(result)
    return result


def _what(result: argparse.ArgumentParser) -> None:
    result.add_argument("--net", default="resnet20", choices=NETWORKS)
    result.add_argument("--pretrained", help="checkpoint of the dense network; without it one is trained")
    result.add_argument("--out", type=Path, required=True, help="folder of the rows, one JSON file each")
    result.add_argument("--criteria", nargs="+", default=["l1"], help=", ".join(CRITERIA))
    result.add_argument("--scopes", nargs="+", default=["layer"], choices=SCOPES, help="how the target is met")
    result.add_argument("--targets", nargs="+", type=float, default=[0.5], help="shares that are left")
    result.add_argument("--budget", default="macs", choices=KINDS, help="what the target counts")
    result.add_argument("--seeds", nargs="+", type=int, default=[0])
    result.add_argument("--residual", default="inner", choices=RESIDUAL_POLICIES)
    result.add_argument("--min-channels", type=int, default=4, help="that a layer keeps at least")
    result.add_argument("--repairs", nargs="*", default=list(REPAIRS), choices=REPAIRS, help="rows without training")
    result.add_argument("--starts", nargs="*", default=[], choices=STARTS, help="rows that start from other weights")


def _images(result: argparse.ArgumentParser) -> None:
    result.add_argument("--data_path", help="folder of CIFAR-10's binary files; without it: scikit-learn's digits")
    result.add_argument("--images", type=int, default=1024, help="training images for everything but training")
    result.add_argument("--test_images", type=int, default=0, help="use only so many test images; 0: all")
    result.add_argument("--holdout", type=int, default=0, help="training images that are kept out of everything")
    result.add_argument("--eval_on", default="test", choices=("test", "holdout"))
    result.add_argument("--engine", default="onnxruntime", choices=("onnxruntime", "mindspore"),
                        help="what the accuracy is measured with; the same file, and onnxruntime is faster on a CPU")


def _training(result: argparse.ArgumentParser) -> None:
    result.add_argument("--kf-steps", type=int, default=100, help="of the knockoff phase, for criteria that read it")
    result.add_argument("--steps", nargs="*", type=int, default=[], help="of fine-tuning, each a run of its own")
    result.add_argument("--epochs", nargs="*", type=int, default=[], help="the same in epochs")
    result.add_argument("--tune", nargs="+", default=["recalibrated"], choices=REPAIRS, help="what is fine-tuned")
    result.add_argument("--teachers", nargs="+", type=float, default=[0.5],
                        help="shares of the dense network in the loss; 0: no teacher")
    result.add_argument("--few", action="store_true", help="fine-tune on the seed's own images alone")
    result.add_argument("--lrs", nargs="+", type=float, default=[0.01], help="of fine-tuning, cosine to 0")
    result.add_argument("--batch", type=int, default=128)
    result.add_argument("--scratch-epochs", type=int, default=20, help="of scratch-E")
    result.add_argument("--gate-steps", type=int, default=390, help="of the gates of unlearned")
    result.add_argument("--scratch-lr", type=float, default=0.1)
    result.add_argument("--dense-epochs", type=int, default=20, help="of the dense network without --pretrained")
    result.add_argument("--early", help="checkpoint that rewound networks start from")
    result.add_argument("--rewind", type=int, default=100, help="the step of the training that it is from")


def measure(options: argparse.Namespace) -> dict:
    """Measure the rows that are not there yet.

    Returns:
        ``rows``, one for each network: what was asked for (:class:`~benchmarks.accuracy_rows.Row`), ``accuracy`` and
        ``dense`` in percent, ``macs`` and ``params`` as shares of the dense network's, ``channels`` that each
        convolution keeps, and ``seconds``.

    Raises:
        ValueError: a file in the folder is of a run with other settings, or a criterion is unknown.
    """
    _check(options)
    (options.out / "networks").mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(options, name) for name in SHARED}
    dense = Dense(options, load_data(options.data_path, options.holdout, options.eval_on,
                                     eval_images=options.test_images))
    rows = []
    for values in itertools.product(options.criteria, options.scopes, options.targets, options.seeds):
        slims: Slims | None = None
        for row in wanted(Choice(*values), options, len(dense.data.train) // options.batch):
            place = options.out / row.file(options.net)
            found = stored(place, settings)
            if found is None:
                slims = slims or Slims(dense, row.choice)
                found = {"settings": settings, **slims.measure(row)}
                write_json({**conditions(), **found}, place)
                print(place, round(found["accuracy"], 2), flush=True)
            rows.append(found)
    return {"rows": rows}


def _check(options: argparse.Namespace) -> None:
    unknown = [name for name in options.criteria if name not in CRITERIA]
    if unknown:
        raise ValueError(f"the criterion {unknown[0]!r} is unknown; there are {', '.join(CRITERIA)}.")
    if "scratch-B" in options.starts and options.budget != "macs":
        raise ValueError(f"scratch-B trains for as many MACs as the dense network, so 'budget' must be 'macs', but is "
                         f"{options.budget!r}; leave it out of --starts.")


def wanted(choice: Choice, options: argparse.Namespace, epoch: int) -> Iterator[Row]:
    """The rows of one choice of channels: without training, fine-tuned, from other weights.

    Args:
        choice: the channels.
        options: of the command.
        epoch: steps of one epoch.
    """
    for repair in options.repairs:
        yield Row(choice, repair)
    lengths = sorted({*options.steps, *(epochs * epoch for epochs in options.epochs)} - {0})
    for steps, repair, teacher, lr in itertools.product(lengths, options.tune, options.teachers, options.lrs):
        yield Row(choice, repair, steps, teacher, options.few, lr)
    whole = options.scratch_epochs * epoch
    for start in options.starts:
        steps = {"scratch-B": round(whole / choice.target), "rewound": whole - options.rewind}.get(start, whole)
        yield Row(choice, start, steps, lr=options.scratch_lr)


def table(record: dict) -> Table:
    """Mean and spread over the seeds."""
    result = make_table(f"{record['options']['net']}: accuracy in percent, mean over the seeds +- half of the range",
                        ("criterion", "widths", "weights"),
                        ("steps", "teacher", "MACs", "parameters", "accuracy", "seeds"))
    for key, rows in grouped(record["rows"], ("criterion", "scope", "weights", "steps", "teacher", "few", "lr",
                                              "target")):
        shares = [f"{np.mean([row[kind] for row in rows]):.3f}" for kind in ("macs", "params")]
        result.add_row(*key[:3], str(key[3]), f"{key[4]:g}", *shares, spread(rows), str(len(rows)))
    return result


if __name__ == "__main__":
    ms.set_context(mode=ms.GRAPH_MODE)
    run(parser(), measure, table, draw)
