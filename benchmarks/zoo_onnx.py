"""Every network of the coverage page through ONNX: exported, and compared at batches 1 and 3 of one file.

    python benchmarks/zoo_onnx.py --out output/onnx.jsonl                  # all networks, one process each
    python benchmarks/zoo_onnx.py resnet18 vit_b_32_224 --out output/onnx.jsonl

Each network is one JSON line; a network that has a line is not run again, so the command goes on where it was stopped.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("GLOG_v", "3")
ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.recipes import Recipe, names, recipe, usual_size  # noqa: E402

SMALL = 64  # height and width that is tried first: convolutional networks take it, and it is fast
BATCHES = (1, 3)
FIRST = ("resnet18", "resnet50", "efficientnet_b0", "ghostnet_050", "hrnet_w32", "mobilenet_v3_small_075",
         "poolformer_s12", "vit_b_32_224", "skresnet18")


def measure(name: str, seed: int = 0) -> dict:
    """Export one network and compare the file.

    Returns:
        ``model``, ``size``, ``batch`` (``"open"``, or why it is fixed), ``worst`` (the largest difference of an output
        relative to its largest number, at the batches 1 and 3), ``error`` (empty where it exported) and ``seconds``.
    """
    from mindspore_gs.errors import first_line

    begin, record = time.monotonic(), {"model": name, "size": 0, "batch": "", "worst": None, "error": ""}
    for made in _recipes(name):
        record["size"] = made.shapes[0][-1]
        try:
            record["batch"], record["worst"], record["error"] = *_exported(made, seed), ""
        except Exception as error:  # the error is what this benchmark reports
            record["error"] = f"{type(error).__name__}: {first_line(error)}"
        if not record["error"]:
            break
    return record | {"seconds": round(time.monotonic() - begin, 1)}


def _recipes(name: str) -> list[Recipe]:
    """The network for small images where it is mindcv's, and for its own."""
    sizes = [0] if "/" in name or usual_size(name) <= SMALL else [SMALL, 0]
    return [recipe(name, size) for size in sizes]


def _exported(made: Recipe, seed: int) -> tuple[str, float]:
    import onnx

    from benchmarks.randomise import calibrate, samples
    from benchmarks.zoo import build
    from mindspore_gs import export_onnx
    from tests.export.run_onnx import worst_difference

    net = calibrate(build(made, seed), *samples(made.shapes, seed + 1))
    with tempfile.TemporaryDirectory() as folder:
        path = export_onnx(net, [(1, *shape) for shape in made.shapes], Path(folder) / "net")
        batch = onnx.load(path).metadata_props[0].value
        batches = BATCHES if batch == "open" else BATCHES[:1]
        return batch, max(worst_difference(path, net, *samples(made.shapes, n, n)) for n in batches)


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


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help=f"default: all {len(names())}")
    parser.add_argument("--out", type=Path, default=ROOT / "output" / "onnx.jsonl", help="file of the JSON lines")
    parser.add_argument("--timeout", type=int, default=3600, help="seconds for one network")
    parser.add_argument("--one", action="store_true", help="measure one network in this process, and print its line")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.models[0])))
        return
    run_all(options.models or list(dict.fromkeys((*FIRST, *names()))), options.out, options.timeout)


if __name__ == "__main__":
    main()
