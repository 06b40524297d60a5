"""YOLOv8-n made smaller in two ways, on pictures that the example draws: by BatchNorm's gamma, and by SCOP.

The detector is trained with a penalty on gamma. Then each way removes channels until a share of the MACs is left,
fine-tunes the small detector, and exports it. A picture shows the boxes of all stages.
"""
from __future__ import annotations

import os

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # without it, convolutions crawl on CPUs with AVX-512
os.environ.setdefault("GLOG_v", "3")

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs import (PrunerFtCompressAlgo, PrunerKfCompressAlgo, export_mindir, export_onnx, prune, recalibrate,
                          save_pruned, summary)
from mindspore_gs.errors import PruningError
from mindspore_gs.progress import step

from measure import mean_precision, picture
from shapes import Pictures, draw_pictures

try:
    from detector import Boxes, WithLoss, build, detect
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is missing: pip install --no-deps -r benchmarks/requirements-coverage.txt")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default, text in (("size", 96, "height and width of a picture, a multiple of 32"),
                                ("images", 512, "pictures to train on"), ("batch", 16, "pictures in a step"),
                                ("steps", 600, "steps of the dense training"),
                                ("kf_steps", 60, "steps of the knockoff phase"),
                                ("ft_steps", 150, "steps of fine-tuning"), ("seed", 1, "of everything")):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text}; default {default}")
    parser.add_argument("--macs", type=float, default=0.6, help="share of the MACs that stays; default 0.6")
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=list(WAYS),
                        help="how channels are chosen, one small detector for each; default gamma scop")
    parser.add_argument("--mode", choices=("GRAPH", "PYNATIVE"), default="GRAPH",
                        help="GRAPH compiles each network, PYNATIVE the loss alone; default GRAPH")
    parser.add_argument("--out", default="output", help="folder for the files; default output")
    options = parser.parse_args()
    if options.size < 64 or options.size % 32:
        parser.error(f"--size must be a multiple of 32 from 64 on, but got {options.size}")
    if options.batch > options.images:
        parser.error(f"--batch must be at most --images, but got {options.batch} and {options.images}")
    return options


def train(net: nn.Cell, pictures: Pictures, steps: int, rate: float, options: argparse.Namespace, title: str,
          sparsity: float = 0.0) -> float:
    """So many steps of Adam on mindyolo's loss; returns the mean loss of the last ten."""
    net.set_train(True)
    rates = rate * np.minimum(1, np.arange(1, steps + 1) / 20) * (1 + np.cos(np.pi * np.arange(steps) / steps)) / 2
    optimizer = nn.Adam(net.trainable_params(), rates.astype(np.float32).tolist())
    training = nn.TrainOneStepCell(WithLoss(net, sparsity), optimizer)
    training.set_train(True)
    random, losses = np.random.default_rng(options.seed), []
    with step(title, steps) as running:
        for _ in range(steps):
            images, targets = pictures.inputs(random.choice(len(pictures), options.batch, replace=False))
            losses.append(float(training(ms.Tensor(images), ms.Tensor(targets)).asnumpy()))
            running.advance(text=f"{title}, loss {losses[-1]:.3f}")
    print(f"{title}: {steps} steps, loss {np.mean(losses[:10]):.3f} to {np.mean(losses[-10:]):.3f}", flush=True)
    return float(np.mean(losses[-10:]))


def by_gamma(dense: nn.Cell, pictures: Pictures, options: argparse.Namespace) -> nn.Cell:
    """Network slimming: the channels with the smallest |gamma| of all layers go."""
    return prune(dense, "bn_gamma", {"macs": options.macs}, (1, 3, options.size, options.size), scope="global",
                 min_channels=8, round_to=4)


def by_scop(dense: nn.Cell, pictures: Pictures, options: argparse.Namespace) -> nn.Cell:
    """SCOP: knockoff scales are trained, then the channels that lose against their knockoffs go."""
    knockoffs = PrunerKfCompressAlgo({"residual": "couple", "input_shape": (1, 3, options.size, options.size)})
    net = knockoffs.apply(_copy(dense))
    train(net, pictures, options.kf_steps, 0.01, options, "knockoff phase")
    algorithm = PrunerFtCompressAlgo({"target": {"macs": options.macs}, "min_channels": 8, "round_to": 4})
    return algorithm.convert(algorithm.apply(net))


WAYS = {"gamma": by_gamma, "scop": by_scop}


def _copy(dense: nn.Cell) -> nn.Cell:
    """Another network with the same values; the algorithm changes the one that it is given."""
    net = build()
    ms.load_param_into_net(net, {p.name: ms.Parameter(p.asnumpy(), name=p.name) for p in dense.get_parameters()},
                           strict_load=True)
    return net


def measured(net: nn.Cell, train_pictures: Pictures, pictures: Pictures, options: argparse.Namespace) -> float:
    """New BatchNorm statistics, then the mean average precision."""
    batches = [ms.Tensor(train_pictures.inputs(slice(start, start + options.batch))[0])
               for start in range(0, len(train_pictures) - options.batch + 1, options.batch)]
    recalibrate(net, batches[:16])
    return mean_precision(detect(net, pictures, 0.05), pictures)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All steps; returns what results.json holds."""
    out, shape = Path(options.out), (1, 3, options.size, options.size)
    out.mkdir(parents=True, exist_ok=True)
    fit, held_out = draw_pictures(options.images, options.size, options.seed), draw_pictures(64, options.size, 10**6)
    dense = build()
    train(dense, fit, options.steps, 2e-3, options, "dense training", sparsity=1e-3)
    results: dict[str, Any] = {"dense": {"precision": _said("dense", measured(dense, fit, held_out, options))}}
    rows = [("dense", detect(dense, held_out, 0.3))]
    for name in options.ways:
        small = WAYS[name](dense, fit, options)
        report = summary(dense, small, shape)
        pruned = _said(f"{name}, pruned", measured(small, fit, held_out, options))
        rows.append((f"{name}, {report.macs_ratio:.0%} of the MACs, before fine-tuning", detect(small, held_out, 0.3)))
        train(small, fit, options.ft_steps, 1e-3, options, f"{name}, fine-tuning")
        tuned = _said(f"{name}, fine-tuned", measured(small, fit, held_out, options))
        rows.append((f"{name}, fine-tuned", detect(small, held_out, 0.3)))
        save_pruned(small, out / f"{name}.ckpt")
        files = [export(Boxes(small), shape, out / name) for export in (export_mindir, export_onnx)]
        results[name] = {"pruned": pruned, "precision": tuned, "macs": report.macs_ratio,
                         "params": [report.params_before, report.params_after],
                         "files": {path.name: path.stat().st_size for path in files}}
    picture(held_out, rows).save(out / "boxes.png")
    return results


def _said(stage: str, value: float) -> float:
    print(f"{stage}: mean average precision {value:.3f} at IoU 0.5", flush=True)
    return value


def main() -> None:
    """Run, and write results.json."""
    options = arguments()
    ms.set_context(mode=ms.GRAPH_MODE if options.mode == "GRAPH" else ms.PYNATIVE_MODE)
    ms.set_seed(options.seed)
    begin = time.monotonic()
    try:
        results = run(options)
    except PruningError as error:
        sys.exit("error: " + " ".join(str(error).split()))
    path = Path(options.out) / "results.json"
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    written = ", ".join(sorted(file.name for file in path.parent.iterdir()))
    print(f"{time.monotonic() - begin:.0f} s; {options.out} has {written}")


if __name__ == "__main__":
    main()
