"""Pictures of rows: accuracy against MACs and parameters, and accuracy against training steps.

    python benchmarks/accuracy_plot.py RUNS PICTURE.png
    python benchmarks/accuracy_plot.py RUNS PICTURE.png --steps
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.accuracy_rows import read_rows  # noqa: E402

COLOURS = ("#3b75af", "#e0782f", "#4b9b56", "#b0413e", "#7a5ba6", "#8a6d3b", "#c45c9c", "#5f6a72")
STYLES = {"nothing": ":", "recalibrated": "--", "compensated": "-"}
KINDS = {"macs": "MACs, slim / dense", "params": "parameters, slim / dense"}
WAY = ("criterion", "scope", "weights", "steps", "teacher", "few", "lr")


def draw(record: dict, path: Path) -> None:
    """Save the picture of accuracy against MACs and parameters."""
    figure_of(record["rows"]).savefig(path, dpi=130)


def figure_of(rows: list[dict]) -> Any:
    """MACs on the left, parameters on the right; a second row after training. Bars: from the worst to the best seed."""
    from matplotlib.figure import Figure

    parts = [part for part in ([r for r in rows if not r["steps"]], [r for r in rows if r["steps"]]) if part]
    figure = Figure(figsize=(11, 4.4 * len(parts)), layout="constrained")
    figure.suptitle(", ".join(dict.fromkeys(row["net"] for row in rows)) + ": accuracy"
                    + (" without training and, below, after it" if len(parts) > 1 else ""))
    for line, part in zip(figure.subplots(len(parts), 2, squeeze=False), parts):
        for axes, kind in zip(line, KINDS):
            for colour, way, own in _ways(part, WAY):
                _line(axes, own, kind, colour, STYLES.get(way[2], "-."), _name(way), "target")
            _dress(axes, part, KINDS[kind])
    return figure


def steps_figure(rows: list[dict]) -> Any:
    """Accuracy against training steps, each length a training of its own; a line for each way to start and to train.

    Without training there is no teacher, so lines with and without one begin at the same point.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    untrained = [row for row in rows if not row["steps"]]
    trained = [row for row in rows if row["steps"]]
    for colour, way, own in _ways(trained, ("criterion", "scope", "weights", "teacher", "few")):
        start = [row for row in untrained if (row["criterion"], row["scope"], row["weights"]) == way[:3]]
        label = ", ".join((way[0], way[2], "with teacher" if way[3] else "no teacher", *["few images"] * way[4]))
        _line(axes, start + own, "steps", colour, "-" if way[3] else "--", label, "steps")
    axes.set_xscale("symlog", linthresh=25)
    ticks = sorted({row["steps"] for row in rows})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    _dress(axes, rows, "training steps of 128 images")
    return figure


def _ways(rows: list[dict], names: tuple[str, ...]) -> Iterable[tuple[str, tuple[Any, ...], list[dict]]]:
    ways = list(dict.fromkeys(tuple(row[name] for name in names) for row in rows))
    for colour, way in zip(COLOURS * len(ways), ways):
        yield colour, way, [row for row in rows if tuple(row[name] for name in names) == way]


def _name(way: tuple[Any, ...]) -> str:
    trained = [f"{way[3]} steps", f"teacher {way[4]:g}"] if way[3] else []
    return ", ".join([*way[:3], *trained])


def _line(axes: Any, rows: list[dict], kind: str, colour: str, style: str, label: str, by: str) -> None:
    points = []
    for value in sorted({row[by] for row in rows}):
        some = [row for row in rows if row[by] == value]
        values = [row["accuracy"] for row in some]
        mean = sum(values) / len(values)
        points.append((sum(row[kind] for row in some) / len(some), mean, mean - min(values), max(values) - mean))
    x, mean, below, above = zip(*points)
    axes.errorbar(x, mean, (below, above), fmt=f"o{style}", color=colour, capsize=3, label=label)


def _dress(axes: Any, rows: list[dict], label: str) -> None:
    axes.axhline(rows[0]["dense"], color="#8a8a8a", linewidth=1, label="dense")
    axes.set(xlabel=label, ylabel="accuracy (percent)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def main() -> None:
    """Draw the rows of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="folder that accuracy.py got as --out")
    parser.add_argument("picture", type=Path, help=".png or .svg")
    parser.add_argument("--steps", action="store_true", help="against training steps")
    options = parser.parse_args()
    rows = read_rows(options.runs)
    (steps_figure if options.steps else figure_of)(rows).savefig(options.picture, dpi=130)


if __name__ == "__main__":
    main()
