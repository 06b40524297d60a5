"""The plan that a network carries: its own, and those of parts that have been made small by themselves."""

from dataclasses import replace

from mindspore import nn

from mindspore_gs._cells import every_cell, parameters_by_name
from mindspore_gs.errors import PlanError
from mindspore_gs.graph.restores import places_name, restore_path
from mindspore_gs.slim.plan import PrunePlan

_ATTRIBUTE = "prune_plan"


def carried_plan(net: nn.Cell) -> PrunePlan | None:
    """One plan that leads from the original network to this one; None where nothing was removed.

    A part such as a backbone may have been made small by itself and put into the network. It carries a plan under its
    own names then, which follows that of the network under the names of the network.

    Args:
        net: the network.

    Returns:
        The plan. Its inputs are the network's; of a part alone they are not known.

    Raises:
        PlanError: parameters that a plan slices are not there any more.
    """
    found = _own_plan(net)
    for path, cell in net.cells_and_names():
        plan = _own_plan(cell) if path else None
        if plan is not None:
            part = replace(_renamed(plan, net, path, cell), inputs=found.inputs if found else ())
            found = part if found is None else found.then(part)
    return found


def network_with_plan(net: nn.Cell) -> nn.Cell:
    """The network itself, or the one inside that carries a plan, where what is around it adds no parameter.

    A cell with the loss is such a thing, and what mixed precision puts around a network.
    """
    own = {id(parameter) for parameter in net.get_parameters()}
    return next((cell for _, cell in net.cells_and_names() if _own_plan(cell) is not None
                 and {id(parameter) for parameter in cell.get_parameters()} == own), net)


def set_plan(net: nn.Cell, plan: PrunePlan) -> None:
    """Leave the whole plan with the network; its parts carry none any more."""
    for cell in every_cell(net):
        if _own_plan(cell) is not None:
            del vars(cell)[_ATTRIBUTE]
    vars(net)[_ATTRIBUTE] = plan


def _own_plan(cell: nn.Cell) -> PrunePlan | None:
    plan = vars(cell).get(_ATTRIBUTE)
    return plan if isinstance(plan, PrunePlan) else None


def _renamed(plan: PrunePlan, net: nn.Cell, path: str, part: nn.Cell) -> PrunePlan:
    """The plan of a part, under the names that the network has for its parameters and cells."""
    whole = {id(parameter): name for name, parameter in parameters_by_name(net).items()}
    names = {name: whole[id(parameter)] for name, parameter in parameters_by_name(part).items()}
    for keep in plan.keeps:
        inner = restore_path(keep.parameter)
        if inner is not None:
            names[keep.parameter] = places_name(_below(path, inner))
        if keep.parameter not in names:
            raise PlanError(f"{path!r} carries a plan that slices {keep.parameter!r}, which it does not have any more; "
                            "put in what convert() or slim() returned, as it is.")
    keeps = (replace(keep, parameter=names[keep.parameter]) for keep in plan.keeps)
    return PrunePlan(
        keeps=tuple(sorted(keeps, key=lambda keep: (keep.parameter, keep.axis))),
        restores=tuple(replace(restore, cell=_below(path, restore.cell)) for restore in plan.restores),
        grouped={names[weight]: groups for weight, groups in plan.grouped.items()},
        zeros=tuple((names[name], axis) for name, axis in plan.zeros),
        attributes=tuple((_below(path, cell), name, value) for cell, name, value in plan.attributes))


def _below(path: str, inner: str) -> str:
    return f"{path}.{inner}" if inner else path
