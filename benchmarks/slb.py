"""Weights of few bits: SLB from the trained weights, SLB from random logits, straight-through estimator; one budget.

    python benchmarks/slb.py --data_path DATA --pretrained CHECKPOINT --out runs --bits 1 2 4 --epochs 8 --seeds 0 1

Each run is one JSON file in the folder; a run whose file is there is not repeated. All ways train the same layers of
the same network with the same bits, scales, batches, optimizer and number of steps. A seed stands for its own order of
training and logits.
"""

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from mindspore import nn  # noqa: E402
from mindspore.common.dtype import QuantDtype  # noqa: E402
from mindspore.train import Callback  # noqa: E402
from rich.table import Table  # noqa: E402
from src.batches import Batches  # noqa: E402
from src.data import Data, load_data  # noqa: E402
from src.engine import accuracy, sgd, train  # noqa: E402
from src.files import load_checkpoint  # noqa: E402
from src.lr import cosine  # noqa: E402
from src.models import NETWORKS, build  # noqa: E402

from benchmarks.command import make_table, run  # noqa: E402
from benchmarks.stored_runs import stored_run  # noqa: E402
from benchmarks.straight_through import plain_weights, round_weights  # noqa: E402
from mindspore_gs import SlbQuantAwareTraining, save_quantized  # noqa: E402

WAYS = ("slb", "slb_random", "straight_through")
TYPES = {1: QuantDtype.INT1, 2: QuantDtype.INT2, 4: QuantDtype.INT4}
SHARED = ("net", "epochs", "batch", "train_images", "eval_images", "holdout", "eval_on", "t_factor", "all_layers",
          "pretrained")
ONE = ("way", "bits", "lr", "seed")


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--net", default="resnet20", choices=NETWORKS)
    result.add_argument("--data_path", help="folder of CIFAR-10's binary files; without it: scikit-learn's digits")
    result.add_argument("--pretrained", help="checkpoint of the float network; without it one is trained, 20 epochs")
    result.add_argument("--out", type=Path, required=True, help="folder of the runs, one JSON file each")
    result.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    result.add_argument("--bits", nargs="+", type=int, default=[1], choices=TYPES)
    result.add_argument("--lrs", nargs="+", type=float, default=[0.01], help="peak learning rates, cosine to 0")
    result.add_argument("--seeds", nargs="+", type=int, default=[0])
    result.add_argument("--epochs", type=int, default=8)
    result.add_argument("--batch", type=int, default=128)
    result.add_argument("--train_images", type=int, default=0, help="that are trained on; 0: all")
    result.add_argument("--eval_images", type=int, default=0, help="that are evaluated; 0: all")
    result.add_argument("--holdout", type=int, default=0, help="training images that are kept out of everything")
    result.add_argument("--eval_on", default="test", choices=("test", "holdout"))
    result.add_argument("--t_factor", type=float, default=3.2, help="of SLB's temperature; 1.2 needs many epochs")
    result.add_argument("--all_layers", action="store_true", help="the first and the last layers as well")
    return result


def measure(options: argparse.Namespace) -> dict:
    """Do the runs that are not there yet.

    Returns:
        ``rows``, one for each run: what was asked for, accuracies in percent (``dense``, ``trained``),
        ``bytes`` (float checkpoint and packed file) and ``seconds``.
    """
    settings = {name: getattr(options, name) for name in SHARED}
    bench, rows = Bench(options), []
    for values in itertools.product(options.ways, options.bits, options.lrs, options.seeds):
        asked = dict(zip(ONE, values))
        place = options.out / ("-".join(str(value) for value in (options.net, *values)) + ".json")
        rows.append(stored_run(place, settings | asked, lambda asked=asked: bench.one(**asked)) | asked)
    return {"rows": rows}


class EachEpoch(Callback):
    """Sets SLB's temperature, as its own callbacks do, which need the Model."""

    def __init__(self, algorithm: SlbQuantAwareTraining, net: nn.Cell) -> None:
        super().__init__()
        self._algorithm, self._net = algorithm, net

    def on_train_epoch_begin(self, run_context: Any) -> None:
        """Epochs are counted from 1."""
        self._algorithm.set_epoch(self._net, run_context.original_args().cur_epoch_num)


