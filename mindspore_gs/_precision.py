"""Mixed precision as MindSpore switches it on: remember how a network stands, and go back to it.

``Model(amp_level=...)`` and ``amp.auto_mixed_precision`` change the network in place: flags on cells, casts around
BatchNorms, a ``construct`` on the network. The only file that knows how.
"""

import logging
from dataclasses import dataclass
from typing import Any

from mindspore import nn
from mindspore._c_expression import Cell_, MixedPrecisionType

from mindspore_gs._cells import every_cell, get_cell, replace_everywhere

_log = logging.getLogger("mindspore_gs")

FLAGS = ("fp16", "bf16", "fp32")
_ON_CELL = (*FLAGS, "mixed_precision_type")
_ON_NETWORK = ("construct", "amp_strategy", "_amp_level")
_CASTS = ("_OutputTo16", "_OutputTo32")


@dataclass(eq=False)
class Precision:
    """How a network stands.

    Attributes:
        cells: what is set on each cell.
        network: what is set on the network itself.
        casts: the cells that cast an output.
    """

    cells: list[tuple[nn.Cell, dict[str, Any]]]
    network: dict[str, Any]
    casts: list[nn.Cell]


class OwnPrecision:
    """Mixed into the classes of cells whose types follow what comes in, whatever mixed precision sets."""

    def add_flags(self, **flags: Any) -> Any:
        """Take the flags that are not about precision."""
        return super().add_flags(**{name: value for name, value in flags.items() if name not in FLAGS})  # type: ignore


def precision_of(net: nn.Cell) -> Precision:
    """How the network stands."""
    return Precision([(cell, _settings(cell)) for cell in every_cell(net)],
                     {name: vars(net)[name] for name in _ON_NETWORK if name in vars(net)}, casts_in(net))


def restore_precision(net: nn.Cell, before: Precision) -> None:
    """Go back to how it stood; cells that came since keep theirs."""
    known = {id(cast) for cast in before.casts}
    casts = {id(cast): cast for cast in casts_in(net) if id(cast) not in known}
    replace_everywhere(net, {cast: _inside(cast, casts) for cast in casts.values()})
    for cell in every_cell(net) if casts else ():
        if isinstance(cell, nn.SequentialCell):  # MindSpore makes its list anew, without cells that occur again
            cell.cell_list = list(cell.__dict__["_cells"].values())
    for cell, settings in before.cells:
        for name in _ON_CELL:
            _set(cell, name, settings)
        _set_flags(cell, settings)
    for name in _ON_NETWORK:
        _set(net, name, before.network)


def precision_by_path(net: nn.Cell) -> dict[str, dict[str, Any]] | None:
    """How each cell of a network stands, for :func:`restore_by_path`; None where mixed precision is on already."""
    return None if casts_in(net) else {path: _settings(cell) for path, cell in net.cells_and_names()}


def restore_by_path(copy: nn.Cell, before: dict[str, dict[str, Any]] | None) -> None:
    """Let a copy of a network stand as the network once did; nothing changes where that is not known."""
    if before is not None:
        cells = [(cell_inside(copy, path), settings) for path, settings in before.items()]
        restore_precision(copy, Precision(cells, {}, []))


def half_precision(net: nn.Cell) -> list[str]:
    """The half-precision types that mixed precision lets cells of a network compute in."""
    flags = {"fp16": "Float16", "bf16": "BFloat16"}
    return [kind for flag, kind in flags.items()
            if any(getattr(cell, flag, False) for _, cell in net.cells_and_names())]


def say_what_no_file_holds(net: nn.Cell, reader: str) -> None:
    """Warn that a network which is being saved is under mixed precision, and that the one that is read will not be.

    Args:
        net: the network.
        reader: the function that reads the file, such as ``"load_pruned()"``.
    """
    if half_precision(net) or "amp_strategy" in vars(net):
        _log.warning("%s computes in half precision, because mixed precision is on. A file holds its numbers and not "
                     "that: the network that %s returns computes in float32, and so a little differently, until it is "
                     "given to a Model with the same 'amp_level', or to_float() is called.", type(net).__name__, reader)


def casts_in(net: nn.Cell) -> list[nn.Cell]:
    """The cells that mixed precision has put around others to cast what they return."""
    return [cell for cell in every_cell(net) if _is_cast(cell)]


def cell_inside(net: nn.Cell, path: str) -> nn.Cell:
    """The cell at a path that was written down before mixed precision put cells around others."""
    found = net
    for key in path.split(".") if path else ():
        while _is_cast(found) and key not in vars(found)["_cells"]:  # a path names the casts that were there before
            found = _cast_by(found)
        found = get_cell(found, key)
    while _is_cast(found):
        found = _cast_by(found)
    return found


def path_without_casts(net: nn.Cell, path: str) -> str:
    """The path of a cell as it is without the cells that mixed precision has put around others."""
    found, keys = net, []
    for key in path.split(".") if path else ():
        keys += [] if _is_cast(found) else [key]
        found = get_cell(found, key)
    return ".".join(keys)


def _is_cast(cell: nn.Cell) -> bool:
    """MindSpore's cells are meant, and those of mindcv, mindocr, mindyolo and others that have a copy of them."""
    return type(cell).__name__ in _CASTS and len(cell.__dict__["_cells"]) == 1


def _cast_by(cast: nn.Cell) -> nn.Cell:
    return next(iter(cast.__dict__["_cells"].values()))


def holder(net: nn.Cell, attribute: str) -> nn.Cell:
    """The network with this attribute: the given one, or that inside of what ``amp.auto_mixed_precision`` returned.

    A network without it is given back as it is.

    Raises:
        TypeError: ``net`` is not a Cell.
    """
    if not isinstance(net, nn.Cell):
        raise TypeError(f"a network must be a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    inner = net
    while attribute not in vars(inner):
        if not _is_cast(inner):
            return net
        inner = _cast_by(inner)
    return inner


def _inside(cast: nn.Cell, casts: dict[int, nn.Cell]) -> nn.Cell:
    inner = _cast_by(cast)
    while id(inner) in casts:
        inner = _cast_by(inner)
    return inner


def _settings(cell: nn.Cell) -> dict[str, Any]:
    return {name: vars(cell)[name] for name in _ON_CELL if name in vars(cell)}


def _set_flags(cell: nn.Cell, settings: dict[str, Any]) -> None:
    """The same for what Graph mode reads, and for what PyNative mode does."""
    flags = vars(cell).get("_func_graph_flags", {})
    for name in FLAGS:
        flags.pop(name, None)
    flags.update({name: value for name, value in settings.items() if name in FLAGS})
    kind = settings["mixed_precision_type"]
    Cell_.set_mixed_precision_type(cell, MixedPrecisionType.NOTSET if kind is None else kind)


def _set(cell: nn.Cell, name: str, settings: dict[str, Any]) -> None:
    if name in settings:
        vars(cell)[name] = settings[name]
    else:
        vars(cell).pop(name, None)
