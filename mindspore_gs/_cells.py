"""Helpers for networks of MindSpore cells: paths, replacement, evaluation mode, copies."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mindspore as ms
from mindspore import nn

_OWN = frozenset(vars(nn.Cell()))  # attributes that MindSpore keeps in every cell
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@contextmanager
def evaluating(net: nn.Cell) -> Iterator[nn.Cell]:
    """Put ``net`` into evaluation mode and give every cell its own training flag back afterwards."""
    flags = [(cell, cell.training) for _, cell in net.cells_and_names()]
    net.set_train(False)
    try:
        yield net
    finally:
        net.set_train(flags[0][1])
        for cell, training in flags:
            if cell.training != training:
                cell.set_train(training)


def copy_network(net: nn.Cell) -> nn.Cell:
    """An independent copy: own cells and parameters, same names, nothing compiled."""
    twin = copy.deepcopy(net)
    forget_compilation(twin)
    return twin


def forget_compilation(net: nn.Cell) -> None:
    """Drop compiled graphs, so that Graph mode sees cells replaced after a first run."""
    for _, cell in net.cells_and_names():
        cell.compile_cache.clear()


def get_cell(net: nn.Cell, path: str) -> nn.Cell:
    """The cell at ``path`` (``"layer1.0.conv1"``; ``""`` is the network itself)."""
    cell = net
    for key in path.split(".") if path else ():
        cell = cell.name_cells()[key] if key in cell.name_cells() else getattr(cell, key)
    return cell


@contextmanager
def keeping_names(net: nn.Cell) -> Iterator[None]:
    """Cells may be moved inside; every parameter has its old name again afterwards."""
    names = [(parameter, parameter.name) for parameter in net.get_parameters()]
    try:
        yield
    finally:
        for parameter, name in names:
            parameter.name = name


def replace_cell(net: nn.Cell, path: str, cell: nn.Cell) -> None:
    """Put ``cell`` at ``path``, in containers too. Parameter names change; see :func:`keeping_names`."""
    parent_path, _, key = path.rpartition(".")
    parent = get_cell(net, parent_path)
    if isinstance(parent, (nn.SequentialCell, nn.CellList)) and key in parent.name_cells():
        parent[list(parent.name_cells()).index(key)] = cell
    else:
        setattr(parent, key, cell)


def parameters_by_name(net: nn.Cell) -> dict[str, ms.Parameter]:
    """The parameters of a network by the names that its constructor gave them."""
    prefix = name_prefix(net)
    return {parameter.name.removeprefix(prefix): parameter for parameter in net.get_parameters()}


def replace_everywhere(net: nn.Cell, replacements: Mapping[nn.Cell, nn.Cell]) -> None:
    """Put the new cells in the place of the old ones at every place that refers to them. No parameter is renamed."""
    for parent in [cell for _, cell in net.cells_and_names()]:
        for key, child in parent._cells.items():
            if child is not None and child in replacements:
                parent._cells[key] = replacements[child]
        for key, value in list(vars(parent).items()):
            if key not in _OWN:
                vars(parent)[key] = _with_replaced(value, replacements)


def _with_replaced(value: Any, replacements: Mapping[nn.Cell, nn.Cell]) -> Any:
    """The same, with the cells inside tuples, lists and dicts replaced; lists and dicts stay the objects they are."""
    if isinstance(value, nn.Cell):
        return replacements.get(value, value)
    if isinstance(value, list):
        value[:] = [_with_replaced(item, replacements) for item in value]
    elif isinstance(value, dict):
        value.update({key: _with_replaced(item, replacements) for key, item in value.items()})
    elif type(value) is tuple and any(isinstance(item, (nn.Cell, list, tuple, dict)) for item in value):
        return tuple(_with_replaced(item, replacements) for item in value)
    return value


def owners(net: nn.Cell) -> dict[str, list[tuple[str, nn.Cell, str]]]:
    """For each parameter, by the constructor's name: the cells that hold it, as (path of the cell, cell, attribute)."""
    prefix = name_prefix(net)
    found: dict[str, list[tuple[str, nn.Cell, str]]] = {}
    for path, cell in net.cells_and_names():
        for attribute, parameter in cell.parameters_and_names(expand=False):
            name = parameter.name.removeprefix(prefix)
            found.setdefault(name, []).append((path, cell, attribute.rsplit(".", 1)[-1]))
    return found


def name_prefix(net: nn.Cell) -> str:
    """What stands in front of the constructor's names: ``"net."`` where a wrapper renamed them, else ``""``."""
    found = set()
    for path, cell in net.cells_and_names():
        for attribute, parameter in cell._params.items():
            own = f"{path}.{attribute}" if path else attribute
            if parameter is not None and parameter.name.endswith("." + own):
                found.add(parameter.name[:-len(own)])
            elif parameter is not None and parameter.name == own:
                return ""
    return found.pop() if len(found) == 1 else ""


@contextmanager
def in_mode(mode: int) -> Iterator[None]:
    """Graph or PyNative mode for a while."""
    before = ms.get_context("mode")
    ms.set_context(mode=mode)
    try:
        yield
    finally:
        ms.set_context(mode=before)


def as_inputs(values: tuple, dtype: Any = ms.float32) -> tuple[ms.Tensor, ...]:
    """Tensors from tensors, arrays or shapes (a tuple of ints gives zeros of ``dtype``)."""
    return tuple(_as_input(value, dtype) for value in values)


def _as_input(value: Any, dtype: Any) -> ms.Tensor:
    if isinstance(value, ms.Tensor):
        return value
    if isinstance(value, (tuple, list)) and value and all(isinstance(n, int) for n in value):
        return ms.ops.zeros(tuple(value), dtype)
    return ms.Tensor(value)
