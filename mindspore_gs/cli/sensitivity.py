"""``mindspore-gs sensitivity``: network, checkpoint and data in; what each group of channels is worth out."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mindspore import nn

from mindspore_gs.analysis import Sensitivity, sensitivity
from mindspore_gs.cli.errors import CommandError
from mindspore_gs.cli.plot import plot_path
from mindspore_gs.cli.target import data_from, named

_OURS = ("For '", "for sensitivity()", "sensitivity()", "'metric' must", "'loss' must")


@dataclass(frozen=True)
class Files:
    """Where the results go; None where there is no such file."""

    out: str
    csv: str | None
    plot: str | None

    def checked(self) -> "Files":
        """The same, once it is known that a picture can be drawn.

        Raises:
            CommandError: the picture's suffix is wrong, its folder is missing, or matplotlib is.
        """
        if self.plot is not None:
            plot_path(self.plot)
        return self


def parse_rates(text: str) -> tuple[float, ...]:
    """The rates that ``0.25,0.5`` stands for.

    Raises:
        CommandError: they are no numbers.

    Examples:
        >>> parse_rates("0.25, 0.5")
        (0.25, 0.5)
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise CommandError(f"--rates must be numbers with commas, such as 0.25,0.5,0.75, but got {text!r}.") from None


def analyse(net: nn.Cell, data: str | None, metric: str | None, loss: str | None, files: Files,
            **options: Any) -> Sensitivity:
    """Measure, and write every file.

    Args:
        net: the network.
        data, metric, loss: ``module:callable`` each, or None.
        files: where the results go.
        options: of :func:`mindspore_gs.analysis.sensitivity`.

    Raises:
        CommandError: an option is wrong, or the user's own code cannot be imported.
        PruningError: the network cannot be pruned or measured.
    """
    functions = {name: named(text) for name, text in (("metric", metric), ("loss_fn", loss)) if text is not None}
    batches = None if data is None else data_from(data)
    try:
        found = sensitivity(net, batches, file=files.out, **functions, **options)
    except (TypeError, ValueError) as error:
        if not str(error).startswith(_OURS):
            raise
        raise CommandError(str(error)) from error
    found.to_json(files.out)
    if files.csv is not None:
        found.to_csv(files.csv)
    if files.plot is not None:
        found.plot(files.plot)
    return found


def check_allowed(allowed: float | None) -> None:
    """Refuse a loss that is none, before anything is measured.

    Raises:
        CommandError: it is negative or not finite.
    """
    if allowed is not None:
        _rates(Sensitivity({}, "", True, 0.0, ()), allowed)


def document_of(found: Sensitivity, allowed: float | None) -> dict[str, Any]:
    """The results as what JSON can hold, with the rates for a loss where one is given."""
    return {**asdict(found), **({} if allowed is None else {"rates": _rates(found, allowed)})}


def lines_of(found: Sensitivity, files: Files, allowed: float | None) -> str:
    """What is said below the table."""
    written = ", ".join(str(Path(file)) for file in (files.out, files.csv, files.plot) if file is not None)
    lines = [f"written: {written}"]
    if allowed is not None:
        rates = " ".join(f"--rate {name}={rate:.4g}" for name, rate in _rates(found, allowed).items())
        lines.append(f"for 'mindspore-gs prune', each group loses at most {allowed:g} by itself: {rates}")
    return "\n".join(lines)


def _rates(found: Sensitivity, allowed: float) -> dict[str, float]:
    try:
        return found.rates_for(allowed)
    except ValueError as error:
        raise CommandError(f"--allow: {error}") from error
