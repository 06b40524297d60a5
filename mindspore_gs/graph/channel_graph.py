"""The channel graph of a network: its groups, for each policy for residual streams, and what masks have to silence."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import constructor_names, owners_by_name, set_in_methods
from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels
from mindspore_gs.graph.group import Group, Slice
from mindspore_gs.graph.groups import find_groups
from mindspore_gs.graph.ir import Graph, Node, verify
from mindspore_gs.graph.layer_norms import recomputable
from mindspore_gs.graph.layers import in_all, in_library, layer_places
from mindspore_gs.graph.operators import TRANSPOSED
from mindspore_gs.graph.propagation import propagate
from mindspore_gs.graph.seen import as_seen
from mindspore_gs.graph.traced import Traced
from mindspore_gs.graph.writers import Writer, find_writers

RESIDUAL_POLICIES = ("keep", "couple", "inner")


@dataclass(frozen=True, eq=False)
class ChannelGraph(Traced):
    """What depends on what in a traced network. Immutable; nothing in it refers to the network's cells.

    Its fields are those of :class:`~mindspore_gs.graph.traced.Traced`, what a trace tells. The rest follows from them.
    """

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
        places = [layer_places(each, owned) for each in graphs]
        convolutions, pairs, behind = (in_all(kind) for kind in zip(*places))
        shapes = tuple((tuple(x.shape), str(x.dtype)) for x in inputs)
        own = frozenset(name for name in cells if not in_library(owned[name]))
        recomputed = recomputable(graphs, owned) if norms == "recompute" else frozenset()
        by_code = frozenset(name for name in cells for _, cell, attribute in owned[name]
                            if attribute in (set_in_methods(cell) or ()))
        return cls(graph, cells, convolutions, pairs, shapes, behind, tuple(others), own_layers=own,
                   recomputed=recomputed, set_by_code=by_code)

    @cached_property
    def _coupled(self) -> Channels:
        return propagate(self, frozenset())

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
        return find_groups(self, self._coupled, frozenset())

    @cached_property
    def _kept_groups(self) -> tuple[Group, ...]:
        cuts = frozenset(self._coupled.residual)
        found = find_groups(self, propagate(self, cuts), cuts)
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
