"""Groups from what the rules have found: ids that are united, by the parameters that they lie in."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import BlockedBy
from mindspore_gs.graph.flow import Channels
from mindspore_gs.graph.group import Group, Slice
from mindspore_gs.graph.ids import connected
from mindspore_gs.graph.propagation import reasons_for
from mindspore_gs.graph.roles import Role
from mindspore_gs.graph.traced import Traced


def find_groups(net: Traced, channels: Channels, cuts: frozenset[str]) -> tuple[Group, ...]:
    """The groups, in the order in which their layers are executed.

    Args:
        net: the traced network.
        channels: what the rules have found out.
        cuts: weights whose output is put back to full width right behind them.
    """
    labels = connected(channels.size, channels.edges)
    reasons = reasons_for(channels, labels)
    axes = list(channels.offsets)
    starts = np.array(list(channels.offsets.values()))
    made = set(channels.outputs.items())
    makes = np.array([axis in made for axis in axes], bool)
    order = np.argsort(labels, kind="stable")
    places = np.searchsorted(starts, order, side="right") - 1
    firsts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    lasts = np.append(firsts[1:], len(order))
    found: dict[Any, list[np.ndarray]] = {}
    for k in np.flatnonzero(np.logical_or.reduceat(makes[places], firsts)):
        part = slice(firsts[k], lasts[k])
        key = (tuple(places[part].tolist()), reasons.get(int(labels[order[firsts[k]]])))
        found.setdefault(key, []).append(order[part] - starts[places[part]])
    order_of = {weight: k for k, weight in enumerate(channels.outputs)}
    groups = [_group(net, channels, [axes[k] for k in where], reason, np.stack(rows), cuts, order_of)
              for (where, reason), rows in found.items()]
    return tuple(sorted(groups, key=lambda g: order_of[g.weights[0]]))


def _group(net: Traced, channels: Channels, keys: list[tuple[str, int]], reason: BlockedBy | None,
           indices: np.ndarray, cuts: frozenset[str], order_of: Mapping[str, int]) -> Group:
    columns: dict[tuple[str, int], list[int]] = {}
    for k, key in enumerate(keys):
        columns.setdefault(key, []).append(k)
    slices = [Slice(*key, indices[:, places], channels.role(*key)) for key, places in columns.items()]
    weights = sorted((part.parameter for part in slices if part.role is Role.FILTER), key=order_of.__getitem__)
    members = tuple(net.cells.get(weight) or weight for weight in weights)
    restored = tuple(weight for weight in weights if weight in cuts)
    return Group(members[0], members, len(indices), tuple(slices), tuple(weights), restored, reason)
