"""Masked weights that a method of a parent class reads: Graph mode takes them for constants there."""

from collections.abc import Collection
from typing import Any

from mindspore import nn

from mindspore_gs._cells import get_cell, names_in
from mindspore_gs._mixin import asked_of_parents, original_class
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import Group
from mindspore_gs.masks.cells import MaskedParameters
from mindspore_gs.record import pruned_network, record_of


def check_parents(masked: nn.Cell) -> None:
    """Refuse a network whose masked cells call methods of their parents, through ``super()``, that read the weights.

    Graph mode looks such a method up in Python, and finds the product of weight and mask as a number.

    Args:
        masked: the network with its masks.

    Raises:
        PruningError: names the cells and what to do.
    """
    found = {}
    for site in record_of(masked).masks:
        if site.mixin is MaskedParameters:
            kind = original_class(get_cell(masked, site.path))
            methods = [name for name, value in asked_of_parents(kind).items()
                       if _reads(kind, value, frozenset(site.raw), set())]
            found.update({site.path: (kind.__name__, methods[0])} if methods else {})
    if found:
        path, (kind_name, method) = next(iter(found.items()))
        record = record_of(masked)
        groups = [group for group in record.groups if any(record.graph.cells.get(part.parameter) in found
                                                          for part in record.graph.silencers(group))]
        names = ", ".join(repr(_member(group, found)) for group in groups)
        raise PruningError(
            f"{type(pruned_network(masked)).__name__} cannot be trained with masks: {kind_name} ({path!r}) calls the "
            f"{method} of its parent class, and Graph mode takes a masked weight that is read there for a constant. "
            f"Add {names} to 'ignore', or write into {kind_name} what its parent computes, or "
            "remove the channels without training in between: prune(net, ...).")


def _member(group: Group, paths: Collection[str]) -> str:
    """Which layer of a group to name: one at these paths, if there is one."""
    return next((member for member in group.members if member in paths), group.name)


def _reads(kind: type, method: Any, attributes: frozenset[str], seen: set[str]) -> bool:
    """Whether a method, or one that it may call, mentions one of these attributes; what nn.Cell has does not count."""
    names = names_in(method)
    if names & attributes:
        return True
    following = names - seen
    seen |= names
    values = [next((vars(parent)[name] for parent in kind.__mro__ if name in vars(parent)), None) for name in following
              if not hasattr(nn.Cell, name) or name == "construct"]
    return any(_reads(kind, value, attributes, seen) for value in values if value is not None)
