"""The text of docs/coverage.md, from the records that zoo.py writes."""

from collections import Counter
from collections.abc import Iterable

COLUMNS = ("model", "family", "traced", "prunable", "parameters", "MACs", "masked - slim", "slim - MindIR",
           "SCOP keep, couple", "seconds", "commit", "result")
TASK_COLUMNS = ("task", "networks", "result", "prunable", "what holds the rest")
MUCH = 0.05  # share of channels, outputs of the network apart, from which a model gets a section
LEAST = 0.0005  # share of the parameters from which a reason is listed


def page(records: Iterable[dict], command: str) -> str:
    """The whole page: what was done, the tasks, a table for each, and a section for each model that blocks much."""
    records = sorted(records, key=lambda record: (record.get("family", ""), record["model"].lower()))
    tasks = sorted({task_of(record) for record in records})
    lines = ["# Coverage", "", *introduction(command), "", *totals(records), "", *table(TASK_COLUMNS, (
        task_row(task, [record for record in records if task_of(record) == task]) for task in tasks))]
    for task in tasks:
        rows = [row(record) for record in records if task_of(record) == task]
        lines += ["", f"## {task[:1].upper()}{task[1:]}", "", *table(COLUMNS, rows)]
    sections = [line for record in records for line in section(record)]
    return "\n".join([*lines, *(["", "## What is blocked, network by network"] if sections else []), *sections]) + "\n"


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table."""
    columns = list(columns)
    return ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns),
            *(" | ".join(("", *cells, "")).strip() for cells in rows)]


def task_of(record: dict) -> str:
    """What a network is for; mindcv's classify."""
    return record.get("task", "classification")


def introduction(command: str) -> list[str]:
    """What the columns mean."""
    return ["Which networks can be pruned, how much of them, and is the small network right? This page answers for the "
            "networks of three libraries and of papers. To see the same for a network of yours, call "
            "[`mindspore-gs inspect`](inspect.md).", "",
            "It is made by `" + command + "`, on mindcv 0.3.0 (10 classes), mindyolo 0.5.0 (5 classes), mindocr "
            "0.5.0, and networks after papers of other tasks (`tests/zoo/tasks.py`). Every parameter has a random "
            "value. A random half of the channels of every free group is removed under the policy `couple`. Then three "
            "networks get the same two random inputs in Graph mode, float32, on the CPU: the full network with these "
            "channels at zero (masked), the slim one, and the slim one reloaded from its MindIR. Networks that are not "
            "mindcv's then go through SCOP with both policies at rate 0.5: knockoffs, one training step, masks, the "
            "slim network. mindcv's rexnet is missing: its constructor fails on MindSpore 2.10.", "",
            "- **traced**: width of the image, or last axis of the input.",
            "- **prunable**: share of the entries of all trainable parameters that lie in a free group; each of them "
            "goes with some channel that may be removed. For a task it is the mean over its networks.",
            "- **what holds the rest**: the share of the parameters that each "
            "[reason](inspect.md#why-channels-have-to-stay) holds, mean over the networks; "
            "*no group* are entries that belong to no channel of a layer, such as LayerNorm's.",
            "- **parameters**, **MACs**: after / before, with half of every free group removed.",
            "- **masked - slim**, **slim - MindIR**: largest difference of an output over the largest output.",
            "- **SCOP keep, couple**: what came of SCOP with these policies. Where rounding moves an output further "
            "than that, as it does a ranking (YOLOv10), *equal* means that all layers are.",
            "- **seconds**: export, grouping, and everything including five compilations. Each network ran in a "
            "process of its own, on machines that others used too.",
            "- **commit**: of the package that the row was made with; a plus where it had been changed since. A row "
            "stays until it is made again (`--again`), so older ones may show less than the package can do by now.",
            "- **result**: *equal* (to 1e-4, or to eight times what one rounding of the input moves the masked network "
            "by); *refused* (the package says that it cannot prune the network). A network could also be *dull* "
            "(equal, but the output depends too little on input or channels to prove anything), *WRONG* or *CRASH*.",
            "- **first place** (further down): the operator's cell as MindSpore writes it, its path with the "
            "class of each cell: `Default/conv1-StdConv2d` is the cell `conv1` of class `StdConv2d` in the network."]


def totals(records: list[dict]) -> list[str]:
    """What the table comes to."""
    families = {record["family"] for record in records if "family" in record}
    good = [record for record in records if record["status"] == "equal"]
    most = [record for record in records if record.get("prunable", 0) > 0.5]
    lines = [f"{len(records)} networks from {len(families)} families: {results(records)}.",
             f"More than half of the parameters are prunable in {len(most)} networks from "
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


def results(records: list[dict]) -> str:
    """How many networks had which result, such as ``"51 equal, 5 refused"``."""
    return ", ".join(f"{number} {name}" for name, number in Counter(r["status"] for r in records).most_common())


def task_row(task: str, records: list[dict]) -> list[str]:
    """The cells of one task: networks that were not traced count among the results only."""
    traced = [record for record in records if "prunable" in record]
    held: Counter[str] = Counter()
    for record in traced:
        whole = max(record.get("trainable", 1), 1)
        held["no group"] += record.get("outside", 0) / whole / len(traced)
        for entry in record.get("blocked", ()):
            held[entry["reason"]] += entry["params"] / whole / len(traced)
    reasons = ", ".join(f"{reason} {share:.1%}" for reason, share in held.most_common() if share >= LEAST)
    prunable = f"{sum(record['prunable'] for record in traced) / len(traced):.1%}" if traced else "-"
    return [task, str(len(records)), results(records), prunable, reasons or "-"]


def row(record: dict) -> list[str]:
    """The cells of one model; a dash where it did not get that far."""
    seconds = record["seconds"]
    times = " / ".join(f"{seconds[key]:.1f}" if key in seconds else "-" for key in ("trace", "group", "total"))
    return [record["model"], record.get("family", "-"), str(record["size"]) if "trace" in seconds else "no",
            f"{record['prunable']:.1%}" if "prunable" in record else "-", _ratio(record, "params"),
            _ratio(record, "macs"), _small(record, "masked_slim"), _small(record, "slim_mindir"), _scop(record), times,
            record.get("commit") or "-", record["status"]]


def _scop(record: dict) -> str:
    found = record.get("scop", {})
    return ", ".join(found[policy]["status"] for policy in ("keep", "couple") if policy in found) or "-"


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
    scop = all(found["status"] == "equal" for found in record.get("scop", {}).values())
    if not much and scop and record["status"] == "equal":
        return []
    lines = ["", f"### {record['model']}", ""]
    if record.get("error"):
        lines += [f"{record['status']}: {_plain(record['error'])}", ""]
    lines += [line for policy, found in record.get("scop", {}).items() if found["status"] != "equal"
              for line in (f"SCOP, {policy}: {found['status']}: {_plain(found['error'])}", "")]
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
