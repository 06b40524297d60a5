"""``mindspore-gs prune``: network, checkpoint and target in; slim checkpoint, MindIR, ONNX and report out."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mindspore import nn

from mindspore_gs.analysis import Sensitivity
from mindspore_gs.checkpoint import load_parameters, load_pruned, read_checkpoint, save_pruned
from mindspore_gs.cli.errors import CommandError
from mindspore_gs.cli.measuring import accuracy_of, latencies
from mindspore_gs.cli.resume import Steps, name_of
from mindspore_gs.cli.target import named, parse_argument
from mindspore_gs.export import export_mindir, export_onnx
from mindspore_gs.graph import trace
from mindspore_gs.progress import step
from mindspore_gs.pruner import ChannelPruner
from mindspore_gs.pruner.criteria import without_phase
from mindspore_gs.pruner.defaults import RESIDUAL
from mindspore_gs.pruner.select import Ranking
from mindspore_gs.report import compare
from mindspore_gs.runs import RunRecord, inspect_graph
from mindspore_gs.runs.run_record import PAGE, RESULTS

_CHECKPOINT, _FILE = "slim.ckpt", "slim"


@dataclass(frozen=True)
class Order:
    """What ``mindspore-gs prune`` was told.

    Attributes:
        name: what the network is called, such as ``mindcv.models:resnet50``.
        net: the network, at full width.
        shapes: of its inputs; empty for one image of a usual size.
        options: for :class:`mindspore_gs.ChannelPruner`.
        out: folder for the files.
        onnx: whether an ONNX file is written, too.
        timed: whether the dense and the slim MindIR are timed in turns.
        evaluation: labelled batches that accuracy is measured on; None for no accuracy.
        sensitivity: what an earlier ``mindspore-gs sensitivity`` has found, for the report.
        command: the command line, for the report.
        say: what to do with the name of each step.
    """

    name: str
    net: nn.Cell
    shapes: tuple[tuple[int, ...], ...]
    options: dict[str, Any]
    out: Path
    onnx: bool = False
    timed: bool = False
    evaluation: Any = None
    sensitivity: Sensitivity | None = None
    command: str = ""
    say: Callable[[str], None] = field(default=lambda text: None)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """One step: a line in a log, and the line that is rewritten on a terminal."""
        if not sys.stderr.isatty():
            self.say(text)
        with step(text):
            yield


def parse_options(criterion: str, amounts: dict[str, float | None], rates: tuple[str, ...],
                  others: dict[str, Any]) -> dict[str, Any]:
    """The options of :func:`mindspore_gs.prune` from those of the command line.

    Args:
        criterion: a name, or ``module:function``.
        amounts: ``prune_rate``, ``macs``, ``params`` and ``latency``; at most one is not None.
        rates: ``LAYER=RATE`` each.
        others: passed on as they are.

    Raises:
        CommandError: something is not as it must be.

    Examples:
        >>> parse_options("l2", {"macs": 0.5, "prune_rate": None}, ("stem=0.0",), {"round_to": 8})
        {'criterion': 'l2', 'target': {'macs': 0.5}, 'rates': {'stem': 0.0}, 'round_to': 8}
    """
    given = {name: value for name, value in amounts.items() if value is not None}
    if len(given) > 1:
        raise CommandError(f"give one of --{', --'.join(given)}, not several.".replace("prune_rate", "prune-rate"))
    options: dict[str, Any] = {"criterion": named(criterion) if ":" in criterion else criterion}
    if ":" not in criterion and criterion not in without_phase():
        raise CommandError(f"--criterion must be one of {', '.join(without_phase())}, or module:function for one of "
                           f"your own, but got {criterion!r}.")
    for name, value in given.items():
        options |= {"prune_rate": value} if name == "prune_rate" else {"target": {name: value}}
    if rates:
        options["rates"] = dict(_rate(text) for text in rates)
    return options | others


def carry_out(order: Order) -> dict[str, Any]:
    """Prune, check, write every file, and return the document of the run.

    Files: ``slim.ckpt`` (weights and architecture, for ``load_pruned``), ``slim.mindir``, ``slim.onnx`` where it is
    wanted, ``results.json`` and ``report.html``.

    A run that was interrupted goes on behind its last complete file, see :class:`~mindspore_gs.cli.resume.Steps`.

    Raises:
        PruningError: the network cannot be pruned so, or a file cannot be written.
        TypeError, ValueError: an option is wrong.
    """
    half = {} if {"target", "prune_rate"} & order.options.keys() else {"target": {"macs": 0.5}}
    ChannelPruner(**half, **order.options)  # an option that is wrong is found before anything takes time
    with Steps.begun(order.out, name_of(order.net, {"command": order.command, "shapes": order.shapes, **order.options})
                     ) as steps:
        return _all_steps(order, half, steps)


def _all_steps(order: Order, half: dict[str, Any], steps: Steps) -> dict[str, Any]:
    """The document of a run, with every file written."""
    with order.step("trace the network"):
        graph = trace(order.net, *order.shapes, norms=order.options.get("norms", "keep"))
    shapes = list(graph.examples())
    inputs = shapes if len(shapes) > 1 else shapes[0]
    accuracy = steps.value("dense", lambda: _accuracy(order, order.net, "dense"))
    pruner = ChannelPruner(**half, **order.options, input_shape=inputs)
    small = _small(order, pruner, steps)
    files = _write(order, small, inputs, steps)
    stage = "pruned and compensated" if order.options.get("compensate") else "pruned"
    accuracy = {**accuracy, **steps.value(stage, lambda: _accuracy(order, small, stage))}
    latency = _latency(order, small, graph.inputs) if order.timed else {}
    with order.step("count"):
        report = compare(graph, trace(small, *shapes))
    residual = order.options.get("residual", RESIDUAL)
    record = RunRecord(order.name, report, inspect_graph(graph, order.name, residual), order.command, residual,
                       files={path.name: path.stat().st_size for path in files}, accuracy=accuracy, latency=latency,
                       rankings=[Ranking.of(row) for row in steps.value("rankings", list)],
                       sensitivity=order.sensitivity, run=steps.name)
    document = record.write(order.out)
    steps.note([RESULTS, PAGE], complete=True)
    return document


def _small(order: Order, pruner: ChannelPruner, steps: Steps) -> nn.Cell:
    """The slim network: from its file where an earlier process has written it, else made and written now."""
    if steps.has(_CHECKPOINT):
        order.say(f"already done: {order.out / _CHECKPOINT}")
        return load_pruned(lambda: order.net, order.out / _CHECKPOINT)
    with order.step("choose channels, remove them, compare"):
        small = pruner.shrink(order.net)
    steps.value("rankings", lambda: [row.document() for row in pruner.rankings], anew=True)
    with order.step("write the checkpoint"):
        steps.make(_CHECKPOINT, lambda path: save_pruned(small, path))
    return small


def _write(order: Order, small: nn.Cell, inputs: Any, steps: Steps) -> list[Path]:
    """Every file of the small network."""
    files = [order.out / _CHECKPOINT]
    with order.step("export MindIR and compare"):
        files.append(steps.make(f"{_FILE}.mindir", lambda path: export_mindir(small, inputs, path)))
    if order.onnx:
        with order.step("export ONNX and compare"):
            files.append(steps.make(f"{_FILE}.onnx", lambda path: export_onnx(small, inputs, path)))
    return files


def _latency(order: Order, small: nn.Cell, inputs: Any) -> dict[str, Any]:
    with order.step("time the dense and the slim network"):
        return latencies(order.net, small, inputs)


def _accuracy(order: Order, net: nn.Cell, stage: str) -> dict[str, float]:
    """Share of right answers by the name of the stage; empty where there is nothing to measure on."""
    if order.evaluation is None:
        return {}
    with order.step(f"measure the accuracy: {stage}"):
        return {stage: accuracy_of(net, order.evaluation)}


def load_weights(net: nn.Cell, path: str) -> None:
    """Load a checkpoint into a network; every parameter of the network must be in it, with its shape.

    Raises:
        CheckpointError: the file cannot be read, or belongs to another network.
    """
    load_parameters(net, read_checkpoint(path), path)


def _rate(text: str) -> tuple[str, float]:
    layer, equals, value = text.rpartition("=")
    rate = parse_argument(f"rate={value}")[1]
    if not equals or not layer or not isinstance(rate, (int, float)) or isinstance(rate, bool):
        raise CommandError(f"--rate must be LAYER=RATE, such as layer1=0.2, but got {text!r}.")
    return layer, float(rate)
