"""Which groups does a user mean? A cell, a pattern or a parameter's name, in ``ignore`` and ``rates``."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from mindspore_gs.graph import ChannelGraph, Group, Role


def matched(patterns: Sequence[str], names: Iterable[str]) -> bool:
    """Whether any of the names matches any of the patterns.

    >>> matched(['layer1'], with_parents('layer1.0.conv1'))
    True
    """
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def with_parents(path: str) -> tuple[str, ...]:
    """A path and the paths of everything around it.

    >>> with_parents('layer1.0.conv1')
    ('layer1', 'layer1.0', 'layer1.0.conv1')
    """
    parts = path.split(".")
    return tuple(".".join(parts[:k + 1]) for k in range(len(parts)))


def group_names(graph: ChannelGraph, group: Group) -> set[str]:
    """Every name by which a user may mean a group: its cells, what is around them, and their parameters."""
    return _names(graph, (part.parameter for part in group.slices if part.role is not Role.INPUT))


def _names(graph: ChannelGraph, parameters: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for name in parameters:
        found.update(with_parents(graph.cells.get(name, name)), [name])
    return found


def rate_for(graph: ChannelGraph, group: Group, rates: Mapping[str, float]) -> float | None:
    """The rate that a user gives a group: for each layer that of the first pattern that matches; None where none does.

    Raises:
        ValueError: patterns give the layers of one group different rates.
    """
    found: dict[str, float] = {}
    for weight in group.weights:
        writer = next(w for w in graph.writers if w.weight == weight)
        names = _names(graph, (name for name in (weight, writer.bias or weight, *writer.norm) if name in graph.cells))
        for pattern, rate in rates.items():
            if matched([pattern], names):
                found[graph.cells.get(weight, weight)] = rate
                break
    if len(set(found.values())) > 1:
        raise ValueError(f"'rates' gives layers that lose the same channels different rates: {found}; "
                         "give all of them one rate.")
    return next(iter(found.values()), None)


def check_patterns(owner: str, option: str, patterns: Iterable[str], graph: ChannelGraph) -> None:
    """Refuse a pattern that matches nothing in the network.

    Raises:
        ValueError: names the pattern and the nearest names that exist.
    """
    known = _names(graph, graph.cells)
    for pattern in patterns:
        if not matched([pattern], known):
            near = get_close_matches(pattern.rstrip(".*"), sorted(known), 3, 0.3)
            hint = f"the nearest names are {', '.join(map(repr, near))}" if near else "no name is near to it"
            raise ValueError(f"For '{owner}', the '{option}' {pattern!r} matches no layer and no parameter of the "
                             f"network; {hint}. A cell such as 'layer1' means everything below it, and '*' stands for "
                             "any text.")
