"""What flows through the graph while channels are traced, and the context that rules write into."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import Blocked, BlockedBy
from mindspore_gs.graph.ids import NONE, along, none_ids, rows_apart
from mindspore_gs.graph.ir import Graph, Node
from mindspore_gs.graph.questions import BLOCKED, Option, Question, Reading, Site
from mindspore_gs.graph.roles import Role

_NOBODY = np.empty(0, np.int64)


@dataclass(frozen=True)
class Flow:
    """One tensor on its way through the graph.

    Attributes:
        shape: its shape.
        ids: channel ids, compressed (see :mod:`mindspore_gs.graph.ids`).
        zero: whether a channel is zero here once it is masked.
        alive: ids of the channels that are not zero here although ``zero`` says so of the others.
        writers: convolutions whose output arrives here unsummed.
        parameter: name of the parameter that it is, if it is one.
        constant: its value, if it is a literal.
        varying: whether it depends on the network's input.
        pliable: whether it is a literal of equal entries, or random, so that its shape may follow what it meets.
        silencers: (parameter, axis) that would make the channels of a value that does not vary zero, if masked too.
        repeated: axes along which it is one entry, written down once for each position of what it is to meet (a gate
            that was expanded).
    """

    shape: tuple[int, ...]
    ids: np.ndarray
    zero: bool = False
    alive: np.ndarray = field(default_factory=lambda: _NOBODY)
    writers: frozenset[str] = frozenset()
    parameter: str | None = None
    constant: Any = None
    varying: bool = True
    pliable: bool = False
    silencers: frozenset[tuple[str, int]] = frozenset()
    repeated: frozenset[int] = frozenset()

    def with_ids(self, shape: tuple[int, ...], ids: np.ndarray) -> "Flow":
        """The same flow in another layout."""
        return replace(self, shape=shape, ids=ids, parameter=None, constant=None, repeated=frozenset())

    @property
    def has_channels(self) -> bool:
        """Whether any position belongs to a channel."""
        return bool((self.ids != NONE).any())

    def zeros(self) -> np.ndarray:
        """For each of ``ids``, whether it is a channel that is zero here once it is masked."""
        if not (self.zero and self.varying):
            return np.zeros(self.ids.shape, bool)
        return (self.ids != NONE) & ~np.isin(self.ids, self.alive)

    def masked_by(self) -> frozenset[tuple[str, int]]:
        """The (parameter, axis) whose masking makes this value, which does not vary, zero."""
        return self.silencers if self.zero and not self.varying else frozenset()

    def merged(self) -> "Flow":
        """The same flow where one id comes to stand for several: zero only if all of them are."""
        return replace(self, zero=self.zero and not np.isin(self.ids, self.alive).any(), alive=_NOBODY)

    def with_zeros(self, where: np.ndarray) -> "Flow":
        """The same flow, zero where ``where`` says so (an array that broadcasts with ``ids``)."""
        ids, where = np.broadcast_arrays(self.ids, where)
        alive = np.unique(ids[~where & (ids != NONE)])
        return replace(self, zero=True, alive=alive)


@dataclass
class Channels:
    """Everything that the rules find out: ids of parameters, what is united, what is blocked.

    Attributes:
        writer_at: weight of the convolution whose masked output appears at a node (by the node's name).
        cuts: weights whose output is put back to full width right there, so that its channels end.
        sums: additions of two activations, in order.
        residual: weights whose output arrives at such an addition.
        grouped: number of groups of each grouped convolution, by weight.
        outputs: for each weight that makes channels, the axis along which it makes them.
        shifts: (parameter, axis) of biases and BatchNorm's gamma and beta; with them at zero a channel is zero.
        roles: what a (parameter, axis) does for its channels, where the operator tells.
        readings: the answers to questions that are known, by site.
        questions: what the rules have asked, by site.
        sites: the site of each node of the graph that is traced at present, by the node's name.
        flows: for each graph, the flow of each value.
        current: the graph that is traced at present.
        computed: (parameter, node) where a parameter of several axes becomes part of a computation.
        shows: (parameter, name of the node) of these where the rule of a later operator knows what became of it.
        own_layers: weights that cells of the user's own hold, whose operators may hold sizes as well.
        hidden: whether each layer is asked if the code holds its number of channels where MindIR shows nothing of it.
        recomputed: gammas of the layer normalisations that compute over what is left of their channels.
        spared: parameters that no mask shall silence, because the network writes into them.
        silenced_by: for each (parameter, axis) of a weight that is computed, what is masked so that a slice is zero.
        divisors: (parameter, axis) that something is divided by, with the node that does it.
        steep: ids of masked channels at functions that have no finite slope at zero (roots), with the node.
    """

    graph: Graph
    writer_at: Mapping[str, str]
    cuts: frozenset[str] = frozenset()
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    size: int = 0
    edges: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    blocks: list[tuple[np.ndarray, BlockedBy]] = field(default_factory=list)
    sums: list[Node] = field(default_factory=list)
    residual: set[str] = field(default_factory=set)
    grouped: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    shifts: set[tuple[str, int]] = field(default_factory=set)
    roles: dict[tuple[str, int], Role] = field(default_factory=dict)
    readings: Mapping[Site, Reading] = field(default_factory=dict)
    questions: dict[Site, Question] = field(default_factory=dict)
    sites: Mapping[str, Site] = field(default_factory=dict)
    flows: list[dict[str, Any]] = field(default_factory=list)
    current: Graph | None = None
    computed: list[tuple[str, Node]] = field(default_factory=list)
    shows: set[tuple[str, str]] = field(default_factory=set)
    own_layers: frozenset[str] = frozenset()
    hidden: bool = False
    recomputed: frozenset[str] = frozenset()
    spared: frozenset[str] = frozenset()
    silenced_by: dict[tuple[str, int], frozenset[tuple[str, int]]] = field(default_factory=dict)
    divisors: list[tuple[str, int, Node]] = field(default_factory=list)
    steep: list[tuple[np.ndarray, Node]] = field(default_factory=list)

    def ask(self, node: Node, options: tuple[Option, ...], ids: np.ndarray) -> Option:
        """How a number at a node is to be read: the likeliest option, or what is known by now.

        What is none of the options was the answer to another question at this place: what arrives here depends on the
        answers at earlier places.
        """
        site = self.sites.get(node.name, (node.scope, node.op, 0))
        ids, known = np.unique(ids[ids != NONE]), self.questions.get(site)
        if known is not None and (known.node, known.options) == (node.name, options):
            ids = np.union1d(known.ids, ids)  # of another axis of the same weight
        self.questions[site] = Question(site, node.name, options, ids, ids)
        taken = self.readings[site].option if site in self.readings else options[0]
        return taken if taken in (*options, BLOCKED) else options[0]

    def counts(self, node: Node, ids: np.ndarray, number: int | None = None) -> None:
        """The number that was asked for is the number of these ids, or ``number`` in MindIR, a multiple of it."""
        site = self.sites.get(node.name, (node.scope, node.op, 0))
        self.questions[site] = replace(self.questions[site], counted=np.unique(ids[ids != NONE]), number=number)

    def parameter_ids(self, name: str, axis: int) -> np.ndarray:
        """The ids of the positions along one axis of a parameter; made at the first request."""
        length = self.graph.parameters[name][axis]
        if (name, axis) not in self.offsets:
            self.offsets[name, axis] = self.size
            self.size += length
        start = self.offsets[name, axis]
        return np.arange(start, start + length)

    def unite(self, left: np.ndarray, right: np.ndarray, node: Node) -> None:
        """Position by position, both become one channel; a channel that meets none is blocked."""
        left, right = np.broadcast_arrays(left, right)
        left, right = left.reshape(-1), right.reshape(-1)
        both = (left != NONE) & (right != NONE)
        if both.any():
            self.edges.append((left[both], right[both]))
        self.block(left[right == NONE], Blocked.CONSTANT, node)
        self.block(right[left == NONE], Blocked.CONSTANT, node)

    def block(self, ids: np.ndarray, reason: Blocked, node: Node) -> None:
        """Refuse the removal of these channels."""
        ids = np.unique(ids[ids != NONE])
        if ids.size:
            self.blocks.append((ids, BlockedBy(reason, node.op, node.scope)))

    def refuse(self, flow: Flow, reason: Blocked, node: Node) -> None:
        """Refuse every channel of a flow, and of a parameter that it is."""
        self.block(flow.ids.reshape(-1), reason, node)
        if flow.parameter is not None:
            self.keep_whole(flow.parameter, reason, node)

    def keep_whole(self, parameter: str, reason: Blocked, node: Node) -> None:
        """Refuse the channels along every axis of a parameter."""
        for axis, size in enumerate(self.graph.parameters[parameter]):
            if size > 1:
                self.block(self.parameter_ids(parameter, axis), reason, node)

    def vector(self, flow: Flow, axis: int, node: Node) -> np.ndarray:
        """Ids of ``flow`` along its channel ``axis``; blocked and NONE where the channels lie along other axes too.

        Where other channels lie along it at other places, as those of a class token among the tokens of a transformer,
        those at one position go together.
        """
        ids = along(flow.ids, axis, flow.shape[axis])
        if ids is None and (rows := rows_apart(flow.ids, axis)) is not None:
            self.unite(rows[:, :1], rows, node)
            return rows[:, 0]
        if ids is None:
            self.refuse(flow, Blocked.MERGED_AXES if flow.ids.shape[axis] > 1 else Blocked.OTHER_AXIS, node)
            return np.full(flow.shape[axis], NONE)
        return ids

    def consume(self, flow: Flow, axis: int, node: Node) -> np.ndarray:
        """Like :meth:`vector`, for an operator that sums over the channels: they must be zero when masked."""
        ids = self.vector(flow, axis, node)
        self.block(flow.ids[~flow.zeros()], Blocked.NOT_ZERO, node)
        return ids

    def consume_with(self, ids: np.ndarray, weight: np.ndarray, node: Node) -> None:
        """Tie the channels that an operator sums over to the axis of its weight."""
        if (ids == NONE).all():
            self.block(weight, Blocked.NETWORK_INPUT, node)
        else:
            self.unite(ids, weight, node)

    def settle(self, node: Node, flow: Any) -> Any:
        """Where a convolution with its bias and BatchNorm ends, its channels are masked, so zero; a cut ends them.

        Without BatchNorm, a weight that no mask makes zero leaves its channels as they are.

        A BatchNorm whose output nothing reads, as in a part that only another mode runs, is a tuple still.
        """
        if isinstance(flow, tuple):
            return (self.settle(node, flow[0]), *flow[1:])
        weight = self.writer_at.get(node.name)
        if weight is None:
            return flow
        if weight in self.cuts:
            return Flow(flow.shape, none_ids(len(flow.shape)))
        silenced_by = self.silenced_by.get((weight, self.outputs.get(weight, 0)))
        if silenced_by == frozenset():
            return replace(flow, writers=frozenset([weight]))
        self.shifts.update(silenced_by or ())
        return replace(flow, zero=True, alive=_NOBODY, writers=frozenset([weight]))

    def note_steep(self, flow: Flow, node: Node) -> None:
        """Remember the masked channels that a function without a finite slope at zero gets, or masked parameters."""
        ids = np.unique(flow.ids[flow.ids != NONE if flow.masked_by() else flow.zeros()])
        self.steep += [(ids, node)] if ids.size else []

    def role(self, parameter: str, axis: int) -> Role:
        """What a parameter does for the channels along one of its axes; without more knowledge it reads them."""
        if self.outputs.get(parameter) == axis:
            return Role.FILTER
        return self.roles.get((parameter, axis), Role.SHIFT if (parameter, axis) in self.shifts else Role.INPUT)

    def plain(self, node: Node) -> Flow:
        """An output without channels."""
        return Flow(node.shape, none_ids(len(node.shape)))
