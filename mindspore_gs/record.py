"""The one object on a network that remembers what has been done to it."""

from dataclasses import dataclass
from typing import Any

from mindspore import nn

from mindspore_gs._precision import holder
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import ChannelGraph, Group

_ATTRIBUTE = "_gs_record"


@dataclass(frozen=True)
class Record:
    """What must be known of the original network later on. Immutable, and the same object in every copy of a network.

    Attributes:
        graph: its channel graph.
        residual: the policy for residual streams.
        groups: the groups that may lose channels.
        masks: where the masks are (:class:`~mindspore_gs.masks.masks.Site`), once there are any.
    """

    graph: ChannelGraph
    residual: str
    groups: tuple[Group, ...]
    masks: tuple[Any, ...] = ()

    def __deepcopy__(self, memo: dict) -> "Record":
        return self


def record_of(net: nn.Cell) -> Record:
    """The record that a pruner left on a network.

    Raises:
        PruningError: there is none.
    """
    record = vars(pruned_network(net)).get(_ATTRIBUTE)
    if record is None:
        where = _where_begun(net)
        if where is not None:
            raise PruningError(f"{type(net).__name__} {where}; give that one.")
        raise PruningError(f"{type(net).__name__} has no knockoff or masked layers; call apply() of "
                           "PrunerKfCompressAlgo or ChannelPruner on the network first.")
    return record


def refuse_begun(owner: str, net: nn.Cell, error: type[PruningError] = PruningError) -> None:
    """Refuse a network in which a part has knockoffs or masks, or that is a part of such a network.

    Args:
        owner: who refuses it.
        net: the network; whether it has a record itself is not asked.
        error: what is raised.

    Raises:
        PruningError: there is such a part, or the network is one.
    """
    where = None if has_record(net) else _where_begun(net)
    if where is not None:
        raise error(f"{owner}: {type(net).__name__} {where}. Finish with that one first: call convert() of its pruner, "
                    "and put what it returns in its place.")


def _where_begun(net: nn.Cell) -> str | None:
    """Where a network without a record has knockoffs or masks all the same; None where it has none."""
    for path, cell in net.cells_and_names():
        if _ATTRIBUTE in vars(cell):
            return f"holds {path!r}, a part that has knockoffs or masks"
        if "mask_times" in vars(cell) or "kfscale" in vars(cell)["_params"]:
            return "is part of a network that has knockoffs or masks"
    return None


def pruned_network(net: nn.Cell) -> nn.Cell:
    """The network that has the record, where mixed precision has put a cell around it; else the given one."""
    return holder(net, _ATTRIBUTE)


def has_record(net: nn.Cell) -> bool:
    """Whether a network is a knockoff network or a masked one."""
    return _ATTRIBUTE in vars(pruned_network(net))


def set_record(net: nn.Cell, record: Record) -> None:
    """Leave ``record`` on a network."""
    setattr(net, _ATTRIBUTE, record)


def drop_record(net: nn.Cell) -> None:
    """Take the record off again."""
    delattr(net, _ATTRIBUTE)


_FORM = "_gs_form"
FORMS = {
    "plain": "a network without its shortcuts",
    "searched": "weights that are searched by SlbQuantAwareTraining",
    "rounded": "layers that round their inputs",
}


def set_form(cell: nn.Cell, form: str) -> None:
    """Note on a cell that the package has made something of it that its constructor does not build.

    Args:
        cell: the cell.
        form: a key of :data:`FORMS`.
    """
    vars(cell)[_FORM] = form


def drop_form(cell: nn.Cell) -> None:
    """Take the note off again."""
    vars(cell).pop(_FORM)


def forms_of(net: nn.Cell) -> dict[str, str]:
    """The notes on the cells of a network, by path."""
    return {path: vars(cell)[_FORM] for path, cell in net.cells_and_names() if _FORM in vars(cell)}


def refuse_forms(owner: str, net: nn.Cell, remedies: dict[str, str]) -> None:
    """Refuse a network in which a cell has been made into something.

    Args:
        owner: who refuses it.
        net: the network.
        remedies: what to do, for each form that is refused.

    Raises:
        PruningError: there is such a cell.
    """
    for path, form in forms_of(net).items():
        if form in remedies:
            where = f" ({path!r})" if path else ""
            raise PruningError(f"{owner}: {type(net).__name__} has {FORMS[form]}{where}; {remedies[form]}")
