"""Does a plan fit the cells of a network? What it does besides slicing parameters is compared with what is there."""

from numbers import Integral

from mindspore import nn

from mindspore_gs._cells import get_cell, owners_by_name, parameters_by_name
from mindspore_gs.errors import PlanError
from mindspore_gs.graph.restores import restore_path
from mindspore_gs.norms import batch_norms
from mindspore_gs.slim.plan import PrunePlan

_REMEDY = "make the plan from this network."


def check_against(net: nn.Cell, plan: PrunePlan) -> None:
    """Refuse a plan whose parts contradict each other in this network.

    Raises:
        PlanError: a BatchNorm would keep other channels of one vector than of another, channels are put back behind a
            cell that does not make them, a convolution's groups do not divide its channels, or an attribute that is to
            be set holds no number.
    """
    kept = {(keep.parameter, keep.axis): keep.indices for keep in plan.keeps}
    held: dict[str, list[str]] = {}
    for name, places in owners_by_name(net).items():
        for path, _, _ in places:
            held.setdefault(path, []).append(name)
    _check_norms(net, held, kept)
    for restore in plan.restores:
        own = [indices for (name, _), indices in kept.items() if name in held.get(restore.cell, ())]
        if own and restore.indices not in own:
            raise PlanError(f"the plan puts channels back behind {restore.cell!r} that the cell does not make; "
                            f"{_REMEDY}")
    for weight, groups in plan.grouped.items():
        rows = kept.get((weight, 0), ())
        if groups < 1 or len(rows) % groups:
            raise PlanError(f"the plan gives {weight!r} {groups} groups for {len(rows)} channels, which do not divide; "
                            f"{_REMEDY}")
    for path, attribute, _ in plan.attributes:
        _check_attribute(net, path, attribute)


def _check_norms(net: nn.Cell, held: dict[str, list[str]], kept: dict[tuple[str, int], tuple[int, ...]]) -> None:
    """All vectors of a BatchNorm keep the same channels."""
    for path, norm in batch_norms(net).items():
        inner = path if norm.cell is norm.inner else f"{path}.bn2d"
        choices = {name: kept.get((name, 0)) for name in held.get(inner, ())}
        if len(set(choices.values())) > 1:
            raise PlanError(f"the plan keeps different channels of {' and '.join(sorted(choices)[:2])}; {_REMEDY}")


def _check_attribute(net: nn.Cell, path: str, attribute: str) -> None:
    try:
        present = vars(get_cell(net, path)).get(attribute)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise PlanError(f"the plan sets {attribute!r} of {path!r}, which the network does not have; "
                        f"{_REMEDY}") from error
    if not isinstance(present, Integral) or isinstance(present, bool):
        raise PlanError(f"the plan sets {attribute!r} of {path!r}, which holds no number; {_REMEDY}")


def check_made_by(small: nn.Cell, plan: PrunePlan) -> None:
    """Refuse a slim network that was not made by this plan.

    Args:
        small: the slim network.
        plan: what should have made it.

    Raises:
        PlanError: a parameter is missing or has another length than the plan leaves.
    """
    shapes = {name: tuple(p.shape) for name, p in parameters_by_name(small).items()}
    for keep in plan.keeps:
        shape = shapes.get(keep.parameter)
        if restore_path(keep.parameter) is None and (shape is None or shape[keep.axis:][:1] != (len(keep.indices),)):
            found = "which it does not have" if shape is None else f"whose shape is {shape}"
            raise PlanError(f"{type(small).__name__} was not made by this plan, which leaves {len(keep.indices)} "
                            f"positions on axis {keep.axis} of {keep.parameter!r}, {found}.")
