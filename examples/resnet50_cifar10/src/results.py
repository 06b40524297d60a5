"""What a run found: a dictionary for JSON and a table for people."""
from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.console import Console
from rich.table import Table

PACKAGES = ("mindspore-gs-pruner", "mindspore", "numpy")


def versions() -> dict[str, str]:
    """Python, the machine's kind and the packages that matter."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def print_table(results: dict[str, Any]) -> None:
    """One table: accuracy dense, pruned and fine-tuned; the sizes before and after."""
    rate = "" if results["prune_rate"] is None else f", rate {results['prune_rate']:.3f}"
    table = Table(title=f"{results['net']} on {results['data']}, {results['eval_on']} images{rate}")
    table.add_column("")
    for column in ("before", "after pruning", "after fine-tuning", "after / before"):
        table.add_column(column, justify="right")
    score = results["accuracy"]
    table.add_row("accuracy", *(f"{100 * score[stage]:.2f}%" for stage in ("dense", "masked", "fine_tuned")),
                  f"{100 * (score['fine_tuned'] - score['dense']):+.2f} points")
    for title, key, form in (("parameters", "params", "{:,.0f}"), ("MACs, one image", "macs", "{:,.0f}"),
                             ("MindIR, bytes", "mindir_bytes", "{:,.0f}"), ("latency, ms", "latency_ms", "{:.2f}")):
        before, after = results.get(f"{key}_before"), results.get(f"{key}_after")
        if before and after:
            table.add_row(title, form.format(before), form.format(after), form.format(after), f"{after / before:.2f}")
    console = Console()
    console.width = max(console.width, 100)
    console.print(table)
