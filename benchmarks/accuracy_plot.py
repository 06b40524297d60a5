"""Accuracy against MACs and against parameters, with the spread over seeds."""

from pathlib import Path

COLOURS = ("#3b75af", "#e0782f", "#4b9b56", "#b0413e", "#7a5ba6", "#8a6d3b", "#c45c9c", "#5f6a72")
STYLES = {"nothing": ":", "recalibrated": "--", "compensated": "-"}


def draw(record: dict, path: Path) -> None:
    """Save the picture: MACs on the left, parameters on the right; a second row after fine-tuning."""
    figure_of(record).savefig(path, dpi=130)


def figure_of(record: dict):
    """The picture as a ``matplotlib.figure.Figure``; bars go from the worst to the best seed."""
    from matplotlib.figure import Figure

    times = [time for time in ("before", "after") if any(row[time] for row in record["rows"])]
    figure = Figure(figsize=(11, 4.4 * len(times)), layout="constrained")
    figure.suptitle(f"{record['options']['net']}: accuracy without fine-tuning and, below, after it"
                    if len(times) > 1 else f"{record['options']['net']}: accuracy without fine-tuning")
    for line, time in zip(figure.subplots(len(times), 2, squeeze=False), times):
        for axes, kind in zip(line, ("macs", "params")):
            _panel(axes, record["rows"], time, kind)
    return figure


def _panel(axes, rows: list[dict], time: str, kind: str) -> None:
    ways = list(dict.fromkeys((row["criterion"], row["scope"]) for row in rows))
    for colour, way in zip(COLOURS * len(ways), ways):
        mine = [row for row in rows if (row["criterion"], row["scope"]) == way]
        for repair in dict.fromkeys(name for row in mine for name in row[time]):
            _line(axes, mine, time, kind, repair, colour, f"{way[0]}, {way[1]}, {repair}")
    axes.axhline(rows[0]["dense"], color="#8a8a8a", linewidth=1, label="dense")
    axes.set(xlabel={"macs": "MACs, slim / dense", "params": "parameters, slim / dense"}[kind],
             ylabel="accuracy (percent)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _line(axes, rows: list[dict], time: str, kind: str, repair: str, colour: str, label: str) -> None:
    points = []
    for target in sorted({row["target"] for row in rows}):
        some = [row for row in rows if row["target"] == target]
        values = [row[time][repair] for row in some]
        mean = sum(values) / len(values)
        points.append((sum(row[kind] for row in some) / len(some), mean, mean - min(values), max(values) - mean))
    x, mean, below, above = zip(*points)
    axes.errorbar(x, mean, (below, above), fmt=f"o{STYLES[repair]}", color=colour, capsize=3, label=label)
