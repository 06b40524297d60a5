"""One network through the whole package: trace, group, remove half of every free group, compare; then SCOP.

    python benchmarks/zoo.py resnet18 --size 64

prints one JSON object. coverage.py runs this for many models, tests/zoo for a few.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("GLOG_v", "3")
ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from mindspore import nn  # noqa: E402

from benchmarks.randomise import calibrate, randomise, samples  # noqa: E402
from benchmarks.recipes import Recipe, recipe  # noqa: E402
from benchmarks.zoo_scop import measure_scop  # noqa: E402
from mindspore_gs import load_mindir  # noqa: E402
from mindspore_gs._cells import evaluating, tensors_in  # noqa: E402
from mindspore_gs.errors import PruningError, first_line  # noqa: E402
from mindspore_gs.graph import ChannelGraph, Group, trace  # noqa: E402
from mindspore_gs.report import compare  # noqa: E402
from mindspore_gs.slim import PrunePlan, mask, relative_difference, slim  # noqa: E402
from mindspore_gs.slim.check import FACTOR, LIMIT, first_difference  # noqa: E402

ALLOWED = 1e-4
LIVELY = 1e-2  # outputs that differ by less than this (relative) prove nothing


def measure(name: str, size: int = 0, seed: int = 0, save: Callable[[dict], None] = lambda record: None,
            scop: bool = False) -> dict:
    """Run one model and write down what came of it.

    Args:
        name: one of ``recipes.names()``, or a model of mindcv.
        size: height and width of mindcv's images; 0 for the model's own.
        seed: of weights, inputs, and of the choice which channels go.
        scop: whether to send the network through SCOP's two phases too, with both policies.
        save: called with the record at the start of each step, so that a killed process leaves a trace.

    Returns:
        The record. ``status`` is ``equal`` (masked, slim and reloaded MindIR agree to 1e-4, or as well as the masked
        network agrees with itself where it is rounded, up to 1e-3), ``refused`` (the package says why it cannot prune
        the model), ``WRONG``, ``dull`` (equal, but the output hardly depends on the input or on the removed channels,
        so that nothing is proved) or ``CRASH``; ``error`` says more, ``step`` where.
    """
    record = {"model": name, "size": size, "seed": seed, "commit": commit(), "status": "CRASH", "error": "",
              "seconds": {}}
    begin = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            _measure(record, save, Path(folder), scop)
    except PruningError as error:
        record.update(status="refused", error=f"{type(error).__name__}: {first_line(error)}")
    except Exception as error:
        record.update(status="CRASH", error=f"{type(error).__name__}: {first_line(error)}",
                      traceback=traceback.format_exc()[-4000:])
    record["seconds"]["total"] = time.perf_counter() - begin
    record["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    save(record)
    return record


def _measure(record: dict, save: Callable[[dict], None], folder: Path, scop: bool) -> None:
    @contextmanager
    def step(title: str) -> Iterator[None]:
        record["step"] = title
        save(record)
        begin = time.perf_counter()
        yield
        record["seconds"][title] = time.perf_counter() - begin

    with step("build"):
        made = recipe(record["model"], record["size"])
        record.update(family=made.family, task=made.task, size=made.shapes[0][-1])
        net = build(made, record["seed"])
    if scop:
        with step("SCOP"):
            record["scop"] = measure_scop(lambda: build(made, record["seed"]), made.shapes, record["seed"])
    ms.set_context(mode=ms.GRAPH_MODE)
    shapes = [(1, *shape) for shape in made.shapes]
    with step("trace"):
        graph = trace(net, *shapes)
    with step("group"):
        groups = graph.groups(residual="couple")
    record.update(accounts(net, graph, groups), nodes=len(graph.graph.nodes))
    plan = PrunePlan.from_groups(graph, half(groups, record["seed"]))
    if not plan.keeps:
        record.update(status="refused", error="no group with more than one channel is free")
        return
    small = _compare(record, step, net, plan, made, folder)
    with step("report"):
        report = compare(graph, trace(small, *shapes))
        record.update({key: getattr(report, key) for key in ("params_before", "params_after", "macs_before",
                                                             "macs_after")})


def _compare(record: dict, step: Callable[[str], AbstractContextManager], net: nn.Cell, plan: PrunePlan, made: Recipe,
             folder: Path) -> nn.Cell:
    """Run the masked, the slim and the reloaded network, and judge; returns the slim one."""
    seed = record["seed"]
    first, second = (samples(made.shapes, seed + k) for k in (1, 2))
    with step("mask"):
        masked = calibrate(mask(net, plan), *first, seed=seed)
        _copy_values(masked, net, ("moving_mean", "moving_variance"))
        nearly = [ms.Tensor(np.nextafter(x.asnumpy(), np.float32(np.inf))) for x in first]
        outputs = [_run(masked, inputs) for inputs in (first, second, nearly)]
    with step("slim"):
        small = slim(net, plan, check=False)
        got = _run(small, first)
    with step("MindIR"):
        reloaded = _run_mindir(small, first, folder / "slim")
    with step("dense"):
        _copy_values(net, masked)  # compiled already: the parameters are inputs of its graph
        dense = _run(masked, first)
    record.update(differences(outputs, dense, got, reloaded))
    judge(record)
    if record["status"] == "WRONG" and record["masked_slim"] > ALLOWED:
        record["first_difference"] = first_difference(mask(net, plan), small, tuple(first), ALLOWED)
    return small


def commit() -> str:
    """The commit of this checkout, with a plus where it has been changed since; empty outside of a repository."""
    try:
        found = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--abbrev=7", "--dirty=+"], check=True,
                               capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.strip()


def build(made: Recipe, seed: int) -> nn.Cell:
    """The network, in evaluation mode, with no parameter at its initial value."""
    ms.set_seed(seed)
    return randomise(made.build().set_train(False), seed)


def half(groups: Iterable[Group], seed: int) -> dict[Group, np.ndarray]:
    """For each free group with more than one channel, which half of the channels stays, at random."""
    random = np.random.default_rng(seed)
    keep = {}
    for group in groups:
        if group.blocked_by is None and group.size > 1:
            keep[group] = np.ones(group.size, bool)
            keep[group][random.choice(group.size, group.size // 2, replace=False)] = False
    return keep


def _run(net: nn.Cell, inputs: Sequence[ms.Tensor]) -> list[np.ndarray]:
    with evaluating(net):
        return [tensor.asnumpy() for tensor in tensors_in(net(*inputs))]


def _run_mindir(net: nn.Cell, inputs: Sequence[ms.Tensor], path: Path) -> list[np.ndarray]:
    with evaluating(net):
        ms.export(net, *inputs, file_name=str(path), file_format="MINDIR")
    return _run(load_mindir(path.with_suffix(".mindir")), inputs)


def _copy_values(source: nn.Cell, target: nn.Cell, endings: tuple[str, ...] = ("",)) -> None:
    """Copy the parameters whose names end in one of ``endings``."""
    values = {p.name: p for p in source.get_parameters()}
    for parameter in target.get_parameters():
        if parameter.name.endswith(endings):
            parameter.set_data(ms.Tensor(values[parameter.name].asnumpy(), parameter.dtype))


def differences(masked: Sequence[list[np.ndarray]], dense: list[np.ndarray], small: list[np.ndarray],
                reloaded: list[np.ndarray]) -> dict:
    """Relative differences, after division by the largest masked output, so that small outputs count in full.

    ``masked`` has the outputs for the first input, for another one, and for the first one moved by one rounding each.
    Of several outputs the one that differs most counts.
    """
    first, second, nearly = masked
    largest = [float(np.abs(output).max()) for output in first]
    scales = [1 / top if np.isfinite(top) and top > 0 else 1.0 for top in largest]

    def between(left: list[np.ndarray], right: list[np.ndarray]) -> float:
        if len(left) != len(right):
            return float("inf")
        return max(relative_difference(a * scale, b * scale) for a, b, scale in zip(left, right, scales))

    return {"largest_output": max(largest), "masked_slim": between(small, first),
            "slim_mindir": between(reloaded, small), "masked_dense": between(dense, first),
            "two_inputs": between(second, first), "rounding": between(nearly, first)}


def judge(record: dict) -> None:
    """Set ``status`` and ``error`` from the differences; rounding excuses what it does in the package's own check."""
    allowed = max(ALLOWED, min(FACTOR * record["rounding"], LIMIT))
    pairs = {"masked and slim": record["masked_slim"], "slim and MindIR": record["slim_mindir"]}
    wrong = [f"{pair} differ by {value:.1e}" for pair, value in pairs.items() if not value <= allowed]
    if wrong:
        wrong.append(f"one rounding of the input moves the masked output by {record['rounding']:.1e}")
    weak = ["two inputs give the same output"] if not LIVELY <= record["two_inputs"] < np.inf else []
    if not record["masked_dense"] >= LIVELY:  # infinite where the dense network overflows, which shows that they matter
        weak.append("the removed channels change nothing")
    if not 0 < record["largest_output"] < np.inf:
        weak.insert(0, f"the largest output is {record['largest_output']}")
    record.update(status="WRONG" if wrong else "dull" if weak else "equal", error="; ".join(wrong + weak))


