"""Who reads the channels that went, in order of execution, and which BatchNorms come to see something else."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from mindspore import nn

from mindspore_gs._cells import owners_by_name
from mindspore_gs.graph import ChannelGraph, Group, Role
from mindspore_gs.graph.operators import BATCH_NORMS
from mindspore_gs.graph.writers import Writer
from mindspore_gs.norms import batch_norms
from mindspore_gs.pruner.compensation.patches import Layer

Stays = Mapping[tuple[str, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Consumer:
    """A layer that mixes channels of which some went, or that mixes what has changed since channels went.

    Attributes:
        name: path of its cell.
        weight: name of its weight.
        bias: name of the bias that nothing else reads, or None.
        norm: path of the BatchNorm that follows directly and has an intercept, or None.
        inputs: which positions along axis 1 of the weight stay.
        outputs: which of its own channels stay.
        layer: how it takes its input.
        place: its place in the order of execution.
        added: whether its output goes into an addition.
        reads: whether it reads channels that went.
    """

    name: str
    weight: str
    bias: str | None
    norm: str | None
    inputs: np.ndarray
    outputs: np.ndarray
    layer: Layer
    place: int
    added: bool
    reads: bool

    @property
    def columns(self) -> int:
        """How many weights each of its outputs has, without those of channels that went."""
        return int(self.inputs.sum()) * int(np.prod(self.layer.kernel))


@dataclass(frozen=True, eq=False)
class Moved:
    """A BatchNorm whose input is another one since channels went.

    Attributes:
        path: path of its cell.
        channels: which of its channels stay.
        place: its place in the order of execution.
    """

    path: str
    channels: np.ndarray
    place: int


def stays_along(graph: ChannelGraph, choice: Mapping[Group, np.ndarray]) -> dict[tuple[str, int], np.ndarray]:
    """Truth value for each position of each (parameter, axis) that loses something."""
    found: dict[tuple[str, int], np.ndarray] = {}
    for group, keep in choice.items():
        for part in group.slices:
            if not keep.all():
                length = graph.graph.parameters[part.parameter][part.axis]
                vector = found.setdefault((part.parameter, part.axis), np.ones(length, dtype=bool))
                vector[part.indices[~keep]] = False
    return found


def weights_that_read(choice: Mapping[Group, np.ndarray]) -> dict[str, int]:
    """The weights that read channels of which some went, with the axis along which they do."""
    return {part.parameter: part.axis for group, keep in choice.items() if not keep.all()
            for part in group.slices if part.role is Role.INPUT}


def touched_by(graph: ChannelGraph, choice: Mapping[Group, np.ndarray]) -> dict[str, int]:
    """The operators whose output is another one since channels went, with their places in the order of execution."""
    touched = set(weights_that_read(choice))
    found: dict[str, int] = {}
    for place, node in enumerate(graph.graph.nodes):
        if not touched.isdisjoint(node.inputs):
            touched.add(node.name)
            found[node.name] = place
    return found


def find_consumers(net: nn.Cell, graph: ChannelGraph, choice: Mapping[Group, np.ndarray]
                   ) -> tuple[list[Consumer], dict[str, str]]:
    """The layers to be repaired, in order of execution, and for each other one that reads removed channels the reason.

    Those are the layers that read removed channels, and the layers that mix channels behind them, whose input is
    another one.

    Args:
        net: the network in its original form.
        graph: its channel graph.
        choice: which channels of each group stay.
    """
    stays, places = stays_along(graph, choice), _places(graph)
    found: list[Consumer] = []
    skipped: dict[str, str] = {}
    readers = weights_that_read(choice)
    for weight, axis in {**dict.fromkeys(_behind(graph, choice), 1), **readers}.items():
        answer = _consumer(net, graph, weight, axis, stays, places, weight in readers)
        if isinstance(answer, Consumer):
            found.append(answer)
        elif weight in readers:
            skipped[graph.cells.get(weight, weight)] = answer
    return sorted(found, key=lambda consumer: consumer.place), skipped


def _behind(graph: ChannelGraph, choice: Mapping[Group, np.ndarray]) -> list[str]:
    """The weights that mix channels, all of which are there but not what they were."""
    touched = touched_by(graph, choice)
    found = []
    for writer in graph.writers:
        shape = graph.graph.parameters[writer.weight]
        readers = [] if writer.computed else graph.graph.consumers_of(writer.weight)
        if any(not touched.keys().isdisjoint(node.inputs) for node in readers) and len(shape) > 1 and shape[1] > 1:
            found.append(writer.weight)
    return found


def _places(graph: ChannelGraph) -> dict[str, int]:
    """For each parameter the first operator that reads it."""
    found: dict[str, int] = {}
    for place, node in enumerate(graph.graph.nodes):
        for name in node.inputs:
            if name in graph.graph.parameters:
                found.setdefault(name, place)
    return found


def _consumer(net: nn.Cell, graph: ChannelGraph, weight: str, axis: int, stays: Stays,
              places: Mapping[str, int], reads: bool) -> Consumer | str:
    held = owners_by_name(net).get(weight, [])
    uses = [writer for writer in graph.writers if writer.weight == weight]
    if not uses:
        return "it is neither a convolution nor a dense layer"
    if len(held) != 1 or held[0][2] != "weight":
        return "its weight belongs to no cell, or to several"
    if any(writer.computed for writer in uses):
        return "its weight is computed from a parameter"
    if len(uses) != 1 or len(graph.graph.consumers_of(weight)) != 1:
        return "its weight is used several times"
    path, cell, _ = held[0]
    layer = Layer.of(cell)
    if isinstance(layer, str):
        return layer
    shape = graph.graph.parameters[weight]
    if axis != 1:
        return f"it reads channels along axis {axis} of its weight"
    return Consumer(path, weight, _bias(graph, uses[0]), _norm(net, graph, uses[0]),
                    stays.get((weight, 1), np.ones(shape[1], dtype=bool)),
                    stays.get((weight, 0), np.ones(shape[0], dtype=bool)), layer, places[weight],
                    any("Add" in node.op for node in graph.graph.consumers_of(uses[0].last)), reads)


def _bias(graph: ChannelGraph, writer: Writer) -> str | None:
    alone = writer.bias in graph.cells and len(graph.graph.consumers_of(writer.bias or "")) == 1
    return writer.bias if alone else None


def _norm(net: nn.Cell, graph: ChannelGraph, writer: Writer) -> str | None:
    """The BatchNorm behind a layer, where it serves no other and can take an intercept."""
    if not writer.norm or len(graph.graph.consumers_of(writer.norm[0])) != 1:
        return None
    for path, norm in batch_norms(net).items():
        held = graph.cells.get(writer.norm[2])
        if held in (path, f"{path}.bn2d") and norm.plain and not norm.always_on_the_batch \
                and norm.gamma is not None and norm.beta is not None:
            return path
    return None


def moved_norms(net: nn.Cell, graph: ChannelGraph, choice: Mapping[Group, np.ndarray]) -> list[Moved]:
    """The BatchNorms behind a layer that reads channels of which some went, in order of execution."""
    stays = stays_along(graph, choice)
    norms = {name: path for path, norm in batch_norms(net).items() if not norm.always_on_the_batch
             for name in (path, f"{path}.bn2d")}
    found: list[Moved] = []
    for place in touched_by(graph, choice).values():
        node = graph.graph.nodes[place]
        path = norms.get(graph.cells.get(node.inputs[3], "")) if node.op in BATCH_NORMS else None
        if path is not None and path not in {moved.path for moved in found}:
            length = graph.graph.parameters[node.inputs[3]][0]
            channels = stays.get((node.inputs[3], 0), np.ones(length, dtype=bool))
            found.append(Moved(path, channels, place))
    return found
