"""A run as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from html import escape
from typing import Any

from mindspore_gs.runs.charts import HATCH, line, ranked
from mindspore_gs.runs.fields import check_document

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2330;--paper:#fff;--line:#d5dae3;--soft:#f3f5f9;--keep:#2766b0;--gone:#c9d3e3;
--mute:#556074}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9f0;--paper:#14181f;--line:#39414f;--soft:#1d232d;--keep:#6ba7ee;
--gone:#39465a;--mute:#a3adbf}}
*{box-sizing:border-box}body{margin:0 auto;max-width:64rem;padding:1rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}h1{font-size:1.5rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin-top:2rem}
.cards,.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem}
.charts{grid-template-columns:repeat(auto-fill,minmax(14rem,1fr))}
.card{background:var(--soft);border:1px solid var(--line);border-radius:.5rem;padding:.75rem;min-width:0}
.card b{display:block;font-size:1.5rem}.charts .card b{font-size:.95rem;overflow-wrap:anywhere}
.card small,p.note{color:var(--mute)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid var(--line);padding:.3rem .5rem;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:8rem}
td.text,th.text{text-align:left;white-space:normal}.bar{display:block;width:8rem;height:.8rem;margin-left:auto;
background:var(--gone);border:1px solid var(--ink)}.bar i{display:block;height:100%;background:var(--keep)}
code{background:var(--soft);padding:.1rem .3rem;overflow-wrap:anywhere}
svg{display:block;width:100%;height:4.5rem;margin:.35rem 0}svg.defs{position:absolute;width:0;height:0}
.stays{fill:var(--keep)}.goes{fill:url(#gone);stroke:var(--mute);stroke-width:.6}.hatch{stroke:var(--mute)}
.border{stroke:var(--ink);stroke-dasharray:3 2;vector-effect:non-scaling-stroke}
.line{fill:none;stroke:var(--keep);stroke-width:2;vector-effect:non-scaling-stroke}circle{fill:var(--keep)}
@media(max-width:40rem){.bar{width:4rem}th{white-space:normal}th:first-child,td:first-child{min-width:5.5rem}
.cards{grid-template-columns:1fr 1fr}}
"""


def page(document: dict[str, Any]) -> str:
    """The page of a run.

    Every name comes from somebody's network, so every one is escaped.

    Args:
        document: what :meth:`~mindspore_gs.runs.RunRecord.document` gives, or ``results.json`` holds. What a run does
            not have, such as accuracies, has no place on its page.

    Raises:
        TypeError: ``document`` is no dict.
        PruningError: it is none of a run.
    """
    check_document(document, "page()")
    title = f"{document['network']}: pruned"
    command = f"<p><code>{_text(document['command'])}</code></p>" if document["command"] else ""
    parts = [HATCH, f"<h1>{_text(title)}</h1>", command, _cards(document), _accuracy(document.get("accuracy", {})),
             "<h2>Channels that stay, layer by layer</h2>", _layers(document["layers"]),
             _scores(document.get("scores", [])), _sensitivities(document.get("sensitivities", [])),
             _training(document.get("training", {})), _blocked(document["blocked"]), _files(document["files"]),
             "<h2>Environment</h2>", _table(("what", "version"), list(document["environment"].items()))]
    return ("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
            f"content=\"width=device-width,initial-scale=1\"><title>{_text(title)}</title><style>{_STYLE}</style>"
            f"</head><body>{''.join(parts)}</body></html>\n")


def _text(value: Any) -> str:
    return escape(str(value))


def _cards(document: dict[str, Any]) -> str:
    shapes = ", ".join("x".join(map(str, shape)) for shape in document["inputs"])
    cards = [(name, f"{pair['ratio']:.1%}", f"{pair['after']:,} of {pair['before']:,}") for name, pair in
             (("parameters", document["params"]), ("MACs, for one sample", document["macs"]))]
    latency, accuracy = document.get("latency"), list(document.get("accuracy", {}).items())
    if latency:
        cards.append((f"latency in {latency['engine']}", f"{latency['after'] / latency['before']:.1%}",
                      f"{1000 * latency['after']:.2f} of {1000 * latency['before']:.2f} ms"))
    if accuracy:
        (first, before), (last, after) = accuracy[0], accuracy[-1]
        cards.append((f"accuracy, {last}", f"{after:.2%}", f"{before:.2%} {first}"))
    cards.append(("policy", document["residual"], f"input {shapes}"))
    return "<div class=\"cards\">" + "".join(_card(*card) for card in cards) + "</div>"


