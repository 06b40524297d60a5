"""A network as a list of steps, so that it can be cut behind any block and run from there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, get_cell, owners_by_name, switched
from mindspore_gs.distill.operators import ACTIVATIONS, TAKES_TUPLE, Filled, Item, Joined, Total, operator_cell
from mindspore_gs.errors import PruningError, first_line
from mindspore_gs.graph import ChannelGraph
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.operators import BATCH_NORMS, CONVOLUTIONS, DENSE
from mindspore_gs.norms import BATCH_NORMS as NORM_CELLS

_LAYERS = (nn.Conv2d, nn.Dense, *NORM_CELLS)


@dataclass(frozen=True)
class Step:
    """One cell of a network.

    Attributes:
        name: the value that it computes.
        reads: the values that it is called with.
        path: path of the layer in the network; None where ``cell`` is an operator without parameters.
        cell: that operator's cell.
        op: the operator's name.
    """

    name: str
    reads: tuple[str, ...]
    path: str | None
    cell: nn.Cell | None
    op: str

    def bound(self, net: nn.Cell) -> nn.Cell:
        """The cell in a network."""
        if self.path is None:
            assert self.cell is not None
            return self.cell
        return get_cell(net, self.path)


@dataclass(frozen=True)
class Program:
    """The steps of a network in order of execution.

    Attributes:
        steps: each after everything that it reads.
        source: name of the input.
        output: name of the output.
        same: values that are others under a second name.
    """

    steps: tuple[Step, ...]
    source: str
    output: str
    same: Mapping[str, str]

    def find(self, name: str) -> str:
        """The first name of a value."""
        while name in self.same:
            name = self.same[name]
        return name

    def sources(self, name: str) -> set[str]:
        """A value and everything that it is computed from."""
        steps = {step.name: step for step in self.steps}
        found, waiting = set(), [self.find(name)]
        while waiting:
            value = waiting.pop()
            if value not in found:
                found.add(value)
                waiting += [self.find(read) for read in (steps[value].reads if value in steps else ())]
        return found

    def without(self, dropped: Mapping[str, str]) -> "Program":
        """The program where each value of ``dropped`` is another one, without the steps that are idle then."""
        changed = replace(self, same={**self.same, **dropped})
        return changed.part((changed.output,))

    def part(self, outputs: tuple[str, ...], source: str | None = None) -> "Program":
        """The steps that lead from ``source`` (the input) to the outputs.

        Raises:
            PruningError: an output depends on something in front of ``source``.
        """
        begin = self.find(source or self.source)
        needed = {self.find(name) for name in outputs}
        kept = []
        for step in reversed(self.steps):
            if step.name in needed and step.name != begin:
                needed.update(self.find(read) for read in step.reads)
                kept.append(step)
        if begin != self.source and self.source in needed:
            raise PruningError("the value is no place to cut the network: something goes past it.")
        return replace(self, steps=tuple(reversed(kept)), source=begin)

    def cell(self, net: nn.Cell, outputs: tuple[str, ...], source: str | None = None) -> "Steps":
        """A cell that runs a part of the program on the layers of ``net``."""
        part = self.part(outputs, source)
        places = {part.source: 0} | {step.name: k + 1 for k, step in enumerate(part.steps)}
        steps = tuple((step.bound(net), tuple(places[self.find(read)] for read in step.reads)) for step in part.steps)
        return Steps(steps, tuple(places[self.find(name)] for name in outputs))


class Steps(nn.Cell):
    """Runs cells one after the other. They belong to another network and are no children of this one.

    Args:
        steps: for each the cell, and which values it is called with: 0 is the input, k what the k-th step returned.
        outputs: which values are returned.
    """

    def __init__(self, steps: tuple[tuple[nn.Cell, tuple[int, ...]], ...], outputs: tuple[int, ...]):
        super().__init__(auto_prefix=False)
        self.steps, self.outputs = steps, outputs

    def construct(self, x: ms.Tensor) -> tuple[ms.Tensor, ...]:
        """The outputs, a tuple."""
        values = (x,)
        for cell, reads in self.steps:
            arguments = ()
            for k in reads:
                arguments = arguments + (values[k],)  # type: ignore[assignment]
            values = values + (cell(*arguments),)  # type: ignore[assignment]
        results = ()
        for k in self.outputs:
            results = results + (values[k],)  # type: ignore[assignment]
        return results


def program_of(net: nn.Cell, graph: ChannelGraph) -> Program:
    """The program of a network, from its trace.

    Args:
        net: the network; it stays as it is.
        graph: its trace, with one input whose first axis is the batch.

    Raises:
        PruningError: the network has an operator, a layer or a behaviour in training that no program has.
    """
    traced = graph.graph
    if len(traced.inputs) != 1 or len(traced.outputs) != 1:
        raise PruningError(f"{type(net).__name__} has {len(traced.inputs)} inputs and {len(traced.outputs)} outputs; "
                           "only networks with one of each are served. Wrap the network in a cell that has one.")
    (source, shape), = traced.inputs.items()
    paths = {name: places[0][0] for name, places in owners_by_name(net).items()}
    reader = _Reader(net, graph, paths, shape[0])
    for node in traced.nodes:
        reader.read(node)
    if traced.outputs[0] in reader.tuples:
        raise PruningError(f"{type(net).__name__} returns {len(reader.tuples[traced.outputs[0]])} outputs; only "
                           "networks with one are served. Wrap the network in a cell that returns one of them.")
    program = Program(tuple(reader.steps), source, traced.outputs[0], reader.same)
    _check(net, program, shape)
    return program


class _Reader:
    """Turns nodes into steps."""

    def __init__(self, net: nn.Cell, graph: ChannelGraph, paths: dict[str, str], batch: int):
        self.net, self.graph, self.paths, self.batch = net, graph.graph, paths, batch
        self.producers = graph.graph.producers
        self.steps: list[Step] = []
        self.same: dict[str, str] = {}
        self.tuples: dict[str, tuple[str, ...]] = {}
        self.layer_of: dict[str, str] = {}

    def read(self, node: Node) -> None:
        """Add the step of one node."""
        parameters = [name for name in node.inputs if name in self.graph.parameters]
        if node.op == "MakeTuple":
            self.tuples[node.name] = node.inputs
        elif node.op == "TupleGetItem":
            self._item(node, int(self.graph.constants[node.inputs[1]]))
        elif node.op == "BiasAdd" and self._belongs(node, parameters) or self._is_inside(node):
            self.same[node.name] = node.inputs[0]
            self.layer_of[node.name] = self.layer_of[node.inputs[0]]
        elif parameters:
            self._layer(node, parameters)
        elif node.op in TAKES_TUPLE and node.inputs[0] in self.tuples:
            cell = Joined(int(self.graph.constants[node.inputs[1]])) if node.op == "Concat" else Total()
            self.steps.append(Step(node.name, self._values(node, self.tuples[node.inputs[0]]), None, cell, node.op))
        else:
            constants = {k: self.graph.constants[name] for k, name in enumerate(node.inputs)
                         if name in self.graph.constants}
            reads = tuple(name for name in node.inputs if name not in self.graph.constants)
            cell = operator_cell(node, constants, self.batch)
            self.steps.append(Step(node.name, reads, None, cell, node.op))

    def _item(self, node: Node, number: int) -> None:
        """One of the outputs of an operator, or of the entries of a tuple. BatchNorm's cell returns the first alone."""
        source = node.inputs[0]
        if source in self.tuples:
            self.same[node.name] = self.tuples[source][number]
        elif source in self.layer_of and number == 0:
            self.same[node.name] = source
        elif source in self.layer_of:
            raise PruningError(f"{node.scope} reads output {number} of {self.layer_of[source]!r}, which a layer of a "
                               "network without shortcuts does not have.")
        else:
            self.steps.append(Step(node.name, (source,), None, Item(number), node.op))

    def _values(self, node: Node, names: tuple[str, ...]) -> tuple[str, ...]:
        """The entries of a tuple as values of steps; constants that every sample has alike are made for each batch."""
        made = {step.name for step in self.steps}
        like = next((name for name in names if name not in self.graph.constants), None)
        for name in names:
            value = self.graph.constants.get(name)
            if value is not None and name not in made:
                if like is None or np.ndim(value) < 2 or len(value) != self.batch or (value != value[:1]).any():
                    raise PruningError(f"{node} joins a constant with activations that is not the same for each "
                                       "sample; a network without shortcuts cannot be written with it.")
                self.steps.append(Step(name, (like,), None, Filled(value), "Constant"))
        return names

    def _belongs(self, node: Node, parameters: list[str]) -> bool:
        """Whether a bias is that of the layer in front of it."""
        return bool(parameters) and self.layer_of.get(node.inputs[0]) == self.paths.get(parameters[0])

    def _is_inside(self, node: Node) -> bool:
        """Whether an activation is one that the layer in front of it computes itself."""
        return node.op in ACTIVATIONS and node.inputs[0] in self.layer_of and \
            f"{node.scope}/".startswith(f"{self.producers[node.inputs[0]].scope}/")

    def _layer(self, node: Node, parameters: list[str]) -> None:
        path = self.paths.get(parameters[0])
        cell = None if path is None else get_cell(self.net, path)
        plain = isinstance(cell, _LAYERS) and node.op in (*CONVOLUTIONS, *DENSE, *BATCH_NORMS)
        if not plain or node.inputs[0] in self.graph.parameters:
            where = "the network" if cell is None else f"{path!r} ({type(cell).__name__})"
            raise PruningError(f"{node.op} reads {parameters[0]!r} of {where}; only nn.Conv2d, nn.Dense and BatchNorms "
                               "may hold parameters in a network that shortcuts are taken from. Write it with those.")
        self.layer_of[node.name] = path or ""
        made = self.producers.get(node.inputs[0])
        widened = isinstance(cell, nn.BatchNorm1d) and made is not None and made.scope == node.scope
        self.steps.append(Step(node.name, (made if widened and made else node).inputs[:1], path, None, node.op))


