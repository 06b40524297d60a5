"""A network without its identity shortcuts."""

from dataclasses import dataclass, replace
from typing import Any

import mindspore as ms
from mindspore import nn

from mindspore_gs._cells import copy_network, get_cell, remember_names, replace_everywhere
from mindspore_gs._finite import check_finite
from mindspore_gs._mixin import mix_in
from mindspore_gs.distill.operators import ACTIVATIONS
from mindspore_gs.distill.program import Program, program_of
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import trace
from mindspore_gs.record import has_record, refuse_begun, refuse_forms, set_form
from mindspore_gs.slim import RestoreChannels

_BATCH = 3


@dataclass(frozen=True)
class Block:
    """A residual block.

    Attributes:
        sum: the value that is the residual sum.
        main: the addend that goes through more layers.
        end: the value behind the activation that follows the sum; the sum itself where none does.
        identity: whether no layer is on the shortcut.
        layers: paths of the layers that only the main path has.
        width: channels of the sum.
        size: height and width of the sum.
    """

    sum: str
    main: str
    end: str
    identity: bool
    layers: tuple[str, ...]
    width: int
    size: tuple[int, ...]


@dataclass(frozen=True)
class Residual:
    """A residual network taken apart.

    Attributes:
        program: its steps.
        blocks: its residual blocks, in order of execution.
        shape: shape of an input, with a batch of one.
    """

    program: Program
    blocks: tuple[Block, ...]
    shape: tuple[int, ...]

    def plain(self, projection: str) -> Program:
        """The steps without identity shortcuts, and without projections if ``projection`` is "drop"."""
        return self.program.without({block.sum: block.main for block in self.blocks
                                     if block.identity or projection == "drop"})


class Straight:
    """Mixed into a network: it runs its layers in the order of a program and not as its class was written."""

    _gs_steps: nn.Cell

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """(N, ...) -> the output of the last layer."""
        return self._gs_held[0](x)[0]  # type: ignore[attr-defined]


def take_apart(net: nn.Cell, input_shape: tuple[int, ...] | None, owner: str) -> Residual:
    """Find the residual blocks of a network by dataflow.

    Args:
        net: the network; it stays as it is.
        input_shape: shape of its input; guessed where it is None.
        owner: who asks, for the message.

    Raises:
        TraceError: the network cannot be traced.
        TypeError, ValueError: ``input_shape`` is no shape.
        PruningError: it cannot be taken apart, has no identity shortcut, masks, or weights that are not finite.
    """
    _check_shape(owner, input_shape)
    if has_record(net):
        raise PruningError(f"{owner}: {type(net).__name__} has knockoffs or masks; call convert() of its pruner first, "
                           "and give the small network.")
    refuse_begun(owner, net)
    refuse_forms(owner, net, {
        "searched": "call convert() of SlbQuantAwareTraining first.",
        "rounded": "take the shortcuts out first, and apply SLB to the network without them."})
    kept = [path for path, cell in net.cells_and_names() if isinstance(cell, RestoreChannels)]
    if kept:
        raise PruningError(f"{owner}: {type(net).__name__} was pruned with residual='keep', and {kept[0]!r} puts the "
                           "channels of a shortcut back in place. Prune it with 'couple' or 'inner', or take the "
                           "shortcuts out first.")
    check_finite(net, owner)
    shape = tuple(input_shape) if input_shape is not None else trace(net).examples()[0]
    graph = trace(net, (_BATCH, *shape[1:]))
    program = program_of(net, graph)
    blocks = tuple(block for block in (_block(program, node) for node in graph.sums) if block is not None)
    if not any(block.identity for block in blocks):
        raise PruningError(f"{type(net).__name__} has no identity shortcut: in none of its {len(graph.sums)} sums of "
                           "two activations is one addend without layers of its own. Give a residual network.")
    return Residual(program, blocks, (1, *shape[1:]))


def _check_shape(owner: str, shape: Any) -> None:
    """Refuse what is no shape of an input."""
    if shape is None:
        return
    if not isinstance(shape, (tuple, list)) or not all(type(n) is int for n in shape):
        raise TypeError(f"For '{owner}', the 'input_shape' must be a tuple of ints such as (1, 3, 32, 32), but got "
                        f"{shape!r}.")
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(f"For '{owner}', the 'input_shape' must have a batch and one more axis at least, all above 0, "
                         f"but got {tuple(shape)}.")


