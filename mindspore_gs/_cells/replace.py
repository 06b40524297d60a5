"""Put cells in the place of others, by identity: wherever the old object is, the new one is afterwards."""

from collections.abc import Mapping
from functools import partial
from types import MethodType
from typing import Any

from mindspore import nn

from mindspore_gs._cells.lookup import BOOK_KEEPING, every_cell, get_cell, is_namespace


def replace_everywhere(net: nn.Cell, replacements: Mapping[nn.Cell, nn.Cell]) -> None:
    """Put each replacement at every place of ``net`` where the old object is.

    Places are the children of cells under all their keys (SequentialCell, CellList, CellDict, attributes) and the
    tuples, lists, sets, dicts, bound methods and plain holders that attributes refer to, however deep. The keys of
    the children and the names of all parameters stay. A replacement may hold the old object: its inside is left alone.

    Args:
        net: the network, changed in place.
        replacements: from the cells to replace to those that take their places. All are carried out at once, so
            that two cells may change places.

    Raises:
        ValueError: a cell to replace is not in the network, or is the network itself.
    """
    cells = every_cell(net)
    _check_presence(net, cells, replacements)
    exchange = _Exchange({id(old): new for old, new in replacements.items()})
    for cell in cells:
        children = cell.__dict__["_cells"]
        for key, child in children.items():
            children[key] = exchange(child)
        for name, value in list(vars(cell).items()):
            if name not in BOOK_KEEPING:
                new = exchange(value)
                if new is not value:
                    object.__setattr__(cell, name, new)


def _check_presence(net: nn.Cell, cells: list[nn.Cell], replacements: Mapping[nn.Cell, nn.Cell]) -> None:
    present = {id(cell) for cell in cells}
    for old in replacements:
        if old is net or id(old) not in present:
            where = "the network itself" if old is net else "not in the network"
            raise ValueError(f"a {type(old).__name__} cannot be replaced: it is {where}.")


class _Exchange:
    """The value with each cell exchanged. Lists and dicts are changed in place, so that all who share them see it."""

    def __init__(self, new: Mapping[int, nn.Cell]):
        self.new = new
        self.done: dict[int, Any] = {}  # containers are kept alive here, so that no id occurs twice

    def __call__(self, value: Any) -> Any:
        if isinstance(value, nn.Cell):
            return self.new.get(id(value), value)
        if isinstance(value, (list, dict, set)) or is_namespace(value):
            if id(value) not in self.done:
                self.done[id(value)] = value
                self._inside(value)
            return value
        if isinstance(value, tuple):
            return self._tuple(value)
        if isinstance(value, MethodType):
            new = self(value.__self__)
            return value if new is value.__self__ else getattr(new, value.__name__)
        if isinstance(value, partial):
            parts = (value.func, value.args, value.keywords)
            func, args, keywords = self(value.func), self(value.args), self(value.keywords)
            return value if (func, args) == parts[:2] else partial(func, *args, **keywords)
        return value

    def _inside(self, value: Any) -> None:
        if isinstance(value, set):
            items = [self(item) for item in value]
            value.clear()
            value.update(items)
            return
        holder = value if isinstance(value, (list, dict)) else vars(value)
        for key, item in list(enumerate(holder) if isinstance(holder, list) else holder.items()):
            new = self(item)
            if new is not item:
                holder[key] = new

    def _tuple(self, value: tuple) -> tuple:
        items = [self(item) for item in value]
        if all(new is old for new, old in zip(items, value)):
            return value
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def replace_cell(net: nn.Cell, path: str, cell: nn.Cell) -> None:
    """Put ``cell`` in the place of the cell at ``path``, and wherever else that object is.

    Args:
        net: the network, changed in place; parameter names stay.
        path: where the cell to replace is, as in ``cells_and_names``.
        cell: what takes its places.

    Raises:
        ValueError: ``path`` is the network itself.
    """
    replace_everywhere(net, {get_cell(net, path): cell})
