"""A residual network against the same network without its shortcuts: time, memory and size of the exported MindIR.

    python benchmarks/plain.py --net resnet20 --size 32 --batch 1 64 --json plain.json

Weights do not matter for this. The two files take turns in one process; the peak of memory is that of a process of its
own for each. Measure on a quiet machine.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.command import make_table, run  # noqa: E402
from benchmarks.inference import Exported  # noqa: E402
from benchmarks.networks import HELP, network  # noqa: E402
from benchmarks.turns import ratio  # noqa: E402
from mindspore_gs.distill import plain_network  # noqa: E402
from mindspore_gs.timing import take_turns  # noqa: E402


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--net", default="resnet20", help=HELP)
    result.add_argument("--size", type=int, nargs="+", default=[32], help="height and width of the image")
    result.add_argument("--batch", type=int, nargs="+", default=[1, 64], help="images in one call")
    result.add_argument("--projection", default="keep", choices=("keep", "drop"))
    result.add_argument("--runs", type=int, default=21, help="turns that count")
    return result


def measure(options: argparse.Namespace) -> dict:
    """Every size and batch.

    Returns:
        ``rows``: ``size``, ``batch``, ``ms`` (medians) and ``peak_mb``, residual first; ``bytes`` of the files;
        ``ratio``: time without shortcuts over time with them.
    """
    ms.set_context(mode=ms.GRAPH_MODE)
    rows = []
    for size in options.size:
        residual = network(options.net)
        nets = residual, plain_network(residual, (1, 3, size, size), options.projection)
        for batch in options.batch:
            with tempfile.TemporaryDirectory() as folder:
                shape = (batch, 3, size, size)
                files = [Exported(net, shape, Path(folder) / str(k)) for k, net in enumerate(nets)]
                seconds = take_turns([file.run for file in files], options.runs)
            rows.append({"size": size, "batch": batch, "ms": (1000 * np.median(seconds, axis=0)).tolist(),
                         "peak_mb": [file.peak_mb for file in files], "bytes": [file.bytes for file in files],
                         "ratio": ratio(seconds[:, 1], seconds[:, 0])})
    return {"rows": rows}


def table(record: dict) -> Table:
    """One line for each size and batch."""
    o = record["options"]
    result = make_table(f"{o['net']}: without shortcuts against with them, median [quartiles] of {o['runs']} turns",
                        ("image", "batch"), ("ms", "time, plain / residual", "peak MB"))
    for row in record["rows"]:
        result.add_row(f"{row['size']}x{row['size']}", str(row["batch"]), " / ".join(f"{t:.2f}" for t in row["ms"]),
                       str(row["ratio"]), " / ".join(map(str, row["peak_mb"])))
    return result


if __name__ == "__main__":
    run(parser(), measure, table)
