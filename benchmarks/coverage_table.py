"""The text of docs/coverage.md, from the records that zoo.py writes."""

from collections import Counter
from collections.abc import Iterable

COLUMNS = ("model", "family", "traced", "prunable", "parameters", "MACs", "masked - slim", "slim - MindIR", "seconds",
           "result")
MUCH = 0.05  # share of channels, outputs of the network apart, from which a model gets a section


def page(records: Iterable[dict], command: str) -> str:
    """The whole page: what was done, the table, the totals, and a section for each model that blocks much."""
    records = sorted(records, key=lambda record: (record.get("family", ""), record["model"].lower()))
    rows = [" | ".join(("", *cells, "")).strip() for cells in map(row, records)]
    lines = ["# Coverage", "", *introduction(command), "", *totals(records), "",
             "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS), *rows]
    for record in records:
        lines += section(record)
    return "\n".join(lines) + "\n"


def introduction(command: str) -> list[str]:
    """What the columns mean."""
    return ["Made by `" + command + "`, on mindcv 0.3.0 with 10 classes. Every parameter has a random value. The "
            'model is traced, `groups(residual="couple")` are formed, a random half of the channels of every free '
            "group is removed, and three networks get the same two random images in Graph mode, float32, on the CPU: "
            "the full network with these channels at zero (masked), the slim one, and the slim one reloaded from its "
            "MindIR. mindcv's rexnet is missing: its constructor fails on MindSpore 2.10.", "",
            "- **traced**: height and width of the image.",
            "- **prunable**: share of the entries of all trainable parameters that lie in a free group; each of them "
            "goes with some channel that may be removed.",
            "- **parameters**, **MACs**: after / before, with half of every free group removed.",
            "- **masked - slim**, **slim - MindIR**: largest difference of an output over the largest output.",
            "- **seconds**: export, grouping, and everything including five compilations. Each model ran in a process "
            "of its own.",
            "- **result**: *equal* (to 1e-4); *refused* (the package says that it cannot prune the model); *dull* "
            "(equal, but the output depends too little on input or channels to prove anything); *WRONG*; *CRASH*.",
            "- **first place** (further down): the operator's cell as MindSpore writes it, its path with the "
            "class of each cell: `Default/conv1-StdConv2d` is the cell `conv1` of class `StdConv2d` in the network."]


def totals(records: list[dict]) -> list[str]:
    """What the table comes to."""
    status = Counter(record["status"] for record in records)
    families = {record["family"] for record in records if "family" in record}
    good = [record for record in records if record["status"] == "equal"]
    most = [record for record in records if record.get("prunable", 0) > 0.5]
    lines = [f"{len(records)} models from {len(families)} families: "
             + ", ".join(f"{number} {name}" for name, number in status.most_common()) + ".",
             f"More than half of the parameters are prunable in {len(most)} models from "
             f"{len({record['family'] for record in most})} families."]
    if good:
        lines.append(f"Largest difference among the equal ones: masked - slim "
                     f"{max(record['masked_slim'] for record in good):.1e}, slim - MindIR "
                     f"{max(record['slim_mindir'] for record in good):.1e}.")
    memory = sorted((record["peak_memory_mb"], record["model"]) for record in records if "peak_memory_mb" in record)
    if memory:
        largest = ", ".join(f"{megabytes:,} MB ({model})" for megabytes, model in memory[:-4:-1])
        lines.append(f"Peak memory of a process with everything in it: median {memory[len(memory) // 2][0]:,} MB; "
                     f"the largest {largest}.")
    return lines


def row(record: dict) -> list[str]:
    """The cells of one model; a dash where it did not get that far."""
    seconds = record["seconds"]
    times = " / ".join(f"{seconds[key]:.1f}" if key in seconds else "-" for key in ("trace", "group", "total"))
    return [record["model"], record.get("family", "-"), str(record["size"]) if "trace" in seconds else "no",
            f"{record['prunable']:.1%}" if "prunable" in record else "-", _ratio(record, "params"),
            _ratio(record, "macs"), _small(record, "masked_slim"), _small(record, "slim_mindir"), times,
            record["status"]]


def _ratio(record: dict, kind: str) -> str:
    after, before = record.get(f"{kind}_after"), record.get(f"{kind}_before")
    return "-" if not before else f"{after / 1e6:,.2f} / {before / 1e6:,.2f} M ({after / before:.0%})"


def _small(record: dict, key: str) -> str:
    return f"{record[key]:.1e}" if key in record else "-"


def section(record: dict) -> list[str]:
    """What stops a model's channels, where that is more than a little or something went wrong."""
    blocked = [entry for entry in record.get("blocked", ()) if entry["reason"] != "REACHES_OUTPUT"]
    channels = sum(entry["channels"] for entry in blocked)
    outside = record.get("outside", 0)
    much = channels > MUCH * record.get("channels", 1) or outside > MUCH * record.get("trainable", 1)
    if not much and record["status"] == "equal":
        return []
    lines = ["", f"## {record['model']}", ""]
    if record.get("error"):
        lines += [f"{record['status']}: {_plain(record['error'])}", ""]
    if "first_difference" in record:
        lines += [f"The first cell that differs is {record['first_difference']}.", ""]
    if "channels" in record:
        lines.append(f"{record['free_channels']:,} of {record['channels']:,} channels are free, in "
                     f"{record['free_groups']} of {record['groups']} groups."
                     + (f" {outside:,} entries of trainable parameters belong to no group." if outside else "")
                     + (f" {record['untraced']:,} of them serve training only." if record.get("untraced") else ""))
    if blocked:
        lines += ["", "| reason | operator | groups | channels | parameters held | first place |",
                  "|---|---|---|---|---|---|"]
        lines += [f"| {e['reason']} | {e['operator']} | {e['groups']} | {e['channels']:,} | {e['params']:,} | "
                  f"`{e['place']}` |" for e in sorted(blocked, key=lambda e: -e["params"])]
    return lines


def _plain(text: str) -> str:
    """An error on one line of Markdown, not longer than a reader wants."""
    line = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return line if len(line) <= 400 else line[:400] + " ..."


def short_line(record: dict) -> str:
    """One line for the terminal while models run."""
    prunable = f"{record['prunable']:.1%}" if "prunable" in record else "-"
    return (f"{record['model']:24} {record['status']:8} prunable {prunable:>6}  masked-slim "
            f"{_small(record, 'masked_slim'):>8}  slim-MindIR {_small(record, 'slim_mindir'):>8}  "
            f"{record['seconds'].get('total', 0):6.1f} s  {record.get('error', '')[:150]}")
