"""Latency against MACs, with the line on which the time falls as the MACs do."""

from pathlib import Path

STYLES = {("keep", 0): "o-", ("couple", 0): "s-", ("keep", 1): "o--", ("couple", 1): "s--"}
COLOURS = {"keep": "#3b75af", "couple": "#e0782f"}


def draw(record: dict, path: Path) -> None:
    """Save the picture: one panel for each image size and batch, one line for each policy and rounding."""
    figure_of(record).savefig(path, dpi=130)


def figure_of(record: dict):
    """The picture as a ``matplotlib.figure.Figure``; bars go from quartile to quartile."""
    from matplotlib.figure import Figure

    panels = sorted({(row["size"], row["batch"]) for row in record["rows"]})
    roundings = sorted({row["round_to"] for row in record["rows"]})
    figure = Figure(figsize=(4.6 * len(panels), 4.4), layout="constrained")
    figure.suptitle(f"{record['options']['net']}: exported MindIR, slim against dense")
    for axes, (size, batch) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        axes.plot((0, 1), (0, 1), color="#8a8a8a", linewidth=1, label="ideal")
        for residual in COLOURS:
            for k, round_to in enumerate(roundings):
                chosen = sorted((row for row in record["rows"] if (row["size"], row["batch"], row["residual"],
                                 row["round_to"]) == (size, batch, residual, round_to)), key=lambda r: r["macs_ratio"])
                if chosen:
                    _line(axes, chosen, STYLES.get((residual, k), ".:"), COLOURS[residual],
                          f"{residual}, round_to {round_to}")
        axes.set(title=f"{size}x{size}, batch {batch}", xlabel="MACs, slim / dense", ylabel="time, slim / dense",
                 xlim=(0, 1.05), ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _line(axes, rows: list[dict], style: str, colour: str, label: str) -> None:
    middle = [row["ratio"].median for row in rows]
    below = [row["ratio"].median - row["ratio"].low for row in rows]
    above = [row["ratio"].high - row["ratio"].median for row in rows]
    axes.errorbar([row["macs_ratio"] for row in rows], middle, (below, above), fmt=style, color=colour, capsize=3,
                  label=label)
