"""The commands of ``mindspore-gs``. Each reads its options, calls the library, and turns failures into one line."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import click

from mindspore_gs import __version__
from mindspore_gs._files import whole_file
from mindspore_gs.analysis import Sensitivity
from mindspore_gs.checkpoint import load_pruned
from mindspore_gs.cli.errors import CommandError, is_ours
from mindspore_gs.cli.exporting import KINDS, SUFFIXES, check_data, write_file
from mindspore_gs.cli.plot import draw, plot_path
from mindspore_gs.cli.pruning import Order, carry_out, load_weights, parse_options
from mindspore_gs.cli.sensitivity import Files, analyse, check_allowed, document_of, lines_of, parse_rates
from mindspore_gs.cli.table import print_tables
from mindspore_gs.cli.target import build, data_from, importing_from_here, named, parse_shape
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import NORMS, RESIDUAL_POLICIES, trace
from mindspore_gs.graph.tracing import trace_deployed
from mindspore_gs.pruner.defaults import RESIDUAL, ROUND_TO
from mindspore_gs.pruner.widths import SCOPES
from mindspore_gs.runs import inspect_graph, page, read_document
from mindspore_gs.runs.run_record import PAGE, RESULTS
from mindspore_gs.summaries import write_summaries
from mindspore_gs_doctor.checks import examine


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mindspore-gs")
def commands() -> None:
    """Structured pruning for MindSpore.

    Exit codes: 0 all is well, 1 it cannot be done, 2 the command was called wrongly.
    """


@contextmanager
def _one_line() -> Iterator[None]:
    """Report what went wrong in one line on stderr: status 2 for a wrong call, else 1."""
    try:
        yield
    except (CommandError, PruningError) as error:
        _fail(error, error.exit_code if isinstance(error, CommandError) else 1)
    except (TypeError, ValueError) as error:
        if not is_ours(error):
            raise
        _fail(error, 2)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}", 1)


def _fail(what: object, code: int) -> None:
    click.echo(f"error: {' '.join(str(what).split())}", err=True)
    sys.exit(code)


def network_options(function: Callable) -> Callable:
    """What every command takes that is about a network."""
    for decorate in (
            click.option("--arg", "arguments", multiple=True, metavar="NAME=VALUE",
                         help="Argument of the callable: a JSON or Python literal, else text. May be repeated."),
            click.option("--input", "inputs", multiple=True, metavar="N,C,H,W",
                         help="Shape of an input; once for each input. Default: one image of a usual size that the "
                              "network takes."),
            click.argument("target")):
        function = decorate(function)
    return function


residual_option = click.option(
    "--residual", type=click.Choice(RESIDUAL_POLICIES), default=RESIDUAL, show_default=True,
    help="couple: the layers that add into one stream lose the same channels. keep: each stands for itself, "
         "and the first convolution and projections stay whole. inner: what adds into a stream stays whole.")


norms_option = click.option(
    "--norms", type=click.Choice(NORMS), default="keep", show_default=True,
    help="keep: channels that a layer normalisation computes over stay, as in a transformer's stream. recompute: they "
         "may go, and it computes over those that are left.")


@commands.command("inspect")
@network_options
@residual_option
@norms_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--plot", "plot", metavar="FILE", help="Also draw the channels into a .png or .svg file.")
def inspect_command(target: str, inputs: tuple[str, ...], arguments: tuple[str, ...], residual: str, norms: str,
                    as_json: bool, plot: str | None) -> None:
    """Show what could be pruned in a network, and what may not be and why.

    TARGET is module:callable, such as mindcv.models:resnet50 or train_net:build with a train_net.py in the current
    directory. The callable returns the network; a network itself will do, too.
    """
    with _one_line():
        path: Path | None = None if plot is None else plot_path(plot)
        shapes = [parse_shape(text) for text in inputs]
        with importing_from_here(), redirect_stdout(sys.stderr):  # what the user's code prints is no result
            net = build(target, arguments)
            result = inspect_graph(trace(net, *shapes, norms=norms), type(net).__name__, residual)
        if path is not None:
            draw(result, path)
    if as_json:
        click.echo(result.to_json())
    else:
        print_tables(result)


@commands.command("prune")
@network_options
@click.option("--checkpoint", metavar="FILE", help="Trained weights of the network. Default: as the callable makes it.")
@click.option("--macs", type=float, metavar="SHARE", help="Share of the MACs that stays, such as 0.5 (the default).")
@click.option("--params", type=float, metavar="SHARE", help="Share of the parameters that stays.")
@click.option("--latency", type=float, metavar="SHARE", help="Share of the time that stays, measured here.")
@click.option("--prune-rate", type=float, metavar="RATE", help="Share of its channels that each layer loses.")
@click.option("--criterion", default="l1", show_default=True, metavar="NAME",
              help="Which channels matter: a name, or module:function for a criterion of your own. A name that is "
                   "wrong lists all.")
@residual_option
@norms_option
@click.option("--scope", type=click.Choice(SCOPES), default="layer", show_default=True,
              help="layer: one rate for all layers. global: all channels ranked together. isomorphic: those of layers "
                   "of one kind. error: least error, with --data.")
@click.option("--round-to", type=int,
              help=f"Kept channels are a multiple of this. Default: {ROUND_TO} with a target, or finer where that does "
                   "not meet it; 1 with a rate.")
@click.option("--min-channels", type=int, default=1, show_default=True, help="Smallest number of channels of a layer.")
@click.option("--ignore", multiple=True, metavar="LAYER", help="Layer or pattern that stays whole. May be repeated.")
@click.option("--rate", "rates", multiple=True, metavar="LAYER=RATE", help="Rate of a layer. May be repeated.")
@click.option("--seed", type=int, default=0, show_default=True, help="For criteria that draw random numbers.")
@click.option("--data", metavar="MODULE:CALLABLE", help="Gives batches of training data, (images, labels) each: for "
                                                        "criteria that look at data, such as taylor, --scope error, "
                                                        "and --compensate.")
@click.option("--loss", metavar="MODULE:FUNCTION", help="For criteria that read gradients: a function of the network's "
                                                       "output and the label. Default: cross entropy.")
@click.option("--compensate", is_flag=True, help="Repair the network without training, with --data.")
@click.option("--eval", "evaluation", metavar="MODULE:CALLABLE",
              help="Gives labelled batches that accuracy is measured on, before and after.")
@click.option("--time", "timed", is_flag=True, help="Also time the dense and the slim MindIR, in turns.")
@click.option("--sensitivity", "found", metavar="FILE", help="What mindspore-gs sensitivity wrote, for the report.")
@click.option("--summary", metavar="FOLDER", help="Also write the numbers for TensorBoard and MindSpore's viewers.")
@click.option("--onnx", is_flag=True, help="Also write slim.onnx.")
@click.option("--out", default="pruned", show_default=True, metavar="FOLDER", help="Where the files go.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def prune_command(target: str, inputs: tuple[str, ...], arguments: tuple[str, ...], checkpoint: str | None,
                  macs: float | None, params: float | None, latency: float | None, prune_rate: float | None,
                  criterion: str, rates: tuple[str, ...], ignore: tuple[str, ...], data: str | None, loss: str | None,
                  evaluation: str | None, timed: bool, found: str | None, summary: str | None, onnx: bool, out: str,
                  as_json: bool, **others: Any) -> None:
    """Remove channels from a trained network, and write the small one.

    TARGET is module:callable, as for inspect. FOLDER gets slim.ckpt (weights and architecture, for load_pruned),
    slim.mindir, results.json, report.html and run.json. The small network is compared with the masked one, and each
    file with the small network. A run that was interrupted continues after its last complete file when the same command
    is given again. Fine-tune the small network afterwards, with the original one as teacher.
    """
    amounts = {"macs": macs, "params": params, "latency": latency, "prune_rate": prune_rate}
    with _one_line():
        shapes = tuple(parse_shape(text) for text in inputs)
        with importing_from_here(), redirect_stdout(sys.stderr):
            options = parse_options(criterion, amounts, rates, others | {"ignore": list(ignore)})
            if data is not None:
                options["data"] = data_from(data)
            if loss is not None:
                options["loss_fn"] = named(loss)
            net = build(target, arguments)
            if checkpoint is not None:
                load_weights(net, checkpoint)
            order = Order(target, net, shapes, options, Path(out), onnx, timed,
                          None if evaluation is None else data_from(evaluation),
                          None if found is None else Sensitivity.from_json(found),
                          shlex.join(["mindspore-gs", *sys.argv[1:]]), lambda text: click.echo(text, err=True))
            document = carry_out(order)
            if summary is not None:
                write_summaries(document, summary)
    click.echo(json.dumps(document, indent=2) if as_json else _lines(document, out))


def _write(path: Path, text: str) -> None:
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def _lines(document: dict[str, Any], out: str) -> str:
    pairs = [f"{name:10} {document[key]['after']:,} of {document[key]['before']:,} ({document[key]['ratio']:.1%})"
             for name, key in (("parameters", "params"), ("MACs", "macs"))]
    pairs += [f"{'accuracy':10} {value:.2%} {stage}" for stage, value in document["accuracy"].items()]
    if document["latency"]:
        pairs.append("latency    {after:.2f} of {before:.2f} ms".format(
            **{key: 1000 * document["latency"][key] for key in ("before", "after")}))
    files = ", ".join([*document["files"], RESULTS, PAGE])
    return "\n".join([*pairs, f"written to {out}: {files}"])


@commands.command("sensitivity")
@network_options
@click.option("--checkpoint", metavar="FILE", help="Trained weights of the network. Default: as the callable makes it.")
@click.option("--data", metavar="MODULE:CALLABLE", help="Gives batches of data, (images, labels) each.")
@click.option("--metric", metavar="MODULE:FUNCTION", help="Takes the network and returns a number, more is better. "
                                                          "Default: the accuracy on --data.")
@click.option("--loss", metavar="MODULE:FUNCTION", help="Takes output and label and returns the loss on --data.")
@click.option("--rates", default="0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9", show_default=True, metavar="RATE,...",
              help="Shares of one group's channels that are masked.")
@click.option("--criterion", default="l1", show_default=True, metavar="NAME",
              help="Which channels go first: a name, or module:function for a criterion of your own.")
@residual_option
@click.option("--ignore", multiple=True, metavar="LAYER", help="Layer or pattern that stays whole. May be repeated.")
@click.option("--seed", type=int, default=0, show_default=True, help="For criteria that draw random numbers.")
@click.option("--batch-statistics", is_flag=True, help="BatchNorms normalise by each batch.")
@click.option("--allow", "allowed", type=float, metavar="LOSS", help="Also say the rates at which no group by itself "
                                                                     "loses more than this.")
@click.option("--out", default="sensitivity.json", show_default=True, metavar="FILE",
              help="Gets each result as soon as it is there; where it exists, the command goes on.")
@click.option("--csv", metavar="FILE", help="Also write a table.")
@click.option("--plot", metavar="FILE", help="Also draw a picture into a .png or .svg file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def sensitivity_command(target: str, inputs: tuple[str, ...], arguments: tuple[str, ...], checkpoint: str | None,
                        data: str | None, metric: str | None, loss: str | None, rates: str, criterion: str,
                        ignore: tuple[str, ...], allowed: float | None, out: str, csv: str | None, plot: str | None,
                        as_json: bool, **others: Any) -> None:
    """Measure the network with some channels of one group masked, for each group.

    TARGET is module:callable, as for inspect.
    """
    with _one_line():
        shapes = [parse_shape(text) for text in inputs]
        files = Files(out, csv, plot).checked()
        check_allowed(allowed)
        with importing_from_here(), redirect_stdout(sys.stderr):
            options = others | {"rates": parse_rates(rates), "ignore": list(ignore),
                                "criterion": parse_options(criterion, {}, (), {})["criterion"]}
            net = build(target, arguments)
            if checkpoint is not None:
                load_weights(net, checkpoint)
            found = analyse(net, data, metric, loss, files, inputs=shapes or None, **options)
        document, lines = document_of(found, allowed), lines_of(found, files, allowed)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        found.print()
        click.echo(lines)


@commands.command("export")
@network_options
@click.option("--checkpoint", required=True, metavar="FILE", help="What save_pruned wrote.")
@click.option("--format", "kind", type=click.Choice(KINDS), default="mindir", show_default=True,
              help="int8 is ONNX with weights and activations of eight bits; it needs --data.")
@click.option("--data", metavar="MODULE:CALLABLE",
              help="Gives calibration batches for int8: images, or (images, labels).")
@click.option("--out", metavar="FILE", help="Default: the checkpoint's name with the format's suffix.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def export_command(target: str, inputs: tuple[str, ...], arguments: tuple[str, ...], checkpoint: str, kind: str,
                   data: str | None, out: str | None, as_json: bool) -> None:
    """Write a slim checkpoint as MindIR, ONNX or INT8, and compare the file with the network (INT8: do not compare).

    TARGET is module:callable of the original network, at full width.
    """
    with _one_line():
        shapes = [parse_shape(text) for text in inputs]
        check_data(kind, data)
        with importing_from_here(), redirect_stdout(sys.stderr):
            small = load_pruned(lambda: build(target, arguments), checkpoint)
            path = Path(out) if out is not None else Path(checkpoint).with_suffix(SUFFIXES[kind])
            shapes = shapes or [shape for shape, _ in trace_deployed(small).inputs]
            batches = None if data is None else data_from(data)
            written = write_file(kind, small, shapes if len(shapes) > 1 else shapes[0], batches, path)
        size = written.stat().st_size
    click.echo(json.dumps({"file": str(written), "bytes": size}) if as_json else f"{written}: {size:,} bytes")


@commands.command("report")
@click.argument("results")
@click.option("--out", metavar="FILE", help="Default: report.html beside the results.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON, and write no page.")
def report_command(results: str, out: str | None, as_json: bool) -> None:
    """Make an HTML page from the results.json of a run. The page needs no other file."""
    with _one_line():
        document = _document(results)
        path = Path(out) if out is not None else Path(results).with_name(PAGE)
        if not as_json:
            _write(path, page(document))
    click.echo(json.dumps(document, indent=2) if as_json else str(path))


def _document(results: str) -> dict[str, Any]:
    """The document of a run; what is no such file is a wrong call."""
    try:
        return read_document(results)
    except PruningError as error:
        raise CommandError(str(error)) from error


@commands.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor_command(as_json: bool) -> None:
    """Look for what goes wrong with this installation or machine, and say what to do.

    Exit code 1: there is a problem.
    """
    with redirect_stdout(sys.stderr):
        findings = examine()
    if as_json:
        click.echo(json.dumps([finding.document() for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(finding.line())
    sys.exit(int(any(finding.level == "problem" for finding in findings)))