class Bench:
    """The images and the float network, read and made when the first run needs them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self._dense: float | None = None
        self._data: Data | None = None

    @property
    def data(self) -> Data:
        """The images."""
        if self._data is None:
            o = self.options
            self._data = load_data(o.data_path, o.holdout, o.eval_on, o.train_images, o.eval_images)
        return self._data

    def network(self) -> nn.Cell:
        """The trained float network, a fresh copy."""
        net = build(self.options.net, len(self.data.classes))
        if self.options.pretrained is None:
            ms.set_seed(0)
            self._train(net, 20, 0.1, 0, "float network")
            self.options.pretrained = str(self.options.out / "float.ckpt")
            self.options.out.mkdir(parents=True, exist_ok=True)
            ms.save_checkpoint(net, self.options.pretrained)
        return load_checkpoint(net, self.options.pretrained)

    def one(self, way: str, bits: int, lr: float, seed: int) -> dict[str, Any]:
        """One run."""
        begin, net = time.monotonic(), self.network()
        self._dense = self._accuracy(net) if self._dense is None else self._dense
        algorithm = SlbQuantAwareTraining(quant_dtype=TYPES[bits], epoch_size=self.options.epochs, has_trained_epoch=0,
                                          t_factor=self.options.t_factor, seed=seed, input_shape=(1, 3, 32, 32),
                                          keep_first_last=not self.options.all_layers,
                                          start="random" if way == "slb_random" else "weights")
        straight = way == "straight_through"
        net = round_weights(net, algorithm._config) if straight else algorithm.apply(net)
        callbacks = [] if straight else [EachEpoch(algorithm, net)]
        log = self._train(net, self.options.epochs, lr, seed, way, callbacks)
        small = plain_weights(net) if straight else algorithm.convert(net)
        found = {"dense": self._dense, "trained": self._accuracy(small), "losses": [entry["loss"] for entry in log]}
        if not straight:
            found["bytes"] = sizes(net=self.network(), small=small)
        shown = {name: round(found[name], 2) for name in ("dense", "trained")}
        return found | {"seconds": time.monotonic() - begin, "shown": shown}

    def _accuracy(self, net: nn.Cell) -> float:
        return 100 * accuracy(net, self.data.evaluation, batch_size=500)

    def _train(self, net: nn.Cell, epochs: int, rate: float, seed: int, title: str, callbacks: Any = ()) -> list:
        batches = Batches(self.data.train, self.options.batch, seed, self.data.augment)
        rates = cosine(rate, epochs * len(batches))
        return train(net, batches, epochs, sgd(net.trainable_params(), rates, 0.9, 5e-4), title, callbacks)


def sizes(net: nn.Cell, small: nn.Cell) -> dict[str, int]:
    """Bytes of the float checkpoint and of the file with packed weights."""
    with tempfile.TemporaryDirectory() as folder:
        ms.save_checkpoint(net, f"{folder}/float.ckpt")
        packed = save_quantized(small, f"{folder}/packed")
        return {"float": Path(folder, "float.ckpt").stat().st_size, "packed": packed.stat().st_size}


def table(record: dict) -> Table:
    """Mean and spread over the seeds."""
    o = record["options"]
    result = make_table(f"{o['net']}, {o['epochs']} epochs of {o['train_images'] or 'all'} images: accuracy in "
                        f"percent, mean over {len(o['seeds'])} seeds +- half of the range", ("way", "bits", "lr"),
                        ("float", "trained", "packed / float file"))
    for key in dict.fromkeys((row["way"], row["bits"], row["lr"]) for row in record["rows"]):
        rows = [row for row in record["rows"] if (row["way"], row["bits"], row["lr"]) == key]
        cells = [_spread([row[name] for row in rows]) for name in ("dense", "trained")]
        size = rows[0].get("bytes")
        result.add_row(*map(str, key), *cells, f"{size['packed'] / size['float']:.3f}" if size else "as SLB")
    return result


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.2f} +- {(max(values) - min(values)) / 2:.2f}"


if __name__ == "__main__":
    ms.set_context(mode=ms.GRAPH_MODE)
    run(parser(), measure, table)
