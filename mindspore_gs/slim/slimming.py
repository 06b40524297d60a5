"""Carry out a plan: a new network that is really small."""

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import (
    copy_network,
    get_cell,
    keeping_names,
    owners_by_name,
    parameters_by_name,
    remember_names,
    replace_cell,
    replace_everywhere,
)
from mindspore_gs._config import boolean
from mindspore_gs._finite import check_finite
from mindspore_gs._resize import resize_cell, with_values
from mindspore_gs.errors import PlanError
from mindspore_gs.graph.restores import places_name, restore_path
from mindspore_gs.slim.alongside import Alongside
from mindspore_gs.slim.carried import carried_plan, set_plan
from mindspore_gs.slim.cells import RestoreChannels
from mindspore_gs.slim.check import check_equal
from mindspore_gs.slim.fits import check_against
from mindspore_gs.slim.plan import Keep, PrunePlan

_REMEDY = "make the plan from this network."


def slim(net: nn.Cell, plan: PrunePlan, check: bool = True) -> nn.Cell:
    """Remove channels physically.

    The slim network consists of the same cells with fewer channels, and of one
    :class:`~mindspore_gs.slim.RestoreChannels` for each output that a plan puts back to full width. Parameter
    names, ``requires_grad``, types, strides, dilation, padding, groups, biases, eps and momentum stay.

    Args:
        net: the network that the plan was made for; it stays as it is.
        plan: what stays.
        check: compare the result with the masked network, :math:`\\max|y_{slim}-y_{masked}| \\le
            10^{-5} \\max(1, \\max|y_{masked}|)` in float32.

    Returns:
        A new network.

    Raises:
        TypeError: ``net`` is not a Cell, ``plan`` is not a PrunePlan, or ``check`` is not True or False.
        PlanError: the plan belongs to another network.
        PruningError: a number of the network is not finite.
        ParityError: the slim network computes something else.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs.graph import trace
        >>> from mindspore_gs.slim import PrunePlan, slim
        >>> net = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> graph = trace(net, (1, 3, 16, 16))
        >>> plan = PrunePlan.from_groups(graph, {graph.groups()[0]: [True] * 6 + [False] * 2})
        >>> slim(net, plan)[0].weight.shape
        (6, 3, 3, 3)
    """
    boolean("slim", "check", check)
    check_finite(_checked(net, plan), "slim()")
    small = slice_network(net, plan)
    if check and plan.inputs:
        check_equal(mask(net, plan), small, plan.inputs)
    return small


def mask(net: nn.Cell, plan: PrunePlan) -> nn.Cell:
    """A copy of ``net`` at full size in which every channel that the plan removes is zero.

    The channels are silenced at their source: weight and bias of the layer that makes them, or gamma and beta of
    the BatchNorm behind it. The self-check of :func:`slim` compares with this network.
    """
    twin = copy_network(_checked(net, plan))
    owned = owners_by_name(twin)
    for keep in plan.keeps:
        if (keep.parameter, keep.axis) in plan.zeros:
            _, cell, attribute = owned[keep.parameter][0]
            parameter = getattr(cell, attribute)
            values = parameter.asnumpy().copy()
            gone = np.setdiff1d(np.arange(keep.size), keep.indices)
            values[(slice(None),) * keep.axis + (gone,)] = 0
            parameter.set_data(ms.Tensor(values, parameter.dtype))
    return twin


