"""Who writes channels into the network: each convolution, dense layer or table of embeddings, with what follows."""

from dataclasses import dataclass

from mindspore_gs.graph.ir import Graph, Node
from mindspore_gs.graph.operators import BATCH_NORMS, CONVOLUTIONS, DENSE, LOOKUPS, TRANSPOSED

_PRODUCERS = (*CONVOLUTIONS, *TRANSPOSED, *DENSE, *LOOKUPS)
_BEHIND = ("Cast", "BiasAdd", *BATCH_NORMS, "TupleGetItem")


@dataclass(frozen=True)
class Writer:
    """A weighted operator and what follows it directly, up to where its channels are complete.

    Attributes:
        weight: name of the weight.
        operator: ``"Conv2D"``, ``"MatMul"``, ...
        last: name of the value that carries the finished channels.
        bias: the bias that is added in front of the BatchNorm, or None.
        norm: gamma, beta, moving mean and variance of the BatchNorm that follows; empty where none does.
        uses: how often the weight is used; more than once for a cell that is called twice.
        computed: whether the operator's weight is not the parameter itself, but computed from it.
    """

    weight: str
    operator: str
    last: str
    bias: str | None
    norm: tuple[str, ...]
    uses: int
    computed: bool = False

    @property
    def gamma(self) -> str | None:
        """Gamma of the BatchNorm that follows, or None."""
        return self.norm[0] if self.norm else None


def find_writers(graph: Graph) -> tuple[Writer, ...]:
    """All writers in order of execution, one entry for each use of a weight."""
    readers = graph.consumers()
    writers = []
    for node in graph.nodes:
        weight = graph.weight_of(node) if node.op in _PRODUCERS else None
        if weight is not None:
            last, bias, norm = _follow(graph, readers, node)
            direct = weight in node.inputs
            uses = max(len(readers[name]) for name in (weight if direct else node.inputs[1], *norm[:1]))
            writers.append(Writer(weight, node.op, last.name, bias, norm, uses, not direct))
    return tuple(writers)


def _follow(graph: Graph, readers: dict[str, list[Node]], node: Node) -> tuple[Node, str | None, tuple[str, ...]]:
    """Walk over bias and BatchNorm as long as nothing else reads what is between."""
    norm: tuple[str, ...] = ()
    bias = next((name for name in node.inputs[2:3] if name in graph.parameters), None)
    seen: set[str] = set()
    while node.name not in graph.outputs and len(readers.get(node.name, ())) == 1:
        following = readers[node.name][0]
        if following.op not in _BEHIND or following.op in seen or following.inputs[0] != node.name:
            break
        if following.op == "BiasAdd":
            if norm:
                break
            bias = following.inputs[1]
        if following.op in BATCH_NORMS:
            norm = following.inputs[1:5]
        if following.op != "Cast":
            seen.add(following.op)
        node = following
    return node, bias, norm
