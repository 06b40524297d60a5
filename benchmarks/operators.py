"""What a training step spends on which operators, by MindSpore's profiler: dense against another network.

    python benchmarks/operators.py --net resnet50 --batch 32 --size 64 --against knockoff

Where the milliseconds of benchmarks/training.py go. Graph mode on the CPU.
"""

import argparse
import csv
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

import mindspore as ms  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks import training  # noqa: E402
from benchmarks.command import make_table, run  # noqa: E402

WARM_UP = 3
SMALL = 0.002  # share of the dense step, below which an operator goes into the row of others


def parser() -> argparse.ArgumentParser:
    """Those of training.py, and which network is compared."""
    result = training.parser()
    result.description = __doc__.splitlines()[0]
    result.add_argument("--against", default="knockoff", help="knockoff, masked, 'slim keep' or 'slim couple'")
    return result


def measure(options: argparse.Namespace) -> dict:
    """Profile both networks.

    Returns:
        ``rows``: ``operator``, and milliseconds in one step (``dense``, ``other``), largest first.
    """
    ms.set_context(mode=ms.GRAPH_MODE)
    nets = training.networks(options)
    found = [milliseconds(training.training_step(name, nets[name], options), options.runs)
             for name in ("dense", options.against)]
    total = sum(found[0].values())
    shown = [name for name in {**found[0], **found[1]} if max(times.get(name, 0) for times in found) > SMALL * total]
    rows = [{"operator": name, "dense": found[0].get(name, 0.0), "other": found[1].get(name, 0.0)} for name in shown]
    rest = [sum(times.values()) - sum(times.get(name, 0) for name in shown) for times in found]
    rows.sort(key=lambda row: -max(row["dense"], row["other"]))
    return {"rows": [*rows, {"operator": "others", "dense": rest[0], "other": rest[1]},
                     {"operator": "all", **dict(zip(("dense", "other"), (sum(times.values()) for times in found)))}]}


def milliseconds(step: Callable[[], object], runs: int) -> dict[str, float]:
    """Time of each kind of operator in one step, mean over ``runs``."""
    for _ in range(WARM_UP):
        step()
    with tempfile.TemporaryDirectory() as folder:
        profiler = ms.profiler.Profiler(start_profile=False, output_path=folder)
        profiler.start()
        for _ in range(runs):
            step()
        profiler.stop()
        profiler.analyse()
        file = next(Path(folder).glob("**/cpu_op_type_info_*.csv"))
        with open(file, newline="") as text:
            rows = list(csv.DictReader(text))
    return {row["op_type"]: float(row["total_compute_time"]) / runs for row in rows}


def table(record: dict) -> Table:
    """One line for each operator."""
    o, rows = record["options"], record["rows"]
    result = make_table(f"milliseconds in a training step: {o['net']}, batch {o['batch']}, {o['size']}x{o['size']}",
                        ("operator",), ("dense", o["against"]))
    for row in rows:
        result.add_row(row["operator"], f"{row['dense']:.1f}", f"{row['other']:.1f}")
    return result


if __name__ == "__main__":
    run(parser(), measure, table)
