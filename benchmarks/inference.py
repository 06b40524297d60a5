"""Inference of the exported MindIR: dense against slim, time and size as ratios.

    python benchmarks/inference.py --net resnet50 --rate 0.2 0.45 0.7 --size 32 224 --batch 1 64 --plot latency.png

Each slim file takes turns with the dense one, in one process. --full measures every combination.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from mindspore import nn  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.command import make_table, run  # noqa: E402
from benchmarks.inference_plot import draw  # noqa: E402
from benchmarks.memory import peak_memory  # noqa: E402
from benchmarks.networks import HELP, network  # noqa: E402
from benchmarks.operators import milliseconds  # noqa: E402
from benchmarks.stages import Stages  # noqa: E402
from benchmarks.turns import ratio  # noqa: E402
from mindspore_gs.timing import take_turns  # noqa: E402
from mindspore_gs import export_mindir, load_mindir  # noqa: E402
from mindspore_gs.graph import RESIDUAL_POLICIES, trace  # noqa: E402
from mindspore_gs.report import compare  # noqa: E402

USUAL = {"size": [224], "batch": [1], "rate": [0.2, 0.45, 0.7], "round_to": [8]}
FULL = {"size": [32, 224], "batch": [1, 64], "rate": [0.2, 0.3, 0.4, 0.5, 0.6, 0.7], "round_to": [8, 16]}


def parser() -> argparse.ArgumentParser:
    """The options; where several values are given, every combination is measured."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--net", default="resnet50", help=HELP)
    result.add_argument("--classes", type=int, default=10)
    result.add_argument("--size", type=int, nargs="+", help=f"height and width of the image {USUAL['size']}")
    result.add_argument("--batch", type=int, nargs="+", help=f"images in one call {USUAL['batch']}")
    result.add_argument("--rate", type=float, nargs="+", help=f"prune rates {USUAL['rate']}")
    result.add_argument("--round-to", type=int, nargs="+",
                        help=f"kept channels are a multiple of this {USUAL['round_to']}")
    result.add_argument("--residual", nargs="+", default=list(RESIDUAL_POLICIES), choices=RESIDUAL_POLICIES)
    result.add_argument("--runs", type=int, default=15, help="turns that count")
    result.add_argument("--full", action="store_true", help=f"what is not given becomes {FULL}; takes long")
    return result


def measure(options: argparse.Namespace) -> dict:
    """Export, reload and run every combination in turns with the dense network.

    Returns:
        ``rows``: ``size``, ``batch``, ``residual``, ``round_to``, ``rate``; ``params_ratio``, ``macs_ratio``,
        ``bytes`` and ``bytes_ratio`` of the file, ``ms`` (medians) and ``peak_mb``, each dense first where there are
        two; ``ratio`` (slim time / dense time) and ``speed_up``, its inverse; ``folding``: time of the slim network as
        ``mindspore.export`` writes it over that of the file, in which BatchNorm is folded; ``gathers``: share of the
        Gathers of "keep" in the time of all operators, by MindSpore's profiler.
    """
    for key, values in (FULL if options.full else USUAL).items():
        if getattr(options, key) is None:
            setattr(options, key, values)
    ms.set_context(mode=ms.GRAPH_MODE)
    rows = []
    for size in options.size:
        slims = list(slim_networks(options, size))
        dense = network(options.net, options.classes)
        graph = trace(dense, (1, 3, size, size))
        reports = [compare(graph, trace(net, (1, 3, size, size))) for _, net in slims]
        for batch in options.batch:
            shape = (batch, 3, size, size)
            with tempfile.TemporaryDirectory() as folder:
                reference = Exported(dense, shape, Path(folder) / "dense")
                for (labels, net), report in zip(slims, reports):
                    row = {"size": size, "batch": batch, **labels, "params_ratio": report.params_ratio,
                           "macs_ratio": report.macs_ratio}
                    rows.append(row | against(reference, net, shape, Path(folder), options.runs))
    return {"rows": rows}


def slim_networks(options: argparse.Namespace, size: int) -> Iterator[tuple[dict, nn.Cell]]:
    """Every slim network for one size of the image, with what it was made with."""
    for residual in options.residual:
        stages = Stages(options.net, residual, size, options.classes)
        for round_to, rate in product(options.round_to, options.rate):
            yield {"residual": residual, "round_to": round_to, "rate": rate}, stages.slim(rate, round_to)


class Exported:
    """The MindIR of a network: its bytes, the peak memory of a process that runs it, and a run on random images."""

    def __init__(self, net: nn.Cell, shape: tuple[int, ...], path: Path) -> None:
        file = export_mindir(net, shape, path)
        self.bytes, self.peak_mb = file.stat().st_size, peak_memory(file, shape)
        self.run = runner(load_mindir(file), shape)


def runner(cell: nn.Cell, shape: tuple[int, ...]) -> Callable[[], object]:
    """A run on random images that waits for its result."""
    x = ms.Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    return lambda: cell(x).asnumpy()


def plain(net: nn.Cell, shape: tuple[int, ...], path: Path) -> Callable[[], object]:
    """A run of what ``mindspore.export`` writes of a network."""
    ms.export(net.set_train(False), ms.ops.zeros(shape, ms.float32), file_name=str(path), file_format="MINDIR")
    return runner(load_mindir(path.with_suffix(".mindir")), shape)


def against(dense: Exported, net: nn.Cell, shape: tuple[int, ...], folder: Path, runs: int) -> dict:
    """Times, bytes and memory of the dense and a slim network."""
    slim = Exported(net, shape, folder / "slim")
    seconds = take_turns([dense.run, slim.run, plain(net, shape, folder / "plain")], runs)
    before, after, unfolded = seconds.T
    operators = milliseconds(slim.run, runs)
    return {"bytes": [dense.bytes, slim.bytes], "bytes_ratio": slim.bytes / dense.bytes,
            "peak_mb": [dense.peak_mb, slim.peak_mb],
            "ms": (1000 * np.median(seconds[:, :2], axis=0)).tolist(), "ratio": ratio(after, before),
            "speed_up": ratio(before, after), "folding": ratio(unfolded, after),
            "gathers": operators.get("Gather", 0.0) / sum(operators.values())}


def table(record: dict) -> Table:
    """One line for each slim network, input size and batch."""
    o = record["options"]
    result = make_table(f"inference of the MindIR, slim against dense: {o['net']}, {o['classes']} classes, "
                        f"median [quartiles] of {o['runs']} turns", ("image", "batch", "residual"),
                        ("round", "rate", "params", "bytes", "MACs", "ideal", "speed-up", "folding", "gathers",
                         "peak MB"))
    for row in record["rows"]:
        result.add_row(f"{row['size']}x{row['size']}", str(row["batch"]), row["residual"], str(row["round_to"]),
                       f"{row['rate']:.2f}", f"{row['params_ratio']:.1%}", f"{row['bytes_ratio']:.1%}",
                       f"{row['macs_ratio']:.1%}", f"{1 / row['macs_ratio']:.2f}", str(row["speed_up"]),
                       f"{row['folding'].median:.2f}", f"{row['gathers']:.1%}",
                       " / ".join(map(str, row["peak_mb"])))
    return result


if __name__ == "__main__":
    run(parser(), measure, table, draw)
