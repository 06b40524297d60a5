"""All that a network executes: the deployed graph, and the ones that show what it leaves out.

MindIR of the deployed network lacks what only training runs, and what is computed and thrown away. Both are executed
by Python, so they have to lose the same channels.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import CodeType, FunctionType
from typing import Any

import mindspore as ms
from mindspore import nn, ops

from mindspore_gs._cells import owners
from mindspore_gs.errors import TraceError
from mindspore_gs.graph._mindir import export_graph
from mindspore_gs.graph._unseen import Unseen
from mindspore_gs.graph.ir import SHOWN, Graph


def all_views(net: nn.Cell, graph: Graph, tensors: tuple[ms.Tensor, ...]) -> tuple[Graph, ...]:
    """The graph that reads most parameters first, then the other one, where there are two.

    Args:
        net: the network.
        graph: its deployed graph.
        tensors: what it is called with.

    A network that cannot be exported in training mode keeps the deployed graph alone, if that reads all parameters.

    Raises:
        TraceError: what only training may read cannot be seen.
    """
    left = unread(net, graph)
    if not left and not _asks_for_training(net):
        return (graph,)
    with _shown(_layers_of(net, left)) as layers:
        deployed = export_graph(net, tensors) if layers else graph
        try:
            trained = export_graph(net, tensors, training=True)
        except TraceError as error:
            unseen = unread(net, deployed)
            if unseen:
                raise TraceError(f"nothing reads {', '.join(sorted(unseen)[:3])} of {type(net).__name__} when it is "
                                 "deployed, and what training does with them cannot be seen. Leave out what is not "
                                 f"used, or mend this, which happens in training mode: {error}") from error
            return (_without_readers(deployed),)
    trained, deployed = _without_readers(trained), _without_readers(deployed)
    more = len(_read_by(trained)) > len(_read_by(deployed))
    return (trained, deployed) if more else (deployed, trained)


def unread(net: nn.Cell, graph: Graph) -> set[str]:
    """The parameters of a network that no operator reads; without any, no layer has to be shown."""
    return {p.name for p in net.get_parameters()} - _read_by(graph)


def _read_by(graph: Graph) -> set[str]:
    return {name for node in graph.nodes for name in node.inputs if name in graph.parameters}


def _without_readers(graph: Graph) -> Graph:
    """The graph in which only those layers are shown that nothing else reads."""
    readers = graph.consumers()
    shown = [node for node in graph.nodes if node.attrs.get("instance") == SHOWN]
    seen = {node.name for node in shown if len(readers[node.inputs[0]]) > 1 or node.inputs[0] in graph.outputs}
    return replace(graph, nodes=tuple(node for node in graph.nodes if node.name not in seen))


def _layers_of(net: nn.Cell, unread: set[str]) -> list[nn.Cell]:
    """Cells all of whose own parameters are read by nothing. The network itself returns what it computes anyway."""
    owned: dict[int, tuple[nn.Cell, list[str]]] = {}
    for name, places in owners(net).items():
        for _, cell, _ in places:
            owned.setdefault(id(cell), (cell, []))[1].append(name)
    return [cell for cell, names in owned.values() if cell is not net and unread.issuperset(names)]


@contextmanager
def _shown(layers: list[nn.Cell]) -> Iterator[list[nn.Cell]]:
    """Inside, the export keeps what these layers compute."""
    kinds = [type(layer) for layer in layers]
    try:
        for layer, kind in zip(layers, kinds):
            layer.__class__ = type(kind.__name__, (Unseen, kind), {})
            setattr(layer, SHOWN, ops.Print())
        yield layers
    finally:
        for layer, kind in zip(layers, kinds):
            layer.__class__ = kind
            delattr(layer, SHOWN)


def _asks_for_training(net: nn.Cell) -> bool:
    """Whether code that is not MindSpore's own asks whether it is in training mode."""
    kinds = {kind for _, cell in net.cells_and_names() for kind in type(cell).__mro__}
    own = [kind for kind in kinds if kind.__module__.split(".")[0] not in ("mindspore", "builtins")]
    return any(_mentions(function.__code__, "training") for kind in own for function in vars(kind).values()
               if isinstance(function, FunctionType))


def _mentions(code: CodeType, name: str) -> bool:
    inner: Iterable[Any] = code.co_consts
    return name in code.co_names or any(value == name if isinstance(value, str) else _mentions(value, name)
                                        for value in inner if isinstance(value, (str, CodeType)))
