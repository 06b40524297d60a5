"""What a sensitivity analysis has found: looked at, stored, drawn, and turned into rates."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mindspore_gs._files import checked_path, whole_file
from mindspore_gs.errors import PruningError

FORMAT = "mindspore-gs sensitivity 1"


@dataclass(frozen=True)
class Point:
    """One measurement: a group with some of its channels, all others whole.

    Attributes:
        rate: share of the group's channels that was masked.
        kept: number of channels that stayed.
        value: accuracy, loss or whatever was measured.
    """

    rate: float
    kept: int
    value: float


@dataclass(frozen=True)
class GroupSensitivity:
    """A group of channels, and how the network does without some of them.

    Attributes:
        name: path of the first cell that makes the channels.
        members: paths of all cells that make them.
        weights: names of their weights.
        size: number of channels.
        points: by rate, ascending.
    """

    name: str
    members: tuple[str, ...]
    weights: tuple[str, ...]
    size: int
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Sensitivity:
    """How much each group of channels matters.

    Attributes:
        identity: what was measured, to tell whether a file belongs to a network: the network's class and a checksum of
            its weights, criterion, seed, metric, policy, and how BatchNorms took their statistics.
        metric: ``"accuracy"``, ``"loss"``, or the name of a function.
        higher_is_better: whether a larger value is a better network.
        baseline: the value of the whole network.
        groups: in order of execution.

    Examples:
        >>> from mindspore_gs.analysis import GroupSensitivity, Point, Sensitivity
        >>> points = Point(0.25, 6, 0.90), Point(0.5, 4, 0.88), Point(0.75, 2, 0.60)
        >>> group = GroupSensitivity("conv1", ("conv1",), ("conv1.weight",), 8, points)
        >>> found = Sensitivity({}, "accuracy", True, 0.92, (group,))
        >>> [round(each, 2) for each in found.lost(group)]
        [0.02, 0.04, 0.32]
        >>> found.rates_for(0.04), found.rates_for(0.18)
        ({'conv1.weight': 0.5}, {'conv1.weight': 0.625})
    """

    identity: Mapping[str, Any]
    metric: str
    higher_is_better: bool
    baseline: float
    groups: tuple[GroupSensitivity, ...]

    def lost(self, group: GroupSensitivity) -> list[float]:
        """How much worse each point of a group is than the whole network, in the metric's unit."""
        sign = 1.0 if self.higher_is_better else -1.0
        return [sign * (self.baseline - point.value) for point in group.points]

    def rates_for(self, loss: float) -> dict[str, float]:
        """The highest rate of each group at which the network without these channels alone loses at most ``loss``.

        It goes up from rate 0 to where the loss is exceeded first; between two points it is a straight line, and
        beyond the last point nothing is known, so that is the highest rate. Paddle's ``get_ratios_by_loss`` does this
        with losses relative to the baseline and from the highest rate down.

        Args:
            loss: in the metric's unit: 0.02 are two points of accuracy. Not negative.

        Returns:
            The rate by the name of the group's first weight: what ``rates`` of
            :class:`~mindspore_gs.ChannelPruner` takes. Where groups share a weight, it has the lowest of their rates.
            Together the groups lose more than each of them alone.

        Raises:
            ValueError: ``loss`` is negative or not finite.
        """
        if not isinstance(loss, (int, float)) or isinstance(loss, bool) or not 0 <= loss < float("inf"):
            raise ValueError(f"'loss' must be a number of at least 0, such as 0.02, but got {loss!r}.")
        rates: dict[str, float] = {}
        for group in self.groups:
            rate = self._rate(group, float(loss))
            rates[group.weights[0]] = min(rate, rates.get(group.weights[0], 1.0))
        return rates

    def _rate(self, group: GroupSensitivity, loss: float) -> float:
        rate, before = 0.0, 0.0
        for point, lost in zip(group.points, self.lost(group)):
            if lost > loss + 1e-12:
                return rate + (point.rate - rate) * (loss - before) / (lost - before)
            rate, before = point.rate, min(max(lost, 0.0), loss)
        return rate

    def to_json(self, file: str | os.PathLike) -> Path:
        """Write everything into a JSON file; :meth:`from_json` reads it.

        Raises:
            TypeError, ValueError: ``file`` is no path.
            OSError: it cannot be written.
        """
        document = {"format": FORMAT, **asdict(self)}
        return _written(file, "to_json()", lambda path: path.write_text(json.dumps(document, indent=1) + "\n", "utf-8"))

    @classmethod
    def from_json(cls, file: str | os.PathLike) -> Sensitivity:
        """Read what :meth:`to_json` has written.

        Raises:
            PruningError: there is no such file, or it is of another kind.
        """
        path = checked_path("from_json()", "file", file)
        try:
            document = json.loads(path.read_text("utf-8"))
            if document.pop("format") != FORMAT:
                raise ValueError("another format")
            groups = tuple(GroupSensitivity(each["name"], tuple(each["members"]), tuple(each["weights"]), each["size"],
                                            tuple(Point(**point) for point in each["points"]))
                           for each in document.pop("groups"))
            found = cls(groups=groups, **document)
            _check_types(found)
            return found
        except OSError as error:
            raise PruningError(f"{path} cannot be read ({error.strerror}).") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise PruningError(f"{path} is no file of a sensitivity analysis ({error}); give another "
                               "'file'.") from error

    def to_csv(self, file: str | os.PathLike) -> Path:
        """Write one line for each point: group, members, channels, rate, kept, value, lost.

        Raises:
            TypeError, ValueError: ``file`` is no path.
            OSError: it cannot be written.
        """
        def write(path: Path) -> None:
            with path.open("w", encoding="utf-8", newline="") as handle:
                lines = csv.writer(handle)
                lines.writerow(["group", "members", "channels", "rate", "kept", self.metric, "lost"])
                for group in self.groups:
                    for point, lost in zip(group.points, self.lost(group)):
                        lines.writerow([group.name, " ".join(group.members), group.size, point.rate, point.kept,
                                        point.value, lost])

        return _written(file, "to_csv()", write)

    def plot(self, file: str | os.PathLike) -> Path:
        """Draw lines and a map of what is lost, into a ``.png`` or ``.svg`` file. Needs matplotlib.

        Raises:
            ValueError: the file's name ends otherwise.
            PruningError: matplotlib is missing.
            OSError: the file cannot be written.
        """
        path = checked_path("plot()", "file", file)
        if path.suffix.lower() not in (".png", ".svg"):
            raise ValueError(f"for plot(), 'file' must end in .png or .svg, but got {str(path)!r}.")
        try:
            from mindspore_gs.analysis.figure import figure_of
        except ImportError as error:
            raise PruningError("plot() needs matplotlib: pip install 'mindspore-gs-pruner[plot]'.") from error
        figure = figure_of(self)
        return _written(path, "plot()", lambda draft: figure.savefig(draft, dpi=130))

    def print(self) -> None:
        """Print a table: one row for each group, with its value at each rate."""
        from rich.console import Console
        from rich.table import Table

        rates = self.rates
        table = Table()
        table.add_column("group", no_wrap=True)
        for name in ("channels", *(f"{rate:g}" for rate in rates)):
            table.add_column(name, justify="right")
        for group in self.groups:
            values = {point.rate: f"{point.value:.4g}" for point in group.points}
            more = f" and {len(group.members) - 1} more" if len(group.members) > 1 else ""
            table.add_row(group.name + more, str(group.size), *(values.get(rate, "") for rate in rates))
        console = Console()
        longest = max((len(group.name) for group in self.groups), default=0)
        console.width = max(console.width, longest + 32 + 10 * len(rates))
        console.print(f"{self.metric} with a share of one group's channels masked; of the whole network: "
                      f"{self.baseline:.4g}", soft_wrap=True)
        console.print(table)

    @property
    def rates(self) -> tuple[float, ...]:
        """The rates that were measured, ascending."""
        return tuple(sorted({point.rate for group in self.groups for point in group.points}))

    def table(self) -> np.ndarray:
        """What is lost, shape (groups, rates); NaN where nothing was measured."""
        columns = {rate: k for k, rate in enumerate(self.rates)}
        found = np.full((len(self.groups), len(columns)), np.nan)
        for row, group in zip(found, self.groups):
            for point, lost in zip(group.points, self.lost(group)):
                row[columns[point.rate]] = lost
        return found


def _check_types(found: Sensitivity) -> None:
    """Refuse what the rest of the package could not compute with.

    Raises:
        TypeError: says what is wrong.
    """
    numbers = [("baseline", found.baseline)] + [(f"{name!r} of {group.name!r}", value) for group in found.groups
                                                for name, value in (("size", group.size), *(
                                                    pair for point in group.points for pair in vars(point).items()))]
    for name, value in numbers:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise TypeError(f"the {name} is {value!r} and not a number")
    if not isinstance(found.identity, dict) or not isinstance(found.metric, str) or not all(
            isinstance(group.name, str) and group.weights for group in found.groups):
        raise TypeError("an entry is of another kind")


def _written(file: str | os.PathLike, owner: str, write: Any) -> Path:
    path = checked_path(owner, "file", file)
    with whole_file(path) as draft:
        write(draft)
    return path


def shortened(names: Sequence[str], longest: int = 34) -> list[str]:
    """Names that fit beside a picture; the end of a path tells more than its beginning.

    >>> shortened(["layer1.0.conv1"], 8)
    ['…0.conv1']
    """
    return [name if len(name) <= longest else "…" + name[1 - longest:] for name in names]
