"""Inference of the exported MindIR: dense against slim, size and time, as ratios measured in one process.

    python benchmarks/inference.py --net resnet50 --rate 0.45 --residual keep --size 224 --batch 1

Dense and slim take turns, and the medians of all runs are compared, so that whatever else the machine does hits both.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("GLOG_v", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples" / "resnet50_cifar10")]

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from src.models import build  # noqa: E402

from mindspore_gs import (  # noqa: E402
    PrunerFtCompressAlgo,
    PrunerKfCompressAlgo,
    export_mindir,
    load_mindir,
    summary,
)


def slimmed(net: str, classes: int, rate: float, residual: str, shape: tuple[int, ...]):
    """The dense network and its slim version, pruned by the L1 norm: which channels go does not matter here."""
    dense = build(net, classes)
    knockoff = PrunerKfCompressAlgo(residual=residual, input_shape=shape).apply(build(net, classes))
    algorithm = PrunerFtCompressAlgo(prune_rate=rate, criterion="l1")
    return dense, algorithm.convert(algorithm.apply(knockoff))


def alternate(cells: list, x: ms.Tensor, runs: int) -> list[list[float]]:
    """Milliseconds of each run of each cell; the cells take turns."""
    times: list[list[float]] = [[] for _ in cells]
    for cell in cells:
        cell(x).asnumpy()
        cell(x).asnumpy()
    for _ in range(runs):
        for cell, found in zip(cells, times):
            begin = time.perf_counter()
            cell(x).asnumpy()
            found.append(1000 * (time.perf_counter() - begin))
    return times


def measure(options: argparse.Namespace) -> dict:
    """Export both, run both, and compare."""
    shape = (options.batch, 3, options.size, options.size)
    dense, slim = slimmed(options.net, options.classes, options.rate, options.residual, shape)
    report = summary(dense, slim, shape)
    with tempfile.TemporaryDirectory() as folder:
        paths = [export_mindir(net, shape, Path(folder) / name) for name, net in (("dense", dense), ("slim", slim))]
        x = ms.Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
        times = alternate([load_mindir(path) for path in paths], x, options.runs)
        sizes = [path.stat().st_size for path in paths]
    medians = [statistics.median(found) for found in times]
    quarters = [statistics.quantiles(found, n=4) for found in times]
    return {"options": vars(options), "params_ratio": report.params_ratio, "macs_ratio": report.macs_ratio,
            "params_after": report.params_after, "bytes": sizes, "bytes_ratio": sizes[1] / sizes[0], "ms": medians,
            "ms_quartiles": [[q[0], q[2]] for q in quarters], "speed_up": medians[0] / medians[1],
            "machine": platform.processor() or platform.machine(), "cores": os.cpu_count(),
            "mindspore": ms.__version__}


def main() -> None:
    """Read the options and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="resnet50", choices=["resnet18", "resnet20", "resnet50", "resnet56"])
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--rate", type=float, default=0.45)
    parser.add_argument("--residual", default="keep", choices=["keep", "couple"])
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--runs", type=int, default=30)
    print(json.dumps(measure(parser.parse_args()), indent=1))


if __name__ == "__main__":
    main()
