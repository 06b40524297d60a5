"""Markdown tables of what performance.py has made and timed, and of what follows from them."""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.performance_files import ENGINES, NETWORKS, POLICIES, lines

TITLES = {"onnxruntime": "onnxruntime", "lite": "MindSpore Lite", "mindspore": "MindSpore"}


def page(folder: Path) -> str:
    """Speed-ups, one table for each engine and batch; then bytes and memory; then the conditions."""
    made, timed = lines(folder / "files.jsonl"), lines(folder / "times.jsonl")
    parts = [_speeds(timed, engine, batch) for engine in ENGINES for batch in sorted({row["batch"] for row in timed})]
    parts += [_defaults(timed), _sizes(made), _errors(made), _conditions(timed)]
    return "\n\n".join(part for part in parts if part)


def _speeds(timed: list[dict], engine: str, batch: int) -> str:
    rows = [row for row in timed if row["engine"] == engine and row["batch"] == batch]
    rounds = sorted({row["round_to"] for row in rows if row["round_to"]})
    if not rows:
        return ""
    head = ["network", "dense, ms", "policy", *(f"multiples of {number}" for number in rounds), "limit"]
    body = []
    for name in NETWORKS:
        own = {(row["policy"], row["round_to"]): row for row in rows if row["net"] == name}
        for policy in POLICIES if own else ():
            body.append([name, _number(own.get(("dense", 0)), "ms"), policy,
                         *(_speed(own.get((policy, number))) for number in rounds), _speed(own.get(("limit", 0)))])
    return f"{TITLES[engine]}, batch {batch}: dense time / slim time\n\n" + table(head, body)


def _speed(row: dict | None) -> str:
    return "" if row is None else "{:.2f} [{:.2f}, {:.2f}]".format(*row["speed_up"])


def _number(row: dict | None, key: str) -> str:
    return "" if row is None else f"{row[key]:.2f}" if isinstance(row[key], float) else f"{row[key]:,}"


def _defaults(timed: list[dict]) -> str:
    """The geometric mean of the speed-ups at batch 1 of each policy and rounding, over networks that all have."""
    rows = [row for row in timed if row["batch"] == 1 and row["round_to"]]
    if not rows:
        return ""
    choices = sorted({(row["policy"], row["round_to"]) for row in rows})
    body = []
    for engine in ENGINES:
        found = {(row["policy"], row["round_to"], row["net"]): row["speed_up"][0] for row in rows
                 if row["engine"] == engine}
        networks = [name for name in NETWORKS if all((*choice, name) in found for choice in choices)]
        means = {choice: _geometric(found[(*choice, name)] for name in networks) for choice in choices if networks}
        body += [[TITLES[engine], ", ".join(networks), policy, str(number), f"{mean:.2f}"]
                 for (policy, number), mean in sorted(means.items(), key=lambda item: -item[1])]
    return ("What a default gains: geometric mean of the speed-ups at batch 1, the best first\n\n"
            + table(["engine", "networks", "policy", "multiples of", "speed-up"], body)) if body else ""


def _geometric(values: Iterable[float]) -> float:
    product, count = 1.0, 0
    for value in values:
        product, count = product * value, count + 1
    return product ** (1 / count)


def _sizes(made: list[dict]) -> str:
    """MACs, parameters and Gathers, then bytes of the file and peak memory at batch 1 in each engine."""
    good = {(row["net"], row["policy"], row["round_to"], row["engine"]): row for row in made
            if "file" in row and row["batch"] == 1}
    head = ["network", "version", "MACs", "parameters", "Gathers",
            *(f"{TITLES[engine]}: {what}" for engine in ENGINES for what in ("bytes", "peak MB"))]
    body = []
    for net, policy, number in dict.fromkeys(key[:3] for key in good):
        rows = [good.get((net, policy, number, engine)) for engine in ENGINES]
        dense = next((good[key] for key in good if key[:2] == (net, "dense")), None)
        first = next(row for row in rows if row is not None)
        share = f"{first['macs'] / dense['macs']:.1%}" if dense else ""
        kept = f"{first['params'] / dense['params']:.1%}" if dense else ""
        body.append([net, f"{policy} {number or ''}".strip(), share, kept, str(first["gathers"]),
                     *(text for row in rows for text in (_number(row, "bytes"), _number(row, "peak_mb")))])
    title = "Bytes of the file and peak memory of a process that runs it, batch 1\n\n"
    return title + table(head, body) if body else ""


def _errors(made: list[dict]) -> str:
    """What could not be made, and the last reason."""
    keys = ("net", "policy", "round_to", "engine", "batch")
    last = {tuple(row[key] for key in keys): row for row in made}
    rows = [row for row in last.values() if "error" in row]
    body = [[row["net"], f"{row['policy']} {row['round_to'] or ''}".strip(), TITLES[row["engine"]], str(row["batch"]),
             row["error"].replace("|", "/").replace("\n", " ")] for row in rows]
    return "Not made\n\n" + table(["network", "version", "engine", "batch", "why"], body) if body else ""


def _conditions(timed: list[dict]) -> str:
    if not timed:
        return ""
    loads = [row["load"] for row in timed]
    return (f"{timed[0]['processor']}, one thread, commit {timed[0]['commit'][:7]}, {timed[0]['time']} to "
            f"{timed[-1]['time']}, load at the starts {min(loads):.2f} to {max(loads):.2f}; median [quartiles] over "
            f"{min(row['runs'] for row in timed)} to {max(row['runs'] for row in timed)} turns.")


def table(head: list[str], body: list[list[str]]) -> str:
    """A Markdown table; the numbers stand on the right.

    >>> print(table(["network", "ms"], [["a", "1"]]))
    | network | ms |
    |---|---|
    | a | 1 |
    """
    rows = [head, ["---"] * len(head), *body]
    return "\n".join(("|" + "|".join(row) + "|") if row[0] == "---" else "| " + " | ".join(row) + " |" for row in rows)