def accounts(net: nn.Cell, graph: ChannelGraph, groups: tuple[Group, ...]) -> dict[str, Any]:
    """How many entries of trainable parameters groups may remove, and what stops the others.

    ``blocked`` has one entry for each reason and operator: its groups, channels, and the parameter entries in its
    slices that no free group holds; ``place`` is where the first of them arose. ``outside`` counts entries that are in
    no group, ``untraced`` those among them whose parameter the traced network does not use.
    """
    sizes = {p.name: tuple(p.shape) for p in net.trainable_params()}
    total = sum(int(np.prod(shape)) for shape in sizes.values())
    free = [g for g in groups if g.blocked_by is None]
    reasons: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        if group.blocked_by is not None:
            reasons.setdefault((group.blocked_by.reason.name, group.blocked_by.operator), []).append(group)
    prunable = _entries(sizes, free)
    blocked = [{"reason": reason, "operator": operator, "place": found[0].blocked_by.source, "first": found[0].name,
                "groups": len(found), "channels": sum(g.size for g in found),
                "params": _entries(sizes, free + found) - prunable} for (reason, operator), found in reasons.items()]
    untraced = sum(int(np.prod(shape)) for name, shape in sizes.items() if name not in graph.graph.parameters)
    return {"trainable": total, "prunable": prunable / total, "groups": len(groups), "free_groups": len(free),
            "channels": sum(g.size for g in groups), "free_channels": sum(g.size for g in free), "blocked": blocked,
            "outside": total - _entries(sizes, groups), "untraced": untraced}


def _entries(sizes: dict[str, tuple[int, ...]], groups: Iterable[Group]) -> int:
    """Number of entries of parameters that lie in a slice of these groups."""
    stays = {name: [np.ones(n, bool) for n in shape] for name, shape in sizes.items()}
    for group in groups:
        for part in group.slices:
            if part.parameter in stays:
                stays[part.parameter][part.axis][part.indices.reshape(-1)] = False
    return sum(int(np.prod(shape)) - int(np.prod([axis.sum() for axis in stays[name]]))
               for name, shape in sizes.items())


def main() -> None:
    """Read the options and measure one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--size", type=int, default=0, help="height and width of the image (default: the model's own)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the record here, after each step")
    parser.add_argument("--scop", action="store_true", help="SCOP with both policies too")
    options = parser.parse_args()

    def save(record: dict) -> None:
        if options.out:
            options.out.write_text(json.dumps(record, indent=1))

    print(json.dumps(measure(options.model, options.size, options.seed, save, options.scop), indent=1))


if __name__ == "__main__":
    main()