def plain_network(net: nn.Cell, input_shape: tuple[int, ...] | None = None, projection: str = "keep") -> nn.Cell:
    """A copy of a residual network without its identity shortcuts.

    A shortcut is an addend of a residual sum that goes through no layer with parameters of its own: what comes in
    itself, also strided or padded with zeros. It is found by dataflow, and so is the order of the layers, which the
    copy then runs one after the other. Cells, paths and parameter names are those of the network. Source: Li et al.,
    Residual Distillation: Towards Portable Deep Neural Networks without Shortcuts, NeurIPS 2020.

    Args:
        net: the residual network; it stays as it is. Layers are nn.Conv2d, nn.Dense and BatchNorms.
        input_shape: shape of its input, such as (1, 3, 32, 32). Default: guessed.
        projection: "keep" leaves shortcuts with layers on them, as the authors do, "drop" takes these too.

    Returns:
        The copy, with the weights of ``net``. It is exported, pruned and trained as any network.

    Raises:
        TypeError: ``net`` is not a Cell.
        ValueError: ``projection`` is neither "keep" nor "drop".
        TraceError: the network cannot be traced.
        PruningError: it has no identity shortcut, or a layer, operator or behaviour in training that a list of layers
            cannot have. The message names it.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs.distill import plain_network
        >>> from mindspore_gs.graph import trace
        >>> class Block(nn.Cell):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.stem, self.conv, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 2, 1)
        ...
        ...     def construct(self, x):
        ...         x = self.stem(x)
        ...         return self.last(x + self.conv(x))
        >>> len(trace(Block(), (1, 3, 8, 8)).sums), len(trace(plain_network(Block(), (1, 3, 8, 8)), (1, 3, 8, 8)).sums)
        (1, 0)
    """
    if not isinstance(net, nn.Cell):
        raise TypeError(f"plain_network() takes a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    check_projection("plain_network", projection)
    return straightened(net, take_apart(net, input_shape, "plain_network()"), projection)


def check_projection(owner: str, projection: Any) -> str:
    """Accept "keep" and "drop"."""
    if projection not in ("keep", "drop"):
        raise ValueError(f"For '{owner}', the 'projection' must be 'keep' or 'drop', but got {projection!r}.")
    return projection


def straightened(net: nn.Cell, residual: Residual, projection: str) -> nn.Cell:
    """A copy of ``net`` that runs the plain program."""
    plain = residual.plain(projection)
    student = copy_network(net)
    remember_names(student)
    used = {step.path for step in plain.steps}
    idle = {step.path for step in residual.program.steps if step.path is not None and step.path not in used}
    replace_everywhere(student, {get_cell(student, path): nn.Identity() for path in idle})
    mix_in(student, Straight)
    set_form(student, "plain")
    student._gs_held = (copies(plain).cell(student, (plain.output,)),)
    return student


def copies(program: Program) -> Program:
    """The program with operators of its own, so that two networks share none."""
    return replace(program, steps=tuple(step if step.cell is None else replace(step, cell=copy_network(step.cell))
                                        for step in program.steps))


def _block(program: Program, node: Any) -> Block | None:
    """The residual block that ends in a sum; None where the layers of its addends do not tell the shortcut."""
    steps = {step.name: step for step in program.steps}
    addends = steps[node.name].reads if node.name in steps else ()
    if len(addends) != 2 or not {program.find(name) for name in addends} <= {*steps, program.source}:
        return None
    sides = [program.sources(name) for name in addends]
    paths = [_layers(program, own - other) for own, other in (sides, sides[::-1])]
    if len(paths[0]) == len(paths[1]):
        return None
    main = int(len(paths[1]) > len(paths[0]))
    if main == 1 and "Sub" in node.op:
        return None  # x - f(x), where f(x) is not what the sum would be without x
    return Block(node.name, addends[main], _end(program, node.name), not paths[1 - main], paths[main],
                 node.shape[1], tuple(node.shape[2:]))


def _layers(program: Program, values: set[str]) -> tuple[str, ...]:
    return tuple(step.path for step in program.steps if step.name in values and step.path is not None)


def _end(program: Program, name: str) -> str:
    readers = [step for step in program.steps if name in map(program.find, step.reads)]
    return readers[0].name if len(readers) == 1 and all(step.op in ACTIVATIONS for step in readers) else name
