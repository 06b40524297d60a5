"""What is timed: dense, slim and narrow networks as files for every engine, with their bytes and peak memory.

A case is one version of a network: dense; slim with a residual policy and a rounding, at half of the MACs; or narrow,
the limit: the network with all widths multiplied by one factor and rounded to the nearest multiple of 8, at half of the
MACs too. Nothing is put back into place in it, and its cells are those that a constructor would make for these widths,
so it is what an unpruned network of that many MACs costs.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from mindspore import nn

from benchmarks.memory import peak_memory
from benchmarks.randomise import calibrate, randomise, samples
from mindspore_gs import ChannelPruner, export_mindir, export_onnx
from mindspore_gs._cells import copy_network
from mindspore_gs.cost import CostModel, count_parameters, layer_macs
from mindspore_gs.engines import LITE_FOLDER, _call
from mindspore_gs.graph import RESIDUAL_POLICIES, ChannelGraph, Group, trace
from mindspore_gs.pruner.channel import free_groups
from mindspore_gs.pruner.select import best
from mindspore_gs.slim import PrunePlan, fold
from mindspore_gs.slim.slimming import slice_network

SHARE = 0.5
WIDE = 128.0
POLICIES = (*RESIDUAL_POLICIES, "keep wide")
ENGINES = ("onnxruntime", "lite", "mindspore")
CLASSES = 1000


def _mindcv(model: str) -> nn.Cell:
    from mindcv.models import create_model
    return create_model(model, num_classes=CLASSES)


def _yolo() -> nn.Cell:
    from benchmarks.recipes import recipe
    return recipe("mindyolo/yolov8n").build()


# How each network is built, and height and width of its image.
NETWORKS: dict[str, tuple[Callable[[], nn.Cell], int]] = {
    "mobilenet_v2": (partial(_mindcv, "mobilenet_v2_100"), 224), "resnet18": (partial(_mindcv, "resnet18"), 224),
    "resnet50": (partial(_mindcv, "resnet50"), 224), "yolov8n": (_yolo, 320)}


@dataclass(frozen=True)
class Case:
    """A version of a network.

    Attributes:
        policy: ``"dense"``, ``"limit"``, a residual policy, or ``"keep wide"``: "keep" exported with filters of zeros
            in the place of Gathers (:data:`WIDE` MACs for a number).
        round_to: what the numbers of channels are multiples of; 0 where that means nothing.
    """

    policy: str
    round_to: int = 0

    @property
    def label(self) -> str:
        """Its name in files and tables."""
        policy = self.policy.replace(" ", "-")
        return f"{policy}_{self.round_to}" if self.round_to else policy

    @property
    def residual(self) -> str:
        """The residual policy that the network is pruned with."""
        return {"limit": "couple", "keep wide": "keep"}.get(self.policy, self.policy)


def cases(rounds: list[int]) -> list[Case]:
    """The dense network, the limit, and each policy with each rounding."""
    return [Case("dense"), Case("limit"),
            *(Case(policy, number) for number in rounds for policy in POLICIES)]


class Source:
    """Makes the versions of one network; the dense one is traced once.

    Args:
        name: one of :data:`NETWORKS`.
    """

    def __init__(self, name: str) -> None:
        self._build, size = NETWORKS[name]
        self.shape = (3, size, size)

    @cached_property
    def dense(self) -> nn.Cell:
        """The network, with random weights under which the signal keeps its size."""
        net = randomise(self._build().set_train(False))
        return calibrate(net, *samples([self.shape], 1, 1))

    @cached_property
    def graph(self) -> ChannelGraph:
        """Its channel graph."""
        return trace(self.dense, (1, *self.shape))

    def network(self, case: Case) -> nn.Cell:
        """The version of a case."""
        if case.policy == "dense":
            return self.dense
        pruner = ChannelPruner(target={"macs": SHARE}, round_to=max(case.round_to, 1), residual=case.residual)
        groups = free_groups(pruner, self.graph, case.residual, ())
        stays = self._narrow(groups) if case.policy == "limit" else pruner._choose(
            copy_network(self.dense), self.graph, groups, {})
        some = {group: stay for group, stay in stays.items() if not stay.all()}
        return slice_network(self.dense, PrunePlan.from_groups(self.graph, some))

    def _narrow(self, groups: Sequence[Group]) -> dict[Group, np.ndarray]:
        """One factor for all widths, nearest multiples of 8."""
        model = CostModel(self.graph, groups)
        sizes = np.array([group.size for group in groups])
        candidates = [np.clip(np.round(sizes * share / 8) * 8, np.minimum(8, sizes), sizes).astype(int)
                      for share in np.linspace(0.3, 1, 141)]
        dense = float(model.macs(model.sizes))
        kept = min(candidates, key=lambda kept: abs(float(model.macs(kept)) / dense - SHARE))
        return {group: best(np.arange(group.size)[::-1], int(count)) for group, count in zip(groups, kept)}


def make(folder: Path, networks: list[str], engines: list[str], batches: list[int], rounds: list[int]) -> None:
    """Write every file that is not there yet, and one JSON line about each into ``files.jsonl``.

    The order is that of the table: the files of onnxruntime first, MindSpore's, which take longest, last.

    A line has ``net``, ``policy``, ``round_to``, ``engine``, ``batch``, ``file``, ``bytes``, ``peak_mb`` (of a process
    that loads the file and runs it), ``macs`` and ``params`` (of one sample), and ``gathers`` (in the ONNX file). A
    file that could not be made has ``error``, and is tried again by the next call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "files.jsonl"
    done = {_key(line) for line in lines(record) if "file" in line}
    sources: dict[str, Source] = {}
    for engine in engines:
        for name in networks:
            for case, batch in ((case, batch) for case in cases(rounds) for batch in batches):
                row = {"net": name, "policy": case.policy, "round_to": case.round_to, "engine": engine, "batch": batch}
                if _key(row) in done:
                    continue
                if name not in sources:
                    sources = {name: Source(name)}
                row |= _made(sources[name], case, engine, batch, folder / f"{name}-{case.label}")
                with record.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(row, flush=True)