def _card(name: str, number: str, note: str, picture: str = "") -> str:
    return f"<div class=\"card\">{_text(name)}<b>{_text(number)}</b>{picture}{_text(note)}</div>"


def _bar(share: float, what: str) -> str:
    return (f'<span class="bar" role="img" aria-label="{share:.1%} {what}"><i style="width:{100 * share:.1f}%"></i>'
            "</span>")


def _accuracy(accuracy: dict[str, float]) -> str:
    if not accuracy:
        return ""
    rows = [[_text(stage), f"{value:.2%}", _bar(value, "right")] for stage, value in accuracy.items()]
    return "<h2>Accuracy at each stage</h2>" + _rows(("stage", "accuracy", "share of right answers"), rows)


def _layers(layers: list[dict[str, Any]]) -> str:
    rows = []
    for layer in layers:
        kept, whole = layer["channels"]
        rows.append([_text(layer["layer"] or "the network itself"), f"{kept} / {whole}",
                     _bar(kept / whole if whole else 0.0, "stay"),
                     *(f"{layer[key][0]:,} / {layer[key][1]:,}" for key in ("params", "macs"))])
    return _rows(("layer", "channels", "share that stays", "parameters", "MACs"), rows)


def _scores(scores: list[dict[str, Any]]) -> str:
    if not scores:
        return ""
    cards = [_card("", ", ".join(row["layers"]), f"{row['kept']} of {len(row['scores'])} stay",
                   ranked(row["scores"], row["kept"])) for row in scores]
    return ("<h2>Scores of the channels</h2><p class=\"note\">Each group of channels from the highest score to the "
            "lowest. Full: they stay. Hatched, behind the dashed line: they went.</p>"
            f"<div class=\"charts\">{''.join(cards)}</div>")


def _sensitivities(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    cards = []
    for row in rows:
        ends = [f"{rate:.0%}: {number:.4g}" for rate, number in zip(row["rates"], row["numbers"])]
        said = ", ".join(ends if len(ends) < 4 else [ends[0], "…", ends[-1]])
        cards.append(_card("", row["layer"], said, line(row["rates"], row["numbers"], f"{row['layer']}: {said}")))
    metric = _text(rows[0].get("metric", "value"))
    return (f"<h2>Sensitivity of single layers</h2><p class=\"note\">The {metric} of the network when one "
            "group of channels loses more and more of them, from left to right, and all others stay whole.</p>"
            f"<div class=\"charts\">{''.join(cards)}</div>")


def _training(training: dict[str, list[dict[str, float]]]) -> str:
    cards = []
    for title, log in training.items():
        losses = [float("nan") if entry["loss"] is None else entry["loss"] for entry in log]  # None: it was not finite
        said = f"loss {losses[0]:.4g} to {losses[-1]:.4g}, {len(log)} epochs" if log else "no epoch"
        cards.append(_card("", title, said, line([entry["epoch"] for entry in log], losses, f"{title}: {said}")))
    return f"<h2>Course of the training</h2><div class=\"charts\">{''.join(cards)}</div>" if cards else ""


def _blocked(blocked: list[dict[str, Any]]) -> str:
    if not blocked:
        return ""
    rows = [(", ".join(row["layers"]), f"{row['channels']}", f"{row['reason']}: {row['sentence']}",
             f"{row['operator']} in {row['place']}") for row in blocked]
    return "<h2>What could not be pruned, and why</h2>" + _table(("layers", "channels", "reason", "operator"), rows)


def _files(files: dict[str, int]) -> str:
    rows = [(name, f"{size:,}") for name, size in files.items()]
    return "<h2>Files</h2>" + _table(("file", "bytes"), rows) if rows else ""


def _table(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    body = "".join("<tr>" + "".join(f"<td{_kind(index)}>{_text(value)}</td>" for index, value in enumerate(row))
                   + "</tr>" for row in rows)
    head = "".join(f"<th scope=\"col\"{_kind(index)}>{_text(name)}</th>" for index, name in enumerate(names))
    return f"<div class=\"wide\"><table><tr>{head}</tr>{body}</table></div>"


def _kind(index: int) -> str:
    """Columns after the second are sentences."""
    return ' class="text"' if index > 1 else ""


def _rows(names: tuple[str, ...], rows: list[list[str]]) -> str:
    """A table whose cells are HTML already."""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=\"wide\"><table>{_head(names)}{body}</table></div>"


def _head(names: tuple[str, ...]) -> str:
    return "<tr>" + "".join(f"<th scope=\"col\">{_text(name)}</th>" for name in names) + "</tr>"
