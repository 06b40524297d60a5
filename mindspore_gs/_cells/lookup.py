"""Find cells and parameters of a network, and put it into evaluation mode for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from types import MethodType, SimpleNamespace
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells.code import names_in_methods
from mindspore_gs._turns import whole_process

LARGEST = 2 ** 31  # numbers in an input: MindSpore fails later, in other calls, where memory does not suffice
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)  # with use_batch_statistics; norms.py knows every kind
BOOK_KEEPING = frozenset({"_cells", "_params", "_buffers", "_params_list", "_primitives"})

_PLAIN = (str, int, float, type(None))  # most of what attributes hold
_CALLS, _CALLS_OF_A_CELL = 1000, 10


@contextmanager
def keeping_names(net: nn.Cell) -> Iterator[None]:
    """Cells may be moved or run inside; every parameter has its old name again afterwards."""
    names = [(parameter, parameter.name) for parameter in net.get_parameters()]
    try:
        yield
    finally:
        for parameter, name in names:
            parameter.name = name


@contextmanager
def evaluating(net: nn.Cell) -> Iterator[nn.Cell]:
    """Put ``net`` into evaluation mode; afterwards every cell has its training flag, every parameter its name again.

    In PyNative mode code such as ``for layer in self.layers[:-1]`` makes a new ``CellList`` at each run. It calls the
    parameters in it ``0.weight`` and so on: two lists, and a checkpoint has half of the parameters.

    The network may be compiled inside, however many layers it has. One thread at a time does so.
    """
    with whole_process, keeping_names(net):
        flags = [(cell, cell.training) for _, cell in net.cells_and_names()]
        net.set_train(False)
        try:
            with _deep_enough(len(flags)):
                yield net
        finally:
            net.set_train(flags[0][1])
            for cell, training in flags:
                if cell.training != training:
                    cell.set_train(training)


def switched(net: nn.Cell, training: bool = False) -> nn.Cell:
    """The network itself, in this mode; a ``set_train`` of the user's own may return nothing."""
    net.set_train(training)
    return net


@contextmanager
def _deep_enough(cells: int) -> Iterator[None]:
    """MindSpore stops at 1,000 calls within calls, and a loop over layers makes some for each of them."""
    before = ms.get_context("max_call_depth")
    wanted = max(before, _CALLS + _CALLS_OF_A_CELL * cells)
    ms.set_recursion_limit(wanted)
    try:
        yield
    finally:
        ms.set_recursion_limit(before)


@contextmanager
def in_mode(mode: int) -> Iterator[None]:
    """Graph or PyNative mode for a while, in one thread at a time."""
    with whole_process:
        before = ms.get_context("mode")
        ms.set_context(mode=mode)
        try:
            yield
        finally:
            ms.set_context(mode=before)


def get_cell(net: nn.Cell, path: str) -> nn.Cell:
    """The cell at ``path`` (``"layer1.0.conv1"``; ``""`` is the network itself).

    A path goes through child cells under any of their names, and through tuples, lists and dicts of cells.
    """
    found: Any = net
    for key in path.split(".") if path else ():
        if isinstance(found, (tuple, list)):
            found = found[int(key)]
        elif isinstance(found, dict):
            found = found[key]
        else:
            children = found.__dict__["_cells"]
            found = children[key] if key in children else getattr(found, key)
    return found


def every_cell(net: nn.Cell) -> list[nn.Cell]:
    """All cells of a network, each once: children, and those that attributes hold in tuples, lists and dicts.

    ``Cell.cells_and_names`` knows children only.
    """
    found: dict[int, nn.Cell] = {}
    waiting = [net]
    while waiting:
        cell = waiting.pop()
        if id(cell) not in found:
            found[id(cell)] = cell
            waiting += reversed(list(_cells_below(cell)))
    return list(found.values())


def _cells_below(cell: nn.Cell) -> Iterator[nn.Cell]:
    yield from (child for child in cell.__dict__["_cells"].values() if child is not None)
    for name, value in vars(cell).items():
        if name not in BOOK_KEEPING:
            yield from _cells_in(value, {id(cell)})


