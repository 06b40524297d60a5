"""Try a network out before anything is done to it: mask, make slim, and compare, on copies."""

from collections.abc import Mapping, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import (
    compares_sizes,
    constructor_names,
    copy_network,
    evaluating,
    get_cell,
    hands_itself_on,
    in_mode,
    names_in_methods,
    same_values,
)
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import PruningError, first_line
from mindspore_gs.graph import ChannelGraph, Group
from mindspore_gs.graph._mindir import export_graph
from mindspore_gs.masks.masks import Masks, masked_by_value, masked_values
from mindspore_gs.masks.parents import check_parents
from mindspore_gs.masks.steep import check_slopes
from mindspore_gs.masks.written import check_written
from mindspore_gs.progress import step
from mindspore_gs.slim import PrunePlan
from mindspore_gs.slim.check import as_tensors, check_equal, inputs_for, random_inputs
from mindspore_gs.slim.difference import parts
from mindspore_gs.slim.slimming import slice_network


def try_out(net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group]) -> None:
    """Go the whole way with every second channel of each group, so that a network that cannot go it is refused now.

    Args:
        net: the network in its original form; it stays as it is.
        graph: its channel graph.
        groups: the groups that may lose channels.

    Raises:
        PruningError: names the layers whose channels cannot be removed, the cell that shows it, and what to do.
    """
    with in_mode(ms.PYNATIVE_MODE), step("trial of all layers"):
        inputs = inputs_for(net, graph)
        _run(net, graph, inputs)
        if _problem(net, graph, groups, inputs) is None:
            return
        guilty = _guilty(net, graph, groups, inputs)
        problem = _problem(net, graph, guilty[:1] or groups, inputs, locate=True)
    layers = ", ".join(repr(member) for group in guilty for member in group.members)
    raise PruningError(f"{type(net).__name__} cannot be pruned as it is: {problem} {_another_way(net)}The channels of "
                       f"{layers or 'these layers together'} are concerned; add them to 'ignore' to prune the rest.") \
        from problem


def comparing(net: nn.Cell) -> list[str]:
    """Paths of the cells whose code compares sizes; the network itself goes by its class."""
    return [path or type(net).__name__ for path, cell in net.cells_and_names() if compares_sizes(cell)]


def _another_way(net: nn.Cell) -> str:
    """A sentence on code that compares sizes, with the space behind it; nothing where there is none."""
    found = ", ".join(map(repr, comparing(net)))
    return f"The code of {found} compares sizes; with other numbers of channels it may go another way. " * bool(found)


def try_choice(net: nn.Cell, graph: ChannelGraph, choice: Mapping[Group, np.ndarray]) -> None:
    """Try these very channels where code of the user's compares sizes, such as ``if a.shape[1] < b.shape[1]``.

    Half of every group, which :func:`try_out` removes, may take another way there. Other networks cost nothing.

    Args:
        net: the network in its original form; it stays as it is.
        graph: its channel graph.
        choice: for each group whether each channel stays.

    Raises:
        PruningError: says what goes wrong, and what to do.
    """
    removed = {group: keep for group, keep in choice.items() if not keep.all()}
    if not removed or not comparing(net):
        return
    with in_mode(ms.PYNATIVE_MODE), step("trial of the choice"):
        problem = _problem_of(net, graph, removed, inputs_for(net, graph), locate=True)
    if problem is not None:
        raise PruningError(
            f"{type(net).__name__} cannot lose the channels that were chosen, though it can lose others: {problem} "
            f"{_another_way(net)}Remove the same share of channels from the layers whose sizes are compared "
            "('prune_rate', or 'rates'), or add them to 'ignore'.") from problem


