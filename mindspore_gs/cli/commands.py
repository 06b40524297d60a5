"""The commands of ``mindspore-gs``. Each reads its options, calls the library, and turns failures into one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import click

from mindspore_gs.cli.errors import CommandError
from mindspore_gs.cli.inspection import inspect_graph
from mindspore_gs.cli.plot import draw, plot_path
from mindspore_gs.cli.table import print_tables
from mindspore_gs.cli.target import build, importing_from_here, parse_shape
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import RESIDUAL_POLICIES, trace


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Structured pruning for MindSpore."""


@contextmanager
def _one_line() -> Iterator[None]:
    """Report what went wrong in one line on stderr: status 2 for a wrong call, else 1."""
    try:
        yield
    except (CommandError, PruningError) as error:
        click.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(error.exit_code if isinstance(error, CommandError) else 1)


@commands.command("inspect")
@click.argument("target")
@click.option("--input", "inputs", multiple=True, metavar="N,C,H,W",
              help="Shape of an input; once for each input. Default: one image of a usual size that the network takes.")
@click.option("--arg", "arguments", multiple=True, metavar="NAME=VALUE",
              help="Argument of the callable: a JSON or Python literal, else text. May be repeated.")
@click.option("--residual", type=click.Choice(RESIDUAL_POLICIES), default="couple", show_default=True,
              help="couple: the layers that add into one stream lose the same channels. keep: each stands for itself, "
                   "and the first convolution and projections stay whole. inner: what adds into a stream stays whole.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--plot", "plot", metavar="FILE", help="Also draw the channels into a .png or .svg file.")
def inspect_command(target: str, inputs: tuple[str, ...], arguments: tuple[str, ...], residual: str, as_json: bool,
                    plot: str | None) -> None:
    """Show what could be pruned in a network, and what may not be and why.

    TARGET is module:callable, such as mindcv.models:resnet50 or train_net:build with a train_net.py in the current
    directory. The callable returns the network; a network itself will do, too.
    """
    with _one_line():
        path: Path | None = None if plot is None else plot_path(plot)
        shapes = [parse_shape(text) for text in inputs]
        with importing_from_here(), redirect_stdout(sys.stderr):  # what the user's code prints is no result
            net = build(target, arguments)
            result = inspect_graph(trace(net, *shapes), type(net).__name__, residual)
        if path is not None:
            draw(result, path)
    if as_json:
        click.echo(result.to_json())
    else:
        print_tables(result)
