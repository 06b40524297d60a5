"""A sensitivity analysis as a picture: lines over the rate, and a map with one row for each group."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mindspore_gs.analysis.result import Sensitivity, shortened

_ROW, _FRAME, _TALLEST = 0.24, 1.6, 300.0  # inches: one row, everything above and below, the whole figure
_ORDER = "viridis"  # a line's colour: early layers dark, late ones light


def figure_of(found: Sensitivity) -> Figure:
    """The picture: on the left the value of each group over its rate, on the right what it loses, group by group.

    Groups are in order of execution; a line has the colour of the dot at its row of the map.
    """
    height = min(_TALLEST, max(4.2, _FRAME + _ROW * len(found.groups)))
    figure = Figure(figsize=(6.4 + 1.8 + 0.55 * len(found.rates) + 2.4, height), layout="constrained")
    lines, cells = figure.subplots(1, 2, width_ratios=(5.2, 1.2 + 0.55 * len(found.rates)))
    colours = [colormaps[_ORDER](0.95 * k / max(len(found.groups) - 1, 1)) for k in range(len(found.groups))]
    _draw_lines(lines, found, colours)
    _draw_map(cells, found, colours)
    figure.suptitle(f"{found.identity.get('network', 'network')}: {found.metric} with a share of one group's channels "
                    f"masked, all other groups whole; criterion {found.identity.get('criterion', '')}", fontsize=10)
    return figure


def _draw_lines(axes: Any, found: Sensitivity, colours: list[Any]) -> None:
    for group, colour in zip(found.groups, colours):
        axes.plot([0.0, *(point.rate for point in group.points)],
                  [found.baseline, *(point.value for point in group.points)], color=colour, linewidth=1.2, marker="o",
                  markersize=3)
    axes.axhline(found.baseline, color="#8a8a8a", linewidth=0.8, linestyle="--")
    axes.set_xlabel("share of the group's channels that is masked", fontsize=9)
    axes.set_ylabel(found.metric, fontsize=9)
    axes.set_xlim(0, 1)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_map(axes: Any, found: Sensitivity, colours: list[Any]) -> None:
    table = found.table()
    top = float(np.nanmax(table, initial=0.0)) or 1.0
    axes.imshow(table, aspect="auto", cmap="OrRd", norm=Normalize(0, top))
    for (row, column), lost in np.ndenumerate(table):
        if np.isfinite(lost):
            axes.text(column, row, f"{lost:.2g}" if abs(lost) >= 5e-4 else "0", ha="center", va="center", fontsize=6.5,
                      color="white" if lost > 0.65 * top else "black")
    axes.scatter([-0.85] * len(colours), range(len(colours)), color=colours, s=14, clip_on=False)
    axes.set_yticks(range(len(found.groups)), shortened([group.name or "the network" for group in found.groups]))
    axes.set_xticks(range(len(found.rates)), [f"{rate:g}" for rate in found.rates])
    axes.set_xlim(-1.2, len(found.rates) - 0.5)
    axes.tick_params(axis="both", length=0, labelsize=8)
    axes.set_xlabel(f"share that is masked; number: {found.metric} "
                    f"{'lost' if found.higher_is_better else 'gained'}", fontsize=9)
    axes.spines[:].set_visible(False)
