"""``mindspore-gs prune``: network, checkpoint and target in; slim checkpoint, MindIR, ONNX and report out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mindspore import nn
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mindspore_gs.checkpoint import load_parameters, read_checkpoint, save_pruned
from mindspore_gs.cli.errors import CommandError
from mindspore_gs.cli.inspection import inspect_graph
from mindspore_gs.cli.run_record import RunRecord, environment
from mindspore_gs.cli.target import named, parse_argument
from mindspore_gs.export import export_mindir, export_onnx
from mindspore_gs.graph import trace
from mindspore_gs.pruner import ChannelPruner, prune
from mindspore_gs.pruner.criteria import CRITERIA
from mindspore_gs.pruner.defaults import RESIDUAL
from mindspore_gs.report import compare

_CHECKPOINT, _FILE = "slim.ckpt", "slim"
RESULTS = "results.json"


@dataclass(frozen=True)
class Order:
    """What ``mindspore-gs prune`` was told.

    Attributes:
        name: what the network is called, such as ``mindcv.models:resnet50``.
        net: the network, at full width.
        shapes: of its inputs; empty for one image of a usual size.
        options: for :func:`mindspore_gs.prune`.
        out: folder for the files.
        onnx: whether an ONNX file is written, too.
        command: the command line, for the report.
    """

    name: str
    net: nn.Cell
    shapes: tuple[tuple[int, ...], ...]
    options: dict[str, Any]
    out: Path
    onnx: bool
    command: str
    say: Callable[[str], None] = field(default=lambda text: None)


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
    if ":" not in criterion and criterion not in CRITERIA:
        raise CommandError(f"--criterion must be one of {', '.join(CRITERIA)}, or module:function for one of your own, "
                           f"but got {criterion!r}.")
    for name, value in given.items():
        options |= {"prune_rate": value} if name == "prune_rate" else {"target": {name: value}}
    if rates:
        options["rates"] = dict(_rate(text) for text in rates)
    return options | others


def carry_out(order: Order) -> RunRecord:
    """Prune, check, write every file, and say what came out.

    Files: ``slim.ckpt`` (weights and architecture, for ``load_pruned``), ``slim.mindir``, ``slim.onnx`` where it is
    wanted, ``results.json`` and ``report.html``.

    Raises:
        PruningError: the network cannot be pruned so, or a file cannot be written.
        TypeError, ValueError: an option is wrong.
    """
    ChannelPruner(**order.options)  # an option that is wrong is found before anything takes time
    order.out.mkdir(parents=True, exist_ok=True)
    with _progress(order.say) as step:
        graph = step("trace the network", lambda: trace(order.net, *order.shapes))
        shapes = order.shapes or tuple(shape for shape, _ in graph.inputs)
        inputs = list(shapes) if len(shapes) > 1 else shapes[0]
        small = step("choose channels, remove them, compare", lambda: prune(order.net, inputs=inputs, **order.options))
        files = [order.out / _CHECKPOINT]
        step("write the checkpoint", lambda: save_pruned(small, files[0]))
        files.append(step("export MindIR and compare",
                          lambda: export_mindir(small, inputs, order.out / f"{_FILE}.mindir")))
        if order.onnx:
            files.append(step("export ONNX and compare",
                              lambda: export_onnx(small, inputs, order.out / f"{_FILE}.onnx")))
        report = step("count", lambda: compare(graph, trace(small, *shapes)))
    residual = order.options.get("residual", RESIDUAL)
    sizes = {path.name: path.stat().st_size for path in files}
    return RunRecord(order.name, order.command, environment(), residual, report,
                     inspect_graph(graph, order.name, residual), sizes)


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


class _progress:
    """One line on a terminal that says which step runs and for how long; in a log, one line for each step."""

    def __init__(self, say: Callable[[str], None]):
        from rich.console import Console

        self.console, self.say = Console(stderr=True), say
        self.bar = Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(),
                            console=self.console, transient=True)

    def __enter__(self) -> Callable[[str, Callable[[], Any]], Any]:
        if self.console.is_terminal:
            self.bar.start()
        return self._step

    def __exit__(self, *_: Any) -> None:
        self.bar.stop()

    def _step(self, text: str, run: Callable[[], Any]) -> Any:
        if not self.console.is_terminal:
            self.say(text)
            return run()
        task = self.bar.add_task(text, total=None)
        try:
            return run()
        finally:
            self.bar.remove_task(task)