def check_trainable(net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group]) -> None:
    """Refuse a network that masks would keep from learning as it did.

    Its gradients are no numbers, it writes into what is masked, or masked weights are constants.

    Graph mode takes a weight for a constant that is masked itself, where a method of its cell calls that of a parent
    class, or asks for it with ``getattr``: Graph mode looks up both in Python, and finds the product of weight and mask
    as a number.

    Args:
        net: the network in its original form; it stays as it is.
        graph: its channel graph.
        groups: the groups that may lose channels.

    Raises:
        PruningError: names the cells and what to do.
    """
    check_slopes(net, graph, groups)
    masked = copy_network(net)
    Masks.attach(masked, graph, groups)
    check_written(masked, graph)
    check_parents(masked)
    asked = _asked_by_name(net, masked, graph)
    if asked:
        raise PruningError(
            f"{type(net).__name__} cannot be trained with masks: its code asks for {', '.join(map(repr, asked))} with "
            "getattr(), or hands self on as a whole, as in f(self, x), and Graph mode takes a masked weight that is "
            "read so for a constant. Write self.name instead, or keep the weights in a ParameterTuple, or add them to "
            "'ignore', or remove the channels without training in between: prune(net, ...).")


def _asked_by_name(net: nn.Cell, masked: nn.Cell, graph: ChannelGraph) -> list[str]:
    """The masked parameters that are constants in Graph mode, as ``getattr(self, f"w{k}")`` and ``f(self)`` make them.

    MindSpore's export of the network has them, and that of the masked one has not. Only a cell that asks so and has
    such parameters, or one that hands itself on, costs these exports; of other cells Graph mode reads them by name.
    """
    asks = any("getattr" in names_in_methods(get_cell(masked, path)) for path in masked_by_value(masked))
    if not asks and not any(hands_itself_on(cell) for _, cell in masked.cells_and_names()):
        return []
    names = constructor_names(masked)
    with nothing_left_behind():
        read, left = (export_graph(each, random_inputs(graph.inputs)).parameters for each in (net, masked))
    return sorted(names[name] for name in masked_values(masked) if name in read and name not in left)


def _run(net: nn.Cell, graph: ChannelGraph, inputs: Any) -> None:
    try:
        with evaluating(net), same_values(net), nothing_left_behind():
            for array in parts(net(*as_tensors(inputs))).values():
                np.asarray(array)
    except Exception as error:
        given = ", ".join(f"{kind} of shape {shape}" for shape, kind in graph.inputs)
        said = f"{type(net).__name__} does not run with inputs {given} (MindSpore says: {first_line(error)}). "
        if "unregistered" in str(error):
            raise PruningError(f"{said}MindSpore does not have this operator for the present device. Prune the "
                               "network on a device where it runs, or put another cell in its place, such as nn.Conv2d "
                               "for mint.nn.Conv2d.") from error
        raise PruningError(f"{said}Give 'input_shape' what the network takes: shapes for float32, "
                           "or tensors for other types, such as [(1, 3, 32, 32), Tensor([0], mindspore.int32)].") \
            from error


def _problem(net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group], inputs: Any,
             locate: bool = False) -> PruningError | None:
    """What goes wrong when half of these groups' channels go, and in which cell, if ``locate``."""
    choice = {group: _half(group.size) for group in groups if group.size > 1}
    return _problem_of(net, graph, choice, inputs, locate) if choice else None


def _problem_of(net: nn.Cell, graph: ChannelGraph, choice: Mapping[Group, np.ndarray], inputs: Any,
                locate: bool = False) -> PruningError | None:
    """What goes wrong when these channels go."""
    masked = copy_network(net)
    Masks.attach(masked, graph, choice).set(choice)
    plan = PrunePlan.from_groups(graph, choice)
    try:
        check_equal(masked, slice_network(net, plan), inputs, locate)
    except PruningError as error:
        return error
    return None


def _half(size: int) -> np.ndarray:
    """Every second channel stays, and the first one."""
    return np.arange(size) % 2 == 0


def _guilty(net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group], inputs: Any) -> list[Group]:
    """The groups that cannot lose channels, each tried by itself where the half that it is in fails.

    Args:
        net: the network.
        graph: its channel graph.
        groups: groups that fail together.
        inputs: what the networks are compared on.
    """
    if len(groups) == 1:
        return list(groups)
    middle = len(groups) // 2
    halves = [half for half in (groups[:middle], groups[middle:]) if _problem(net, graph, half, inputs) is not None]
    return [group for half in halves for group in _guilty(net, graph, half, inputs)]
