"""Seconds of each step against the number of operators in the network."""

from pathlib import Path


def draw(record: dict, path: Path) -> None:
    """Save the picture: one line for each step, one point for each network, and a straight line to compare with."""
    figure_of(record).savefig(path, dpi=130)


def figure_of(record: dict):
    """The picture as a ``matplotlib.figure.Figure``; both axes are logarithmic."""
    from matplotlib.figure import Figure

    rows = sorted(record["rows"], key=lambda row: row["nodes"])
    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    axes = figure.subplots()
    for step in rows[0]["seconds"]:
        axes.plot([row["nodes"] for row in rows], [row["seconds"][step] for row in rows], "o-", label=step)
    last = rows[-1]
    scale = last["seconds"]["trace to slim"] / last["nodes"]
    axes.plot([row["nodes"] for row in rows], [scale * row["nodes"] for row in rows], "--", color="#8a8a8a",
              label="linear")
    for row in rows:
        axes.annotate(row["network"], (row["nodes"], 1.01), xycoords=("data", "axes fraction"), ha="center", fontsize=8)
    axes.set(xlabel="operators in the traced graph", ylabel="seconds", xscale="log", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