def _checked(net: nn.Cell, plan: PrunePlan) -> nn.Cell:
    if not isinstance(net, nn.Cell):
        raise TypeError(f"slim() takes a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    if not isinstance(plan, PrunePlan):
        raise TypeError(f"slim() takes a PrunePlan, but got {type(plan).__name__!r}.")
    shapes = {name: tuple(p.shape) for name, p in parameters_by_name(net).items()} | _places(net)
    for keep in plan.keeps:
        _check_keep(keep, shapes.get(keep.parameter))
    paths = {path for path, _ in net.cells_and_names()}
    strangers = [r.cell for r in plan.restores if r.cell not in paths] + [w for w in plan.grouped if w not in shapes]
    if strangers:
        raise PlanError(f"the plan names {strangers[0]!r}, which the network does not have; {_REMEDY}")
    check_against(net, plan)
    return net


def _check_keep(keep: Keep, shape: tuple[int, ...] | None) -> None:
    if shape is None:
        raise PlanError(f"the plan slices {keep.parameter!r}, which the network does not have; {_REMEDY}")
    if not 0 <= keep.axis < len(shape) or shape[keep.axis] != keep.size:
        raise PlanError(f"the plan expects {keep.size} channels on axis {keep.axis} of {keep.parameter!r}, "
                        f"but its shape is {shape}; {_REMEDY}")
    indices = np.asarray(keep.indices)
    if not len(indices) or indices[0] < 0 or indices[-1] >= keep.size or (np.diff(indices) <= 0).any():
        raise PlanError(f"the plan keeps {list(keep.indices)[:8]} of {keep.parameter!r}; it must keep at least one "
                        f"channel, ascending, from 0 to {keep.size - 1}.")


def slice_network(net: nn.Cell, plan: PrunePlan) -> nn.Cell:
    """The slim copy, not compared with anything. It carries its plan for the original network, as ``prune_plan``."""
    small = copy_network(_checked(net, plan), _sliced_parameters(net, plan))
    remember_names(small)
    owned = owners_by_name(small)
    touched: dict[int, tuple[nn.Cell, str]] = {}
    for keep in plan.keeps:
        path = restore_path(keep.parameter)
        if path is not None:
            _slice_places(small, path, keep)
            continue
        for path, cell, attribute in owned[keep.parameter]:
            touched[id(cell)] = (cell, path)
            _slice_alongside(cell, attribute, keep)
    groups = {id(cell): count for weight, count in plan.grouped.items() for _, cell, _ in owned[weight]}
    for key, (cell, _) in touched.items():
        resize_cell(cell, groups.get(key))
    for path, attribute, value in plan.attributes:
        setattr(get_cell(small, path), attribute, value)
    with keeping_names(small):
        writers = {get_cell(small, r.cell): RestoreChannels(r.size, r.indices, r.axis) for r in plan.restores}
        replace_everywhere(small, {cell: nn.SequentialCell([cell, behind]) for cell, behind in writers.items()})
    earlier = carried_plan(net)
    set_plan(small, plan if earlier is None else earlier.then(plan))
    return small


def _places(net: nn.Cell) -> dict[str, tuple[int, ...]]:
    """The lists of places in a network that is slim already, as what a plan can slice."""
    return {places_name(path): (len(cell.indices),) for path, cell in net.cells_and_names()
            if isinstance(cell, RestoreChannels)}


def _slice_places(net: nn.Cell, path: str, keep: Keep) -> None:
    old = get_cell(net, path)
    replace_cell(net, path, RestoreChannels(old.size, tuple(old.indices[k] for k in keep.indices), old.axis))


def _slice_alongside(cell: nn.Cell, attribute: str, keep: Keep) -> None:
    for name, value in vars(cell).items():
        if isinstance(value, Alongside) and attribute == "weight":
            vars(cell)[name] = value.kept(keep.axis, keep.indices)


def _sliced_parameters(net: nn.Cell, plan: PrunePlan) -> dict[int, ms.Parameter]:
    """New parameters for those that the plan slices, by the ``id`` of the old one."""
    owned = owners_by_name(net)
    found: dict[int, tuple[ms.Parameter, np.ndarray]] = {}
    for keep in plan.keeps:
        if restore_path(keep.parameter) is None:
            _, cell, attribute = owned[keep.parameter][0]
            parameter = getattr(cell, attribute)
            _, values = found.get(id(parameter)) or (parameter, parameter.asnumpy())
            found[id(parameter)] = parameter, np.take(values, keep.indices, axis=keep.axis)
    return {key: with_values(parameter, values) for key, (parameter, values) in found.items()}
