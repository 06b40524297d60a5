"""Every network of the coverage page through ONNX, dense and slim: exported, compared at batches 1 and 3 of one file.

    python benchmarks/zoo_onnx.py --out output/onnx.jsonl                  # all networks, one process each
    python benchmarks/zoo_onnx.py resnet18 vit_b_32_224 --out output/onnx.jsonl
    python benchmarks/zoo_onnx.py --table --out output/onnx.jsonl          # Markdown from what is there

Each network is one JSON line; a network that has a line is not run again, so the command goes on where it was stopped.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("GLOG_v", "3")
ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from mindspore import nn  # noqa: E402

from benchmarks.recipes import Recipe, names, recipe, usual_size  # noqa: E402

SMALL = 64  # height and width that is tried first: convolutional networks take it, and it is fast
BATCHES = (1, 3)
FIRST = ("resnet18", "resnet50", "efficientnet_b0", "ghostnet_050", "hrnet_w32", "mobilenet_v3_small_075",
         "poolformer_s12", "vit_b_32_224", "skresnet18")


def measure(name: str, seed: int = 0) -> dict:
    """Export one network, dense and without a random half of the channels of every free group, and compare the files.

    Returns:
        ``model``, ``size``, ``seconds``, ``dense`` and ``slim``. The last two have ``batch`` (``"open"``, or why it is
        fixed), ``worst`` (the largest difference of an output relative to its largest number, at the batches 1 and
        3) and ``error`` (empty where it exported).
    """
    begin, record = time.monotonic(), {"model": name}
    for made in _recipes(name):
        try:
            dense = _dense(made, seed)
        except Exception as error:  # the error is what this benchmark reports
            record |= {"dense": {"error": _told(error)}, "slim": {"error": "not reached"}}
            continue
        record |= {"size": made.shapes[0][-1], "dense": _exported(dense, made),
                   "slim": _exported(partial(_slim, dense, made, seed), made)}
        if not record["dense"]["error"]:
            break
    return record | {"seconds": round(time.monotonic() - begin, 1)}


def _recipes(name: str) -> list[Recipe]:
    """The network for small images where it is mindcv's, and for its own."""
    sizes = [0] if "/" in name or usual_size(name) <= SMALL else [SMALL, 0]
    return [recipe(name, size) for size in sizes]


def _dense(made: Recipe, seed: int) -> nn.Cell:
    from benchmarks.randomise import calibrate, samples
    from benchmarks.zoo import build

    return calibrate(build(made, seed), *samples(made.shapes, seed + 1))


def _slim(net: nn.Cell, made: Recipe, seed: int) -> nn.Cell:
    from benchmarks.randomise import calibrate, samples
    from benchmarks.zoo import half
    from mindspore_gs.graph import trace
    from mindspore_gs.slim import PrunePlan, slim

    graph = trace(net, *((1, *shape) for shape in made.shapes))
    plan = PrunePlan.from_groups(graph, half(graph.groups(residual="couple"), seed))
    if not plan.keeps:
        raise NothingFree("no group with more than one channel is free")
    return calibrate(slim(net, plan, check=False), *samples(made.shapes, seed + 1))


class NothingFree(Exception):
    """No group with more than one channel is free."""


def _exported(net: nn.Cell | Callable[[], nn.Cell], made: Recipe) -> dict:
    import onnx

    from benchmarks.randomise import samples
    from mindspore_gs import export_onnx
    from tests.export.run_onnx import worst_difference

    try:
        net = net if isinstance(net, nn.Cell) else net()
        with tempfile.TemporaryDirectory() as folder:
            path = export_onnx(net, [(1, *shape) for shape in made.shapes], Path(folder) / "net")
            batch = onnx.load(path).metadata_props[0].value
            batches = BATCHES if batch == "open" else BATCHES[:1]
            worst = max(worst_difference(path, net, *samples(made.shapes, n, n)) for n in batches)
            return {"batch": batch, "worst": worst, "error": ""}
    except Exception as error:  # the error is what this benchmark reports
        return {"error": _told(error)}


def _told(error: Exception) -> str:
    from mindspore_gs.errors import first_line

    return f"{type(error).__name__}: {first_line(error)}"


def run_all(chosen: list[str], out: Path, timeout: int) -> None:
    """One process for each network that has no line yet."""
    out.parent.mkdir(parents=True, exist_ok=True)
    done = {json.loads(line)["model"] for line in out.read_text().splitlines()} if out.is_file() else set()
    for name in chosen:
        if name in done:
            continue
        command = [sys.executable, str(Path(__file__).resolve()), name, "--one"]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
            lines = [line for line in told.stdout.splitlines() if line.startswith("{")]
            record = json.loads(lines[-1]) if lines else {"model": name, "error": f"exit status {told.returncode}: "
                                                          f"{told.stderr.strip()[-200:]}"}
        except subprocess.TimeoutExpired:
            record = {"model": name, "error": f"stopped after {timeout} s"}
        with out.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(record, flush=True)


def page(out: Path) -> str:
    """The table: how many networks agree, and the worst difference of each."""
    from benchmarks.performance_table import table

    rows = [json.loads(line) for line in out.read_text().splitlines()]
    found = [[row["model"], str(row.get("size", "")), *(_cell(row.get(key, {"error": row.get("error", "not reached")}))
                                                   for key in ("dense", "slim")), _batch(row)] for row in rows]
    kept = [row for row in rows if not row.get("dense", {"error": "?"}).get("error", "?")]
    slim = [row for row in kept if not row["slim"]["error"]]
    worst = max(max(row["dense"]["worst"], row["slim"].get("worst", 0.0)) for row in kept)
    return (f"{len(kept)} of {len(rows)} networks dense, {len(slim)} slim; worst difference {worst:.1e}.\n\n"
            + table(["network", "size", "dense", "slim", "batch"], found))


def _cell(part: dict) -> str:
    return part["error"] or f"{part['worst']:.1e}"


def _batch(row: dict) -> str:
    return row.get("dense", {}).get("batch", "")


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help=f"default: all {len(names())}")
    parser.add_argument("--out", type=Path, default=ROOT / "output" / "onnx.jsonl", help="file of the JSON lines")
    parser.add_argument("--timeout", type=int, default=3600, help="seconds for one network")
    parser.add_argument("--table", action="store_true", help="print what the file of lines holds as Markdown")
    parser.add_argument("--one", action="store_true", help="measure one network in this process, and print its line")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.models[0])))
        return
    if options.table:
        print(page(options.out))
        return
    run_all(options.models or list(dict.fromkeys((*FIRST, *names()))), options.out, options.timeout)


if __name__ == "__main__":
    main()
