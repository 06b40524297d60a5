"""Learning curves: accuracy against epochs, mean and range over the seeds."""

from pathlib import Path

COLOURS = ("#3b75af", "#e0782f", "#4b9b56", "#b0413e", "#7a5ba6", "#8a6d3b")


def draw(record: dict, path: Path) -> None:
    """Save the picture."""
    figure_of(record).savefig(path, dpi=130)


def figure_of(record: dict):
    """The picture as a ``matplotlib.figure.Figure``: a line for each way and learning rate, a band for the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes, rows = figure.subplots(), record["rows"]
    for colour, key in zip(COLOURS * len(rows), dict.fromkeys((row["way"], row["lr"]) for row in rows)):
        curves = list(zip(*(row["curve"] for row in rows if (row["way"], row["lr"]) == key)))
        epochs = range(1, len(curves) + 1)
        mean = [sum(found) / len(found) for found in curves]
        axes.plot(epochs, mean, "o-", color=colour, label=f"{key[0]}, {key[1]}")
        axes.fill_between(epochs, [min(found) for found in curves], [max(found) for found in curves], color=colour,
                          alpha=0.2)
    axes.axhline(rows[0]["teacher"], color="#8a8a8a", linewidth=1, label="residual network")
    axes.set(xlabel="epoch", ylabel="accuracy (percent)", title=f"{record['options']['net']} without shortcuts")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure
