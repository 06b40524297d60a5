"""The same MindIR for the same network: names and orders that MindSpore makes up are made anew.

MindSpore stamps a file with the time and a pointer, numbers its values by how many there were before in the process,
and writes operators' attributes in the order of a hash table. None of that says anything about the network. Here names
follow from the order in which the file itself mentions things, and what has no order is sorted. Parameters and inputs
keep the names that the network gave them.

Besides ``_mindir.py`` and ``_decode.py``, the only file that knows the protobuf.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

_MAIN, _FUNCTION, _CONSTANT = "main", "function", "constant"
_STAMPED = "compile_phase"
_PHASE = b"export.mindir"
_CALL = "REF::"
_COUNTED = re.compile(r"(.*)-op\d+", re.DOTALL)


def make_canonical(model: Any) -> bool:
    """Rename and sort in place; whether it was done.

    It is not where the file gives one name to two things, which leaves open what a reader is meant to find there.

    Args:
        model: a ``ModelProto``.
    """
    graphs = [model.graph, *model.functions]  # their order stays: a constant is written down where it is read first
    names = _new_names(graphs)
    if names is None:
        return False
    operators = _operators(graphs, {primitive.name for primitive in model.primitives})
    domains: Counter[str] = Counter()
    for graph in graphs:
        _rename(graph, names, operators, domains)
    for primitive in model.primitives:
        primitive.name = operators.get(primitive.name, primitive.name)
    _replace(model.primitives, sorted(model.primitives, key=lambda primitive: _number(primitive.name)))
    for holder in (*graphs, *(node for graph in graphs for node in graph.node), *model.primitives):
        _sort_attributes(holder)
    return True


def _new_names(graphs: list[Any]) -> dict[str, str] | None:
    """A new name for everything that has one in the file; None where two things have the same."""
    pairs = [(old, new) for number, graph in enumerate(graphs) for old, new in _names_in(graph, number)]
    names = dict(pairs)
    return names if len(names) == len(pairs) and len(set(names.values())) == len(names) else None


def _names_in(graph: Any, number: int) -> Iterator[tuple[str, str]]:
    prefix = f"{_FUNCTION}_{number}" if number else _MAIN
    yield graph.name, prefix
    for place, entry in enumerate((*graph.parameter, *graph.input)):
        own = entry.name.removeprefix(f"{graph.name}:")
        yield entry.name, f"{prefix}:argument_{place}" if number else f"{prefix}:{own}"
    for place, node in enumerate(graph.node):
        kind = f"{_CONSTANT}_" if node.op_type == "Constant" else ""
        for which, output in enumerate(node.output):
            yield output, f"{prefix}:{kind}{place}" + (f".{which}" if which else "")


def _operators(graphs: list[Any], known: set[str]) -> dict[str, str]:
    """A new name for each primitive: its operator, and when it is used first."""
    found: dict[str, str] = {}
    for graph in graphs:
        for node in graph.node:
            called = node.op_type.removeprefix(_CALL)
            if called in known and called not in found:
                found[called] = f"{called.rsplit(':', 1)[0]}:{len(found)}"
    return found


def _rename(graph: Any, names: dict[str, str], operators: dict[str, str], domains: Counter[str]) -> None:
    graph.name = names[graph.name]
    for entry in (*graph.parameter, *graph.input, *graph.output):
        entry.name = names.get(entry.name, entry.name)
    for node in graph.node:
        for field in (node.input, node.output):
            _replace(field, [names.get(name, name) for name in field])
        node.name = names.get(node.name, node.name)
        if node.op_type.startswith(_CALL):
            called = node.op_type.removeprefix(_CALL)
            node.op_type = _CALL + operators.get(called, names.get(called, called))
        node.domain = _domain(node.domain, names, domains)
        for attribute in node.attribute:
            _rename_in(attribute, names)
    for attribute in graph.attribute:
        if attribute.name == _STAMPED:
            attribute.s = _PHASE


def _domain(domain: str, names: dict[str, str], domains: Counter[str]) -> str:
    """Where in the network an operator is, such as ``Default/stem-Conv2d/Conv2D-op0``: numbered anew."""
    parts = [names.get(part, part) for part in domain.split("/")]
    counted = _COUNTED.fullmatch(parts[-1])
    if counted is None:
        return "/".join(parts)
    last = counted.group(1)
    place = "/".join((*parts[:-1], names.get(last, last)))
    domains[place] += 1
    return f"{place}-op{domains[place] - 1}"


def _rename_in(attribute: Any, names: dict[str, str]) -> None:
    """An attribute may hold the name of a function, and so may the values in it."""
    text = attribute.s.decode("utf-8", "surrogateescape")
    if text in names:
        attribute.s = names[text].encode()
    for value in attribute.values:
        _rename_in(value, names)


def _number(name: str) -> tuple[int, str]:
    number = name.rsplit(":", 1)[-1]
    return (int(number), name) if number.isdigit() else (0, name)


def _sort_attributes(holder: Any) -> None:
    for field in ("attribute", "node_attr", "primal_attr"):
        if hasattr(holder, field):
            found = getattr(holder, field)
            _replace(found, sorted(found, key=lambda attribute: attribute.name))


def _replace(field: Any, values: list[Any]) -> None:
    """The values of a repeated field anew, in this order."""
    kept = [type(value).FromString(value.SerializeToString()) if hasattr(value, "SerializeToString") else value
            for value in values]
    del field[:]
    field.extend(kept)