def lines(path: Path) -> list[dict]:
    """The records in a file of JSON lines; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _key(row: dict) -> tuple:
    return tuple(row[name] for name in ("net", "policy", "round_to", "engine", "batch"))


def _made(source: Source, case: Case, engine: str, batch: int, path: Path) -> dict:
    try:
        file = _EXPORTS[engine](source, case, batch, path)
    except Exception as error:  # one line of the table, not the end of the others
        return {"error": f"{type(error).__name__}: {error}"[:300]}
    shape = (batch, *source.shape)
    return {"file": file.name, "bytes": file.stat().st_size, "peak_mb": peak_memory(file, shape), **_counts(path)}


def _counts(path: Path) -> dict:
    """What was counted when the ONNX file was written."""
    return json.loads(path.with_suffix(".json").read_text())


def _onnx(source: Source, case: Case, batch: int, path: Path) -> Path:
    """One file for every batch."""
    file = path.with_suffix(".onnx")
    if not file.is_file():
        import onnx

        net = source.network(case)
        with _filters_of_zeros(case):
            export_onnx(net, (1, *source.shape), file)
        graph = trace(net, (1, *source.shape)).graph
        gathers = sum(node.op_type == "Gather" for node in onnx.load(file).graph.node)
        path.with_suffix(".json").write_text(json.dumps(
            {"macs": sum(layer_macs(graph).values()), "params": count_parameters(graph), "gathers": gathers}))
    return file


@contextmanager
def _filters_of_zeros(case: Case) -> Iterator[None]:
    before = fold.GATHER_MACS
    fold.GATHER_MACS = WIDE if case.policy == "keep wide" else before
    try:
        yield
    finally:
        fold.GATHER_MACS = before


def _mindir(source: Source, case: Case, batch: int, path: Path) -> Path:
    _onnx(source, case, batch, path)
    with _filters_of_zeros(case):
        return export_mindir(source.network(case), (batch, *source.shape), path.with_name(f"{path.name}-b{batch}"))


def _lite(source: Source, case: Case, batch: int, path: Path) -> Path:
    """From the ONNX file, with a batch of its own: MindSpore Lite plans the memory when it converts."""
    import onnx

    model = onnx.load(_onnx(source, case, batch, path))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    fixed = path.with_name(f"{path.name}-b{batch}.fixed.onnx")
    onnx.save(model, fixed)
    target = path.with_name(f"{path.name}-b{batch}")
    _call(Path(os.environ[LITE_FOLDER]), "convert", "2", str(fixed), str(target), "1")
    fixed.unlink()
    return target.with_name(target.name + ".ms")


_EXPORTS: dict[str, Callable[[Source, Case, int, Path], Path]] = {"onnxruntime": _onnx, "lite": _lite,
                                                                 "mindspore": _mindir}


def available() -> Iterator[str]:
    """The engines that can be timed here."""
    for name in ENGINES:
        if name != "lite" or LITE_FOLDER in os.environ:
            yield name