def _cells_in(value: Any, seen: set[int]) -> Iterator[nn.Cell]:
    """The cells in one attribute; ``seen`` holds the ids of the containers on the way, which may hold themselves."""
    if isinstance(value, nn.Cell):
        yield value
        return
    parts = held_by(value)
    if parts and id(value) not in seen:
        seen.add(id(value))
        for part in parts:
            yield from _cells_in(part, seen)


def held_by(value: Any) -> list[Any]:
    """What a container or a callable holds where a cell may be: items, values, the object of a method."""
    if isinstance(value, _PLAIN):
        return []
    if isinstance(value, (tuple, list, set)):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, MethodType):
        return [value.__self__]
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if is_namespace(value):
        return list(vars(value).values())
    return []


def is_namespace(value: Any) -> bool:
    """Whether an object is a plain holder of attributes: ``SimpleNamespace`` or of a class under ``@jit_class``."""
    return isinstance(value, SimpleNamespace) or (hasattr(type(value), "__ms_class__") and hasattr(value, "__dict__"))


def owners(net: nn.Cell) -> dict[str, list[tuple[str, nn.Cell, str]]]:
    """For each parameter name: the cells that hold it, as (path of the cell, cell, attribute).

    A tuple of other cells' parameters, which nothing in the network reads (all weights for an optimizer, say), does not
    count: MindSpore registers its members under names with dots.
    """
    found: dict[str, list[tuple[str, nn.Cell, str]]] = {}
    unread: dict[str, list[tuple[str, nn.Cell, str]]] = {}
    for path, cell in net.cells_and_names():
        for attribute, parameter in cell.parameters_and_names(expand=False):
            kind = unread if "." in attribute and not _in_a_tuple_that_is_read(cell, parameter) else found
            kind.setdefault(parameter.name, []).append((path, cell, attribute))
    return unread | found


def _in_a_tuple_that_is_read(cell: nn.Cell, parameter: ms.Parameter) -> bool:
    tuples = {name for name, value in vars(cell).items()
              if isinstance(value, tuple) and any(item is parameter for item in value)}
    return bool(tuples & names_in_methods(cell))


def as_inputs(values: tuple, dtype: Any = ms.float32) -> tuple[ms.Tensor, ...]:
    """Tensors from tensors, arrays or shapes (a tuple of ints gives zeros of ``dtype``)."""
    return tuple(_as_input(value, dtype) for value in values)


def _as_input(value: Any, dtype: Any) -> ms.Tensor:
    if isinstance(value, ms.Tensor):
        if any(size < 0 for size in value.shape):
            raise ValueError("a network is traced with inputs of fixed sizes, but got a tensor of shape "
                             f"{value.shape}. Give the shape of one sample, such as (1, 3, 32, 32); export_mindir() "
                             "leaves the batch open where it is asked to.")
        return value
    if isinstance(value, (tuple, list)) and value and all(isinstance(n, int) for n in value):
        if isinstance(value[0], bool) or any(n < 1 for n in value) or prod(value) > LARGEST:
            raise ValueError("the sizes of an input's shape must be positive, such as (1, 3, 32, 32), and no more than "
                             f"{LARGEST:,} numbers in all, but got {value}.")
        return ms.ops.zeros(tuple(value), dtype)
    nested = isinstance(value, (tuple, list)) and any(isinstance(item, ms.Tensor) for item in value)
    if nested or isinstance(value, dict):
        raise TypeError(f"an input of the network must be a tensor, an array or a shape, but got a "
                        f"{type(value).__name__} of tensors, which MindSpore cannot export. Give the network's "
                        "construct() one argument for each tensor, or put the network into a cell that does.")
    if not _is_numbers(value):
        raise TypeError("an input of the network must be a tensor, an array or a shape such as (1, 3, 32, 32), but got "
                        f"{value!r:.100}.")
    return ms.Tensor(value)


def _is_numbers(value: Any) -> bool:
    """Whether something that is no tensor holds numbers and nothing else."""
    try:
        found = np.asarray(value)
    except ValueError:  # rows of different lengths
        return False
    return isinstance(value, (np.ndarray, np.generic, list, tuple, int, float)) and (
        found.size > 0 and found.dtype.kind in "biufc")
