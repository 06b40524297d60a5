"""Seconds of trace, groups, plan and slim, as ratios to the plain export of the network to MindIR.

    python benchmarks/tracing.py --net resnet50 chain1000 --size 64 --plot tracing.png

Each round builds the network anew and does all steps, so that nothing is cached; the rounds of the networks take turns.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.command import make_table, run  # noqa: E402
from benchmarks.networks import HELP, network  # noqa: E402
from benchmarks.tracing_plot import draw  # noqa: E402
from benchmarks.turns import ratio  # noqa: E402
from mindspore_gs._cells import forget_compilation  # noqa: E402
from mindspore_gs.graph import RESIDUAL_POLICIES, Group, trace  # noqa: E402
from mindspore_gs.pruner.select import number_kept  # noqa: E402
from mindspore_gs.slim import PrunePlan, slim  # noqa: E402

USUAL = ("resnet50", "mindcv:densenet121", "chain200")
FULL = ("resnet50", "resnet152", "mindcv:densenet121", "chain200", "chain1000")
WARM_UP = "chain4"  # done once before the rounds: imports, and MindSpore's first compilation
STEPS = ("export", "trace", "groups()", "plan", "slim", "trace to slim", "slim checked")
Result = TypeVar("Result")


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--net", nargs="+", help=f"{HELP} (default: {' '.join(USUAL)}; mindcv's where installed)")
    result.add_argument("--full", action="store_true", help=f"without --net: {' '.join(FULL)}; takes long")
    result.add_argument("--size", type=int, default=64, help="height and width of the image")
    result.add_argument("--batch", type=int, default=1)
    result.add_argument("--rate", type=float, default=0.5, help="share of each free group that is removed")
    result.add_argument("--residual", default="couple", choices=RESIDUAL_POLICIES)
    result.add_argument("--runs", type=int, default=3, help="rounds")
    return result


def measure(options: argparse.Namespace) -> dict:
    """Do the rounds and compare.

    Returns:
        ``rows``, one for each network: ``network``, ``nodes`` of its graph, ``convolutions``, ``groups``, ``seconds``
        (median by step) and ``ratios`` (by step, to ``export``).
    """
    if options.net is None:
        names = FULL if options.full else USUAL
        options.net = [name for name in names if not name.startswith("mindcv:") or find_spec("mindcv")]
    ms.set_context(mode=ms.GRAPH_MODE)
    sizes: dict[str, dict] = {}
    seconds = np.zeros((len(options.net), options.runs, len(STEPS)))
    one_round(WARM_UP, options)
    for turn in range(options.runs):
        for k, name in enumerate(options.net):
            sizes[name], seconds[k, turn] = one_round(name, options)
    rows = []
    for name, found in zip(options.net, seconds):
        rows.append({"network": name, **sizes[name], "seconds": dict(zip(STEPS, np.median(found, axis=0).tolist())),
                     "ratios": {step: ratio(found[:, k], found[:, 0]) for k, step in enumerate(STEPS)}})
    return {"rows": rows}


def one_round(name: str, options: argparse.Namespace) -> tuple[dict, list[float]]:
    """Every step once, on a new network: what was found in it, and seconds by step."""
    net = network(name)
    net.set_train(False)
    shape = (options.batch, 3, options.size, options.size)
    x = ms.ops.zeros(shape, ms.float32)
    with tempfile.TemporaryDirectory() as folder:
        _, export = timed(lambda: ms.export(net, x, file_name=str(Path(folder) / "net"), file_format="MINDIR"))
    forget_compilation(net)
    graph, tracing = timed(lambda: trace(net, shape))
    groups, grouping = timed(lambda: graph.groups(options.residual))
    plan, planning = timed(lambda: PrunePlan.from_groups(graph, first_channels(groups, options.rate)))
    _, slimming = timed(lambda: slim(net, plan, check=False))
    _, checked = timed(lambda: slim(net, plan))
    kinds = [node.op for node in graph.graph.nodes]
    found = {"nodes": len(kinds), "convolutions": kinds.count("Conv2D"), "groups": len(groups)}
    return found, [export, tracing, grouping, planning, slimming, tracing + grouping + planning + slimming, checked]


def first_channels(groups: Iterable[Group], rate: float) -> dict[Group, np.ndarray]:
    """For each free group, which channels stay: all but the last ``int(rate * size)``."""
    return {group: np.arange(group.size) < number_kept(group.size, rate) for group in groups
            if group.blocked_by is None}


def timed(action: Callable[[], Result]) -> tuple[Result, float]:
    """What an action returns, and its seconds."""
    begin = time.perf_counter()
    result = action()
    return result, time.perf_counter() - begin


def table(record: dict) -> Table:
    """One column for each network."""
    o, rows = record["options"], record["rows"]
    result = make_table(f"time / plain export, {o['size']}x{o['size']}, batch {o['batch']}, residual={o['residual']}, "
                        f"median [quartiles] of {o['runs']} rounds", ("step",), tuple(row["network"] for row in rows))
    for title in ("convolutions", "nodes", "groups"):
        result.add_row(title, *(str(row[title]) for row in rows))
    result.add_row("export, seconds", *(f"{row['seconds']['export']:.2f}" for row in rows), end_section=True)
    for step in STEPS[1:]:
        result.add_row(step, *(str(row["ratios"][step]) for row in rows))
    return result


if __name__ == "__main__":
    run(parser(), measure, table, draw)
