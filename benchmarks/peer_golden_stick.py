"""One training step of Golden Stick's knockoff and masked network against the dense one, and its exported MindIR.

Golden Stick 1.4.1, the peer, is called ``mindspore_gs`` too, so this needs an environment without this package:

    python3 -m venv /tmp/gsenv
    /tmp/gsenv/bin/pip install mindspore==2.10.0 'numpy<2' rich
    /tmp/gsenv/bin/pip install --no-deps mindspore-gs==1.4.1
    /tmp/gsenv/bin/python benchmarks/peer_golden_stick.py --batch 32 --size 32 --rate 0.45

The networks take turns in one process, as in ``benchmarks/training.py``, whose ratios to the dense step these can be
compared with: Adam on the scales of the knockoff network, Momentum for the others. The network is the example's
ResNet-50, whose layers have the names that Golden Stick looks for.
"""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

sys.path.append(str(Path(__file__).resolve().parents[1]))  # the last place, or `mindspore_gs` would be ours
from benchmarks.environment import ROOT  # noqa: E402, I001

# `src.models` would import the errors of our package, so only the folder of the file `resnet.py`, which needs MindSpore
sys.path.append(str(ROOT / "examples" / "resnet50_cifar10" / "src" / "models"))
import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from mindspore import nn, ops  # noqa: E402
from resnet import resnet50  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.command import make_table, run  # noqa: E402
from benchmarks.turns import ratio, timing  # noqa: E402

VERSION = "1.4.1"
CLASSES = 10
LEARNING_RATE = 1e-4  # the values do not matter, but they must stay finite

# Importing any part of Golden Stick imports all of it, and with it these packages, of which SCOP uses none: prettytable
# prints summaries; yaml, datasets and tqdm serve post-training quantization. Golden Stick does not declare tqdm.
UNUSED = ("prettytable", "yaml", "datasets", "tqdm")


def host_randperm(max_length: int) -> Callable[[ms.Tensor], ms.Tensor]:
    """In place of ``ops.Randperm``, which has no CPU kernel and which Golden Stick's callback calls in every step."""
    return lambda _: ms.Tensor(np.random.permutation(max_length).astype(np.int32))


def golden_stick() -> tuple[type, type]:
    """Golden Stick's knockoff and fine-tuning algorithm, imported with what they lack on this machine.

    Raises:
        SystemExit: ``mindspore_gs`` is missing, ours, or another version.
    """
    found = importlib.util.find_spec("mindspore_gs")
    place = found and found.origin
    peers = [peer for peer in distributions(name="mindspore-gs") if peer.version == VERSION]
    if place not in [str(peer.locate_file("mindspore_gs/__init__.py")) for peer in peers]:
        raise SystemExit(f"mindspore_gs must be Golden Stick {VERSION}, but is {place or 'missing'}; the top of "
                         f"{__file__} tells how to install it.")
    for name in UNUSED:
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = MagicMock()
    if ms.get_context("device_target") == "CPU":
        ops.Randperm = host_randperm
    from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo  # only now is it known whose they are

    return PrunerKfCompressAlgo, PrunerFtCompressAlgo


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--size", type=int, default=32, help="height and width of the image")
    result.add_argument("--batch", type=int, default=32)
    result.add_argument("--rate", type=float, default=0.45, help="prune rate of the masked network")
    result.add_argument("--runs", type=int, default=15, help="turns that count")
    return result


def measure(options: argparse.Namespace) -> dict:
    """Make the networks, let their steps take turns, export, and compare.

    Returns:
        ``golden_stick``, its version, and ``rows``, one for each network: ``network``, ``ms`` (median), ``ratio`` to
        the dense step, and for those that are exported ``bytes`` of the MindIR and ``bytes_ratio`` to the dense one.

    Raises:
        RuntimeError: a loss is not finite at the end, so the times are those of other numbers.
    """
    knockoff_algorithm, fine_tune_algorithm = golden_stick()
    ms.set_context(mode=ms.GRAPH_MODE)
    knockoff, fine_tune = knockoff_algorithm({}), fine_tune_algorithm({"prune_rate": options.rate})
    nets = {"dense": dense(), "knockoff": knockoff.apply(dense()), "masked": fine_tune.apply(knockoff.apply(dense()))}
    steps = [training_step(net, options, knockoff.callbacks() if name == "knockoff" else [])
             for name, net in nets.items()]
    seconds = timing().take_turns(steps, options.runs)
    lost = [name for name, step in zip(nets, steps) if not np.isfinite(step())]
    if lost:
        raise RuntimeError(f"the loss of {', '.join(lost)} is not finite after {options.runs} steps.")
    files = {"dense": mindir_bytes(nets["dense"], options.size),
             "masked": mindir_bytes(fine_tune.convert(nets["masked"]), options.size)}
    rows = []
    for name, column in zip(nets, seconds.T):
        row = {"network": name, "ms": 1000 * float(np.median(column)), "ratio": ratio(column, seconds[:, 0])}
        if name in files:
            row |= {"bytes": files[name], "bytes_ratio": files[name] / files["dense"]}
        rows.append(row)
    return {"golden_stick": VERSION, "rows": rows}


def dense() -> nn.Cell:
    """A fresh ResNet-50, always with the same weights."""
    ms.set_seed(0)
    return resnet50(CLASSES)


def training_step(net: nn.Cell, options: argparse.Namespace, callbacks: list[ms.train.Callback]) -> Callable[[], float]:
    """One step on random images and labels; it returns the loss.

    With Golden Stick's callback the optimizer is Adam, and a step begins with the callback, which appends the images
    in another order to the images, and their labels to the labels. The loss is the mean over both halves.
    """
    random = np.random.default_rng(0)
    shape = (options.batch, 3, options.size, options.size)
    x = ms.Tensor(random.standard_normal(shape).astype(np.float32))
    labels = ms.Tensor(random.integers(CLASSES, size=options.batch).astype(np.int32))
    trained = net.trainable_params()
    optimizer = nn.Adam(trained, LEARNING_RATE) if callbacks else nn.Momentum(trained, LEARNING_RATE, 0.9)
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    step = nn.TrainOneStepCell(nn.WithLossCell(net, loss), optimizer)
    step.set_train()

    def act() -> float:
        arguments = SimpleNamespace(train_dataset_element=[x, labels])
        for callback in callbacks:
            callback.step_begin(SimpleNamespace(original_args=lambda: arguments))
        return float(step(*arguments.train_dataset_element).asnumpy())

    return act


def mindir_bytes(net: nn.Cell, size: int) -> int:
    """Size of the MindIR for one image. Golden Stick's documentation exports the masked network, and so is it here."""
    net.set_train(False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.mindir"
        image = ms.Tensor(np.zeros((1, 3, size, size), np.float32))
        ms.export(net, image, file_name=str(path), file_format="MINDIR")
        return path.stat().st_size


def table(record: dict) -> Table:
    """One line for each network."""
    o = record["options"]
    result = make_table(f"Golden Stick {record['golden_stick']} against dense: resnet50, batch {o['batch']}, "
                        f"{o['size']}x{o['size']}, rate {o['rate']}, median [quartiles] of {o['runs']} turns",
                        ("network",), ("step / dense", "MindIR, MB", "MindIR / dense"))
    for row in record["rows"]:
        file = [f"{row['bytes'] / 1e6:.1f}", f"{row['bytes_ratio']:.3f}"] if "bytes" in row else []
        result.add_row(row["network"], str(row["ratio"]), *file)
    return result


if __name__ == "__main__":
    run(parser(), measure, table)
