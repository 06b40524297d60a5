"""Every node's channel rule, in order of execution: which positions go together, and which have to stay."""

from collections import Counter
from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import Blocked, BlockedBy
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import connected, none_ids
from mindspore_gs.graph.ir import SHOWN, Graph, Node
from mindspore_gs.graph.questions import BLOCKED, TOGETHER, Resize, Site
from mindspore_gs.graph.rules import apply_rule
from mindspore_gs.graph.rules.registry import flatten
from mindspore_gs.graph.traced import Traced
from mindspore_gs.graph.weights import inner_flow, weight_flow
from mindspore_gs.graph.writers import find_writers


def propagate(net: Traced, cuts: frozenset[str]) -> Channels:
    """What the rules find out. What the network writes into is not masked, unless that would leave fewer channels free.

    A value that is written into a masked parameter would be lost, and behind it a scale may be masked in its place.
    """
    found = _propagated(net, cuts, net.written)
    if not net.written:
        return found
    other = _propagated(net, cuts, frozenset())
    return found if _free(found) >= _free(other) else other


def _free(channels: Channels) -> int:
    """How many ids no reason blocks."""
    labels = connected(channels.size, channels.edges)
    return int((~np.isin(labels, list(reasons_for(channels, labels)))).sum())


def reasons_for(channels: Channels, labels: np.ndarray) -> dict[int, BlockedBy]:
    """The first reason found for each blocked component."""
    reasons: dict[int, BlockedBy] = {}
    for ids, reason in reversed(channels.blocks):
        reasons.update(dict.fromkeys(labels[ids].tolist(), reason))
    return reasons


def _propagated(net: Traced, cuts: frozenset[str], spared: frozenset[str]) -> Channels:
    """Run every node's channel rule, in order of execution, in each graph. The sums are those of the first."""
    channels = Channels(net.graph, {}, cuts, readings=net.readings, own_layers=net.own_layers,
                        hidden=net.hidden, recomputed=net.recomputed, spared=spared)
    for graph in (net.graph, *net.others):
        sums = list(channels.sums)
        channels.writer_at = {w.last: w.weight for w in find_writers(graph)}
        _propagate_one(graph, channels)
        if graph is not net.graph:
            channels.sums = sums
    for resize in net.resizes:
        _tie_places(resize, channels)
    for name, axis, node in channels.divisors:
        if (name, axis) in channels.shifts:
            channels.block(channels.parameter_ids(name, axis), Blocked.DIVIDES, node)
    return channels


def _tie_places(resize: Resize, channels: Channels) -> None:
    """Where one attribute holds the number of channels at several places, the k-th channels of all go together.

    Places that count differently stay, and so does what meets a layer that is put back to full width.
    """
    reason = BlockedBy(Blocked.FIXED_BY_CODE, f"attribute {resize.attribute!r}", resize.cell)
    places = [np.array([channels.parameter_ids(name, axis)[k] for name, axis, k in place])
              for place in (resize.positions, *resize.alike)]
    whole = [any(name in channels.cuts and channels.outputs.get(name) == axis for name, axis, _ in place)
             for place in (resize.positions, *resize.alike)]
    if len({len(ids) for ids in places}) > 1 or any(whole):
        channels.blocks += [(ids, reason) for ids, stays in zip(places, whole) if not stays and len(places) > 1]
        return
    channels.edges += [(places[0], ids) for ids in places[1:]]


