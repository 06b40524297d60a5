"""Groups: which channels can only be removed together, and everything that goes with each of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import constructor_names, owners_by_name, set_in_methods
from mindspore_gs._mixin import library_class, original_class
from mindspore_gs.graph.blocked import Blocked, BlockedBy
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import connected, none_ids
from mindspore_gs.graph.ir import SHOWN, Graph, Node, verify
from mindspore_gs.graph.layer_norms import recomputable
from mindspore_gs.graph.operators import DENSE, LOOKUPS, TRANSPOSED, WRITES
from mindspore_gs.graph.questions import BLOCKED, TOGETHER, Reading, Resize, Site
from mindspore_gs.graph.roles import Role
from mindspore_gs.graph.rules import apply_rule
from mindspore_gs.graph.rules.registry import flatten
from mindspore_gs.graph.seen import as_seen
from mindspore_gs.graph.weights import inner_flow, weight_flow
from mindspore_gs.graph.writers import Writer, find_writers

RESIDUAL_POLICIES = ("keep", "couple", "inner")


@dataclass(frozen=True, eq=False)
class Slice:
    """Where the channels of a group sit in one parameter.

    Attributes:
        parameter: name of the parameter.
        axis: axis along which the channels lie.
        indices: array of shape (channels of the group, positions of one channel).
        role: what the entries do for the channel.
    """

    parameter: str
    axis: int
    indices: np.ndarray
    role: Role = Role.INPUT


@dataclass(frozen=True, eq=False)
class Group:
    """Channels that are alike: each of them can be removed, with its entry in every slice.

    Attributes:
        name: path of the first cell that makes the channels.
        members: paths of all cells that make them; they lose the same channels.
        size: number of channels.
        slices: the parameters, axes and indices that go with each channel.
        weights: for each member, the name of its weight.
        restored: weights of the members whose output is put back to full width right behind them
            (``residual="keep"``).
        blocked_by: why the channels may not be removed, or None.
    """

    name: str
    members: tuple[str, ...]
    size: int
    slices: tuple[Slice, ...]
    weights: tuple[str, ...]
    restored: tuple[str, ...] = ()
    blocked_by: BlockedBy | None = None

    def __deepcopy__(self, memo: dict) -> "Group":
        return self

    def blocked(self, reason: Blocked, operator: str) -> "Group":
        """The same channels, which may not be removed; a reason that was there already stays."""
        return replace(self, blocked_by=self.blocked_by or BlockedBy(reason, operator, self.name))

    def channel(self, index: int) -> list[tuple[str, int, tuple[int, ...]]]:
        """The (parameter, axis, indices) that go with channel ``index`` of the group."""
        return [(s.parameter, s.axis, tuple(int(k) for k in s.indices[index])) for s in self.slices]

    def slice_of(self, parameter: str, axis: int) -> Slice:
        """The slice of one parameter along one axis."""
        return next(s for s in self.slices if (s.parameter, s.axis) == (parameter, axis))


@dataclass(frozen=True, eq=False)
class ChannelGraph:
    """What depends on what in a traced network. Immutable; nothing in it refers to the network's cells.

    Attributes:
        graph: the operators.
        cells: path of the cell that owns each parameter (the first one, where several share it).
        convolutions: weight -> path of its cell, for each nn.Conv2d whose weight nothing else reads.
        pairs: weight -> (path of its Conv2d, path of its BatchNorm), for those of them whose output always goes
            straight into one BatchNorm, which serves no other layer.
        inputs: (shape, type) of each input that the network was traced with.
        places: weight -> path of the cell behind which its channels are complete, where there is such a cell.
        others: more graphs of the same network, such as the one that is trained; what goes together goes together in
            each of them.
        readings: answers to what MindIR does not tell, found by a second trace (see ``questions.py``).
        resizes: attributes of the user's cells that hold a number of channels and must follow it.
        checked: those of them that MindIR shows nothing of, because code only compares them with a shape.
        own_layers: weights of convolutions that cells of the user's own hold.
        recomputed: gammas of the layer normalisations that compute over what is left of their channels.
        set_by_code: parameters whose ``set_data`` the network's code calls, of which MindIR shows nothing.
        given: what the network was traced with, where the user gave tensors; None where there are only shapes.
    """

    graph: Graph
    cells: Mapping[str, str]
    convolutions: Mapping[str, str]
    pairs: Mapping[str, tuple[str, str]]
    inputs: tuple[tuple[tuple[int, ...], str], ...]
    places: Mapping[str, str]
    others: tuple[Graph, ...] = ()
    readings: Mapping[Site, Reading] = field(default_factory=dict)
    resizes: tuple[Resize, ...] = ()
    checked: tuple[Resize, ...] = ()
    own_layers: frozenset[str] = frozenset()
    recomputed: frozenset[str] = frozenset()
    set_by_code: frozenset[str] = frozenset()
    given: tuple[ms.Tensor, ...] | None = None

    def __deepcopy__(self, memo: dict) -> "ChannelGraph":
        return self

    @classmethod
    def of(cls, net: nn.Cell, graphs: tuple[Graph, ...], inputs: tuple[ms.Tensor, ...],
           norms: str = "keep") -> "ChannelGraph":
        """Attach the paths of ``net``'s cells to its operators. The first graph is the one whose layers are listed."""
        names, owned = constructor_names(net), owners_by_name(net)
        paths = {name: places[0][0] for name, places in owned.items()}
        graphs = tuple(as_seen(each, names, paths) for each in graphs)
        for each in graphs:
            verify(each)
        shapes_of = {name: shape for each in reversed(graphs) for name, shape in each.parameters.items()}
        graph, *others = (replace(each, parameters=shapes_of) for each in graphs)
        cells = {name: paths[name] for name in graph.parameters if name in paths}
        places = [_places(each, owned) for each in graphs]
        convolutions, pairs, behind = (_in_all(kind) for kind in zip(*places))
        shapes = tuple((tuple(x.shape), str(x.dtype)) for x in inputs)
        own = frozenset(name for name in cells if not _is_library(owned[name]))
        recomputed = recomputable(graphs, owned) if norms == "recompute" else frozenset()
        by_code = frozenset(name for name in cells for _, cell, attribute in owned[name]
                            if attribute in (set_in_methods(cell) or ()))
        return cls(graph, cells, convolutions, pairs, shapes, behind, tuple(others), own_layers=own,
                   recomputed=recomputed, set_by_code=by_code)

    @cached_property
    def writers(self) -> tuple[Writer, ...]:
        """Convolutions and dense layers, in order of execution."""
        return find_writers(self.graph)

    @cached_property
    def dense(self) -> frozenset[str]:
        """Weights of dense layers and tables of embeddings, whose output has its channels along the last axis."""
        return frozenset(w.weight for graph in (self.graph, *self.others) for w in find_writers(graph)
                         if w.operator in (*DENSE, *LOOKUPS))

    @cached_property
    def _coupled(self) -> Channels:
        return _propagate(self, frozenset())

    @property
    def channels(self) -> Channels:
        """Everything that the rules found out, with residual streams coupled."""
        return self._coupled

    @property
    def sums(self) -> list[Node]:
        """The additions of two activations (residual sums), in order of execution."""
        return self._coupled.sums

    def groups(self, residual: str = "couple") -> tuple[Group, ...]:
        """The groups of channels that can only be removed together, in order of execution.

        Args:
            residual: ``"couple"``: all writers of a residual stream lose the same channels. ``"keep"``: the
                stream keeps its width and each writer stands for itself; its output is put back into place.
                ``"inner"``: only channels that no residual stream carries are free.

        Raises:
            ValueError: ``residual`` is none of these.
        """
        if residual not in RESIDUAL_POLICIES:
            raise ValueError(f"'residual' must be one of {RESIDUAL_POLICIES}, but got {residual!r}.")
        return {"couple": self._coupled_groups, "keep": self._kept_groups, "inner": self._inner_groups}[residual]

    @cached_property
    def _coupled_groups(self) -> tuple[Group, ...]:
        return _groups(self, self._coupled, frozenset())

    @cached_property
    def _kept_groups(self) -> tuple[Group, ...]:
        cuts = frozenset(self._coupled.residual)
        found = _groups(self, _propagate(self, cuts), cuts)
        return tuple(group if self.places.keys() >= set(group.restored)
                     else group.blocked(Blocked.NO_PLACE, "RestoreChannels") for group in found)

    @cached_property
    def _inner_groups(self) -> tuple[Group, ...]:
        return tuple(group.blocked(Blocked.RESIDUAL_STREAM, "Conv2D")
                     if not self._coupled.residual.isdisjoint(group.weights) else group
                     for group in self._coupled_groups)

    def ids_of(self, group: Group) -> np.ndarray:
        """The ids of all positions in parameters that belong to a group's channels."""
        offsets = self.channels.offsets
        return np.concatenate([(offsets[s.parameter, s.axis] + s.indices).reshape(-1) for s in group.slices])

    def silencers(self, group: Group) -> tuple[Slice, ...]:
        """The slices that a mask must silence so that the channels of a group are zero.

        They are what makes the channels or shifts them. In front of a BatchNorm that is masked itself, and that alone
        reads what the layer makes, the layer needs no mask. Neither does a single channel, which always stays, where
        the network writes into what makes it.
        """
        others = {key for key, silenced_by in self._coupled.silenced_by.items() if key not in silenced_by}
        made = (set(self.outputs.items()) | self.shifts) - others
        found = tuple(s for s in group.slices if (s.parameter, s.axis) in made and s.parameter not in self._finished)
        alone = group.size == 1 and any(part.parameter in self.written for part in found)
        return () if alone else found

    @cached_property
    def written(self) -> frozenset[str]:
        """The parameters that the network itself writes into while it runs, such as running means of its own."""
        return self.set_by_code | {node.inputs[0] for graph in (self.graph, *self.others) for node in graph.nodes
                                   if node.op in WRITES and node.inputs[0] in graph.parameters}

    @cached_property
    def _finished(self) -> frozenset[str]:
        """Weights and biases that are read only in front of BatchNorms."""
        finished: set[str] = set()
        unfinished: set[str] = set()
        for graph in (self.graph, *self.others):
            for writer in find_writers(graph):
                done = writer.gamma in graph.parameters
                names = {name for name in (writer.weight, writer.bias, *self._in_place_of(writer)) if name is not None}
                (finished if done else unfinished).update(names)
            unfinished.update(self._read_otherwise(graph))
        return frozenset(finished - unfinished)

    def _in_place_of(self, writer: Writer) -> set[str]:
        """The parameters that masks silence in the place of a weight that is computed, such as its gain."""
        found = self._coupled.silenced_by.get((writer.weight, self.outputs.get(writer.weight, 0)), frozenset())
        return {name for name, _ in found}

    @staticmethod
    def _read_otherwise(graph: Graph) -> set[str]:
        """Weights that something else reads than the layers that they make."""
        uses = Counter(writer.weight for writer in find_writers(graph) if not writer.computed)
        return {weight for weight, count in uses.items() if len(graph.consumers_of(weight)) > count}

    def examples(self) -> tuple[tuple[int, ...], ...]:
        """The shapes that the network was traced with."""
        return tuple(shape for shape, _ in self.inputs)

    def repeats(self, weight: str) -> int:
        """How many channels each position of a weight makes: one for each group of a transposed convolution, else 1."""
        node = self.graph.consumers_of(weight)[0]
        return 1 if node.op not in TRANSPOSED else node.shape[1] // self.graph.parameters[weight][self.outputs[weight]]

    @property
    def grouped(self) -> Mapping[str, int]:
        """Weights of depthwise convolutions, with their number of groups."""
        return self._coupled.grouped

    @property
    def shifts(self) -> set[tuple[str, int]]:
        """(parameter, axis) of biases and of BatchNorm's gamma and beta."""
        return self._coupled.shifts

    @property
    def outputs(self) -> Mapping[str, int]:
        """For each weight that makes channels, the axis along which it makes them."""
        return self._coupled.outputs


