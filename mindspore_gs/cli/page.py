"""A run as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from html import escape
from typing import Any

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2330;--paper:#fff;--line:#d5dae3;--soft:#f3f5f9;--keep:#2766b0;--gone:#c9d3e3}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9f0;--paper:#14181f;--line:#39414f;--soft:#1d232d;--keep:#6ba7ee;
--gone:#39465a}}
*{box-sizing:border-box}body{margin:0 auto;max-width:64rem;padding:1rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}h1{font-size:1.5rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin-top:2rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem}.card{background:var(--soft);
border:1px solid var(--line);border-radius:.5rem;padding:.75rem}.card b{display:block;font-size:1.5rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid var(--line);padding:.3rem .5rem;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:8rem}
td.text,th.text{text-align:left;white-space:normal}.bar{display:block;width:8rem;height:.8rem;background:var(--gone);
border:1px solid var(--ink)}.bar i{display:block;height:100%;background:var(--keep)}
code{background:var(--soft);padding:.1rem .3rem;overflow-wrap:anywhere}
"""


def page(document: dict[str, Any]) -> str:
    """The page of a run, from its document (:meth:`~mindspore_gs.cli.run_record.RunRecord.document`).

    Every name comes from somebody's network, so every one is escaped.
    """
    title = f"{document['network']}: pruned"
    parts = [f"<h1>{_text(title)}</h1>", f"<p><code>{_text(document['command'])}</code></p>", _cards(document),
             "<h2>Channels that stay, layer by layer</h2>", _layers(document["layers"]), _blocked(document["blocked"]),
             "<h2>Files</h2>", _table(("file", "bytes"), [(name, f"{size:,}") for name, size in
                                                          document["files"].items()]),
             "<h2>Environment</h2>", _table(("what", "version"), list(document["environment"].items()))]
    return ("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
            f"content=\"width=device-width,initial-scale=1\"><title>{_text(title)}</title><style>{_STYLE}</style>"
            f"</head><body>{''.join(parts)}</body></html>\n")


def _text(value: Any) -> str:
    return escape(str(value))


def _cards(document: dict[str, Any]) -> str:
    shapes = ", ".join("x".join(map(str, shape)) for shape in document["inputs"])
    found = [("parameters", document["params"]), ("MACs, for one sample", document["macs"])]
    cards = [f"<div class=\"card\">{name}<b>{pair['ratio']:.1%}</b>{pair['after']:,} of {pair['before']:,}</div>"
             for name, pair in found]
    cards.append(f"<div class=\"card\">policy<b>{_text(document['residual'])}</b>input {_text(shapes)}</div>")
    return f"<div class=\"cards\">{''.join(cards)}</div>"


def _layers(layers: list[dict[str, Any]]) -> str:
    rows = []
    for layer in layers:
        kept, whole = layer["channels"]
        share = f"{kept / whole if whole else 0.0:.1%}"
        cells = [_text(layer["layer"] or "the network itself"), f"{kept} / {whole}",
                 f'<span class="bar" role="img" aria-label="{share} stay"><i style="width:{share}"></i></span>',
                 *(f"{layer[key][0]:,} / {layer[key][1]:,}" for key in ("params", "macs"))]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = _head(("layer", "channels", "share that stays", "parameters", "MACs"))
    return f"<div class=\"wide\"><table>{head}{''.join(rows)}</table></div>"


def _blocked(blocked: list[dict[str, Any]]) -> str:
    if not blocked:
        return ""
    rows = [(", ".join(row["layers"]), f"{row['channels']}", f"{row['reason']}: {row['sentence']}",
             f"{row['operator']} in {row['place']}") for row in blocked]
    return "<h2>What could not be pruned, and why</h2>" + _table(("layers", "channels", "reason", "operator"), rows)


def _table(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    body = "".join("<tr>" + "".join(f"<td class=\"{'text' if index > 1 else ''}\">{_text(value)}</td>"
                                    for index, value in enumerate(row)) + "</tr>" for row in rows)
    return f"<div class=\"wide\"><table>{_head(names)}{body}</table></div>"


def _head(names: tuple[str, ...]) -> str:
    return "<tr>" + "".join(f"<th scope=\"col\">{_text(name)}</th>" for name in names) + "</tr>"
