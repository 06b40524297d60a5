"""What a compensation did, layer by layer."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Repaired:
    """A layer whose weights were solved for.

    Attributes:
        name: path of the layer's cell.
        before: mean squared difference of its output from the target, over the target's variance, with the old weights.
        after: the same with the new ones. Both are of samples (with less
            than eight of them, positions) that were not fitted.
        target: ``"output"``: what the layer computes in the dense network; ``"stream"``: the residual stream behind it.
    """

    name: str
    before: float
    after: float
    target: str


@dataclass(frozen=True)
class Compensation:
    """What a compensation did.

    Attributes:
        layers: the layers that were solved for, in order of execution.
        skipped: for each other one that reads removed channels, or whose statistics stay: the reason.
    """

    layers: tuple[Repaired, ...]
    skipped: Mapping[str, str]

    def print(self) -> None:
        """Print one line for each layer."""
        from rich.console import Console
        from rich.table import Table

        title = "Compensation: error of each layer, relative to the variance of its target"
        table = Table(title=title, title_justify="left")
        table.add_column("layer")
        for name in ("before", "after"):
            table.add_column(name, justify="right")
        table.add_column("target, or why it stays")
        for layer in self.layers:
            table.add_row(layer.name, f"{layer.before:.4f}", f"{layer.after:.4f}", layer.target)
        for name, reason in self.skipped.items():
            table.add_row(name, "", "", reason)
        Console().print(table)
