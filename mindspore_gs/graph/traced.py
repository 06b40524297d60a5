"""What a trace tells of a network before any rule is asked: operators, cells, layers, answers of a second trace."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import mindspore as ms

from mindspore_gs.graph.ir import Graph
from mindspore_gs.graph.operators import DENSE, LOOKUPS, WRITES
from mindspore_gs.graph.questions import Reading, Resize, Site
from mindspore_gs.graph.writers import Writer, find_writers


@dataclass(frozen=True, eq=False)
class Traced:
    """What a trace tells of a network before any rule is asked. Immutable; nothing in it refers to the network's cells.

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
        hidden: whether layers are asked if the code holds their number of channels where MindIR shows nothing of it.
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
    hidden: bool = False
    given: tuple[ms.Tensor, ...] | None = None

    def __deepcopy__(self, memo: dict) -> "Traced":
        return self

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
    def written(self) -> frozenset[str]:
        """The parameters that the network itself writes into while it runs, such as running means of its own."""
        return self.set_by_code | {node.inputs[0] for graph in (self.graph, *self.others) for node in graph.nodes
                                   if node.op in WRITES and node.inputs[0] in graph.parameters}

    def examples(self) -> tuple[tuple[int, ...], ...]:
        """The shapes that the network was traced with."""
        return tuple(shape for shape, _ in self.inputs)