def _propagate_one(graph: Graph, channels: Channels) -> None:
    channels.sites, channels.current = _sites(graph), graph
    flows: dict[str, Any] = {name: Flow(shape, none_ids(len(shape))) for name, shape in graph.inputs.items()}
    for name, value in graph.constants.items():
        flows[name] = _constant(value)
    for name, shape in graph.parameters.items():
        flows[name] = _parameter(name, shape, channels)
    inner = {node.name for weight in graph.computed.values() for node in weight.nodes}
    for node in graph.nodes:
        if node.name in inner:
            weight = graph.computed.get(node.name)
            flows[node.name] = inner_flow(node) if weight is None else weight_flow(weight, flows, channels)
            continue
        flow = apply_rule(node, [flows[name] for name in node.inputs], channels)
        flows[node.name] = channels.settle(node, flow) if node.name in channels.writer_at else flow
    for name in graph.outputs:
        _block_outputs(flows[name], channels, graph)
    for node in graph.nodes:
        if node.attrs.get("instance") == SHOWN:
            _guard_unseen(node, graph, flows, channels)
    for parameter, node in channels.computed:
        if (parameter, node.name) not in channels.shows:
            channels.keep_whole(parameter, Blocked.COMPUTED_WEIGHT, node)
    channels.computed.clear()
    channels.flows.append(flows)


def _sites(graph: Graph) -> dict[str, Site]:
    """For each node its scope, its operator, and how many such nodes there are before it."""
    seen: Counter[tuple[str, str]] = Counter()
    sites = {}
    for node in graph.nodes:
        sites[node.name] = (node.scope, node.op, seen[node.scope, node.op])
        seen[node.scope, node.op] += 1
    return sites


def _constant(value: Any) -> Flow:
    shape = value.shape if isinstance(value, np.ndarray) else ()
    pliable = isinstance(value, np.ndarray) and value.size > 1 and bool((value == value.flat[0]).all())
    return Flow(shape, none_ids(len(shape)), constant=value, varying=False, pliable=pliable)


def _parameter(name: str, shape: tuple[int, ...], channels: Channels) -> Flow:
    """A parameter with one long axis carries that axis's ids; a weight gets them from the operator that reads it."""
    long = [k for k, n in enumerate(shape) if n > 1]
    ids = none_ids(len(shape))
    if len(long) == 1 or len(shape) == 1:
        axis = long[0] if long else 0
        ids = channels.parameter_ids(name, axis).reshape([-1 if k == axis else 1 for k in range(len(shape))])
    own = [(name, k) for k in range(len(shape)) if ids.shape[k] > 1]
    spared = name in channels.spared
    return Flow(shape, ids, zero=not spared, parameter=name, varying=False,
                silencers=frozenset() if spared else frozenset(own))


def _block_outputs(flow: Any, channels: Channels, graph: Graph) -> None:
    if isinstance(flow, tuple):
        for item in flow:
            _block_outputs(item, channels, graph)
        return
    node = next((n for n in reversed(graph.nodes) if n.name in graph.outputs), graph.nodes[-1])
    channels.refuse(flow, Blocked.REACHES_OUTPUT, node)


def _guard_unseen(node: Node, graph: Graph, flows: dict[str, Any], channels: Channels) -> None:
    """Code that MindIR does not show may combine the layer that it reads with anything of the same shape.

    Whether it does, a second trace tells: the code is compiled, although nothing of it is left. If it does, what has
    that shape may lose the same channels, as where the last of several sums is computed for nothing. Such a sum is one
    of a residual stream.
    """
    shapes = {flow.shape for name in node.inputs for flow in flatten([flows[name]]) if len(flow.shape) > 1}
    values = [flow for each in graph.nodes for flow in flatten([flows[each.name]])
              if flow.shape in shapes and flow.varying]
    alike = [flow.ids for flow in values if flow.has_channels]
    if not alike:
        return
    taken = channels.ask(node, ("apart", TOGETHER), np.concatenate([ids.reshape(-1) for ids in alike]))
    if taken == TOGETHER:
        channels.residual.update(*(flow.writers for flow in values))
    for ids in alike:
        if taken == BLOCKED or (taken == TOGETHER and ids.shape != alike[0].shape):
            channels.block(ids, Blocked.UNSEEN, node)
        elif taken == TOGETHER:
            channels.unite(alike[0], ids, node)