def _is_library(held: list) -> bool:
    """Whether a parameter belongs to MindSpore's own cells, or to subclasses of them."""
    return all(is_layer(cell) for _, cell, _ in held)


def is_layer(cell: nn.Cell) -> bool:
    """Whether a cell's class is one of MindSpore's, or derived from one."""
    return library_class(type(cell)) is not None


def _places(graph: Graph, owned: dict[str, list]) -> tuple[dict[str, Any], ...]:
    """For each weight of one graph: its convolution, the pair of that and BatchNorm, and where it is complete."""
    uses: dict[str, list[Writer]] = {}
    for writer in find_writers(graph):
        uses.setdefault(writer.weight, []).append(writer)
    convolutions = {weight: _convolution(graph, found, owned) for weight, found in uses.items()}
    pairs = {weight: (convolutions[weight], _norm(graph, found, owned)) for weight, found in uses.items()}
    return (convolutions, {weight: None if None in pair else pair for weight, pair in pairs.items()},
            {weight: _place(found, owned) for weight, found in uses.items()})


def _in_all(found: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """What is known in the first graph and no different in the others."""
    return {weight: place for weight, place in found[0].items()
            if place is not None and all(other.get(weight, place) == place for other in found[1:])}


def _convolution(graph: Graph, uses: list[Writer], owned: dict[str, list]) -> str | None:
    """Path of the Conv2d, where it is one cell that computes no more than that, and nothing else reads its weight."""
    held = owned.get(uses[0].weight, [])
    direct = len(graph.consumers_of(uses[0].weight)) == len(uses) and not any(use.computed for use in uses)
    alone = len(held) == 1 and direct
    return held[0][0] if alone and _is_conv2d(held[0][1]) else None


def _is_conv2d(cell: nn.Cell) -> bool:
    """Whether it is nn.Conv2d, or a class derived from it that has another constructor and the same ``construct``."""
    kind: Any = original_class(cell)
    same = kind is type(cell) and issubclass(kind, nn.Conv2d) and "construct" not in vars(cell)
    return same and (kind.construct, kind.__call__) == (nn.Conv2d.construct, nn.Conv2d.__call__)


def _norm(graph: Graph, uses: list[Writer], owned: dict[str, list]) -> str | None:
    """Path of the BatchNorm behind every use of a layer, where it is one cell of MindSpore's and serves no other."""
    gamma = uses[0].gamma
    held = owned.get(gamma or "", [])
    same = all(use.gamma == gamma for use in uses)
    if len(held) != 1 or not same or len(graph.consumers_of(gamma or "")) != len(uses):
        return None
    return held[0][0] if isinstance(held[0][1], (nn.BatchNorm2d, nn.SyncBatchNorm)) else None


def _place(uses: list[Writer], owned: dict[str, list]) -> str | None:
    """Path of the cell whose output is the layer's: it holds this layer and no other, and is not the network."""
    held = owned.get(uses[0].gamma or uses[0].weight, [])
    if len(held) != 1 or not held[0][0] or any(use.gamma != uses[0].gamma for use in uses):
        return None
    path, cell, _ = held[0]
    layers = [p for p in cell.get_parameters() if p.ndim > 1]
    return path if len(layers) <= 1 else None


def _propagate(net: ChannelGraph, cuts: frozenset[str]) -> Channels:
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
    return int((~np.isin(labels, list(_reasons(channels, labels)))).sum())


def _propagated(net: ChannelGraph, cuts: frozenset[str], spared: frozenset[str]) -> Channels:
    """Run every node's channel rule, in order of execution, in each graph. The sums are those of the first."""
    channels = Channels(net.graph, {}, cuts, readings=net.readings, own_layers=net.own_layers,
                        recomputed=net.recomputed, spared=spared)
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
    that shape may lose the same channels, as where the last of several sums is computed for nothing.
    """
    shapes = {flow.shape for name in node.inputs for flow in flatten([flows[name]]) if len(flow.shape) > 1}
    alike = [flow.ids for each in graph.nodes for flow in flatten([flows[each.name]])
             if flow.shape in shapes and flow.varying and flow.has_channels]
    if not alike:
        return
    taken = channels.ask(node, ("apart", TOGETHER), np.concatenate([ids.reshape(-1) for ids in alike]))
    for ids in alike:
        if taken == BLOCKED or (taken == TOGETHER and ids.shape != alike[0].shape):
            channels.block(ids, Blocked.UNSEEN, node)
        elif taken == TOGETHER:
            channels.unite(alike[0], ids, node)


def _groups(channel_graph: ChannelGraph, channels: Channels, cuts: frozenset[str]) -> tuple[Group, ...]:
    labels = connected(channels.size, channels.edges)
    reasons = _reasons(channels, labels)
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
    groups = [_group(channel_graph, channels, [axes[k] for k in where], reason, np.stack(rows), cuts, order_of)
              for (where, reason), rows in found.items()]
    return tuple(sorted(groups, key=lambda g: order_of[g.weights[0]]))


def _reasons(channels: Channels, labels: np.ndarray) -> dict[int, BlockedBy]:
    """The first reason found for each blocked component."""
    reasons: dict[int, BlockedBy] = {}
    for ids, reason in reversed(channels.blocks):
        reasons.update(dict.fromkeys(labels[ids].tolist(), reason))
    return reasons


def _group(channel_graph: ChannelGraph, channels: Channels, keys: list[tuple[str, int]], reason: BlockedBy | None,
           indices: np.ndarray, cuts: frozenset[str], order_of: Mapping[str, int]) -> Group:
    columns: dict[tuple[str, int], list[int]] = {}
    for k, key in enumerate(keys):
        columns.setdefault(key, []).append(k)
    slices = [Slice(*key, indices[:, places], channels.role(*key)) for key, places in columns.items()]
    weights = sorted((part.parameter for part in slices if part.role is Role.FILTER), key=order_of.__getitem__)
    members = tuple(channel_graph.cells.get(weight) or weight for weight in weights)
    restored = tuple(weight for weight in weights if weight in cuts)
    return Group(members[0], members, len(indices), tuple(slices), tuple(weights), restored, reason)
