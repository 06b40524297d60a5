"""An inspection as a picture: one row for each layer that makes channels, in order of execution."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from mindspore_gs._files import whole_file
from mindspore_gs.cli.errors import CommandError
from mindspore_gs.runs.inspection import GroupRow, Inspection

_SUFFIXES = (".png", ".svg")
_ALONE, _BLOCKED, _EDGE = "#7fb0de", "#d9d9d9", "#8a8a8a"
_COUPLED = ("#e0782f", "#3a923a", "#c03d3e", "#8b61b5", "#0e9ba8", "#b5a300", "#d65f9e", "#7a5a46")
_ROW, _FRAME, _TALLEST = 0.21, 1.5, 400.0  # inches: one row, everything above and below, the whole figure
_DPI = 130


def plot_path(text: str) -> Path:
    """The file to draw into, checked before any work is done.

    Raises:
        CommandError: the suffix is not .png or .svg, the folder is missing, or matplotlib is.
    """
    path = Path(text)
    if path.suffix.lower() not in _SUFFIXES:
        raise CommandError(f"--plot takes a file that ends in {' or '.join(_SUFFIXES)}, but got {text!r}.")
    if not path.parent.is_dir():
        raise CommandError(f"--plot: there is no folder {str(path.parent)!r}.")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise CommandError("--plot needs matplotlib: pip install 'mindspore-gs-pruner[plot]'.", 1) from None
    return path


def draw(inspection: Inspection, path: Path) -> None:
    """Save the picture of :func:`figure_of` in a .png or .svg file; an older one is replaced.

    Raises:
        CommandError: the file cannot be written.
    """
    try:
        with whole_file(path) as draft:
            figure_of(inspection).savefig(draft, dpi=_DPI)
    except OSError as error:
        raise CommandError(f"{path} cannot be written ({error.strerror}).", 1) from error


def figure_of(inspection: Inspection) -> Any:
    """The picture as a ``matplotlib.figure.Figure`` with three panels that share the rows.

    From left to right: the channels of each layer, one dot for each layer of a coupled group on the group's line,
    and what removing half of each free group saves, at the group's first row. Its height follows the number of rows.
    """
    from matplotlib.figure import Figure

    lanes = _lanes(inspection)
    count = 1 + max(lanes.values(), default=-1)
    height = min(_TALLEST, _FRAME + _ROW * max(len(inspection.layers), 4))
    figure = Figure(figsize=(11 + 0.18 * count, height), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True, width_ratios=(5.5, 0.45 + 0.18 * count, 2.6))
    colours = _colours(inspection.groups)
    _draw_bars(panels[0], inspection, colours)
    _draw_lines(panels[1], inspection, lanes, colours)
    _draw_savings(panels[2], inspection, colours)
    _label(figure, inspection)
    return figure


def _colours(groups: Sequence[GroupRow]) -> list[str]:
    """Blocked groups are grey, layers by themselves alike, coupled groups take turns."""
    turns = cycle(_COUPLED)
    return [_BLOCKED if row.blocked else _ALONE if len(row.members) == 1 else next(turns) for row in groups]


def _rows_of(inspection: Inspection) -> dict[int, list[int]]:
    """For each group the rows in which it appears."""
    found: dict[int, list[int]] = {}
    for row, layer in enumerate(inspection.layers):
        for group in dict.fromkeys(run[0] for run in layer.runs):
            found.setdefault(group, []).append(row)
    return found


def _lanes(inspection: Inspection) -> dict[int, int]:
    """A lane for each coupled group, so that no two lines lie on each other."""
    ends: list[int] = []
    lanes: dict[int, int] = {}
    for group, rows in sorted(_rows_of(inspection).items(), key=lambda item: item[1][0]):
        if len(rows) > 1:
            lane = next((k for k, end in enumerate(ends) if end < rows[0]), len(ends))
            ends[lane:lane + 1] = [rows[-1]]
            lanes[group] = lane
    return lanes


def _draw_bars(axes: Any, inspection: Inspection, colours: Sequence[str]) -> None:
    widest = max((layer.channels for layer in inspection.layers), default=1)
    for row, layer in enumerate(inspection.layers):
        for group, start, length in layer.runs:
            edge, hatch = ("white", None) if inspection.groups[group].blocked is None else (_EDGE, "////")
            axes.barh(row, length, left=start, height=0.72, color=colours[group], edgecolor=edge, linewidth=0.3,
                      hatch=hatch)
        axes.text(layer.channels + 0.01 * widest, row, _note(inspection, row), va="center", fontsize=7.5)
    axes.set_yticks(range(len(inspection.layers)), [layer.cell or "the network" for layer in inspection.layers])
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.set_ylim(len(inspection.layers) - 0.4, -0.6)
    limit = max((layer.channels + widest * (0.04 + 0.015 * len(_note(inspection, row)))  # room for the note
                 for row, layer in enumerate(inspection.layers)), default=1)
    axes.set_xlim(0, limit)
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= widest])
    axes.set_xlabel("output channels", fontsize=9)
    _tidy(axes)


def _tidy(axes: Any) -> None:
    """Faint lines along the rows, and no more frame than needed."""
    axes.grid(axis="y", color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _note(inspection: Inspection, row: int) -> str:
    """Number of channels, and why some are blocked."""
    layer = inspection.layers[row]
    reasons = [by.reason.lower().replace("_", " ") for by in
               (inspection.groups[group].blocked for group, _, _ in layer.runs) if by is not None]
    return ", ".join([str(layer.channels), *dict.fromkeys(reasons)])


def _draw_lines(axes: Any, inspection: Inspection, lanes: dict[int, int], colours: Sequence[str]) -> None:
    rows = _rows_of(inspection)
    for group, lane in lanes.items():
        own = rows[group]
        colour = _EDGE if inspection.groups[group].blocked else colours[group]
        axes.plot([lane] * len(own), own, color=colour, linewidth=1.6, marker="o", markersize=4.5)
    axes.set_xlim(-0.8, max(lanes.values(), default=0) + 0.8)
    axes.set_xlabel("coupled" if lanes else "", fontsize=9)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0, labelleft=False)
    _tidy(axes)
    axes.spines[:].set_visible(False)


def _draw_savings(axes: Any, inspection: Inspection, colours: Sequence[str]) -> None:
    """Two thin bars in the first row of each free group: MACs above, parameters below."""
    starts: dict[int, list[int]] = {}
    for group, rows in _rows_of(inspection).items():
        if inspection.groups[group].half is not None:
            starts.setdefault(rows[0], []).append(group)
    for row, groups in starts.items():
        height = 0.8 / len(groups)
        for place, group in enumerate(groups):
            half, top = inspection.groups[group].half, row - 0.4 + place * height
            if half is not None:
                axes.barh(top + height / 4, 100 * half.macs_share, height=height / 2, color=colours[group])
                axes.barh(top + 3 * height / 4, 100 * half.params_share, height=height / 2, color=colours[group],
                          alpha=0.45)
    axes.set_xlabel("% of the network saved by removing\nhalf of the group and nothing else", fontsize=9)
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", length=0, labelleft=False)
    _tidy(axes)


def _label(figure: Any, inspection: Inspection) -> None:
    from matplotlib.patches import Patch

    shapes = " and ".join(str(shape) for shape in inspection.inputs)
    figure.suptitle(f"{inspection.network}, input {shapes}, residual={inspection.residual}: {inspection.params:,} "
                    f"parameters ({inspection.prunable_share:.1%} prunable), {inspection.macs:,} MACs", fontsize=10)
    keys = [Patch(facecolor=_ALONE, label="free, by itself"),
            Patch(facecolor=_COUPLED[0], label="free, coupled with the rows on its line"),
            Patch(facecolor=_BLOCKED, edgecolor=_EDGE, hatch="////", linewidth=0.3, label="blocked"),
            Patch(facecolor="#555555", label="MACs"), Patch(facecolor="#555555", alpha=0.45, label="parameters")]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), fontsize=8, frameon=False)