_WHY = {False: ("evaluation", "Layers whose class computes more than the layer, and code for one size of the batch,"),
        True: ("training", "Dropout, random depth and code that asks for the training mode")}


def _check(net: nn.Cell, program: Program, shape: tuple[int, ...]) -> None:
    """The program is the network, in evaluation and in training, for another size of the batch."""
    x = ms.Tensor(np.random.default_rng(0).normal(size=(shape[0] + 1, *shape[1:])), ms.float32)
    for training in (False, True):
        twin, other = (switched(copy_network(net), training) for _ in range(2))
        try:
            difference = _distance(program.cell(other, (program.output,))(x)[0], twin(x))
        except (RuntimeError, TypeError, ValueError) as error:
            raise PruningError(f"{type(net).__name__} or its steps, one after the other, cannot be run on a batch of "
                               f"{len(x)}: {first_line(error)}. Write the network with plain layers and operators, for "
                               "any size of the batch.") from error
        if difference > 1e-4:
            mode, why = _WHY[training]
            raise PruningError(f"the steps of {type(net).__name__} do not compute what it computes in {mode} mode "
                               f"(they differ by {difference:.2g} of its largest output). {why} cannot be cut into "
                               "steps; leave them out.")


def _distance(got: Any, wanted: Any) -> float:
    if not isinstance(wanted, ms.Tensor) or got.shape != wanted.shape:
        return float("inf")
    a, b = got.asnumpy().astype(np.float64), wanted.asnumpy().astype(np.float64)
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-12))
