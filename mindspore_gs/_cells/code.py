"""Which names occur in the code of a user's cells, and what it compares."""

import dis
import inspect
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import takewhile
from types import CodeType, FunctionType
from typing import Any

import mindspore as ms
from mindspore import nn

_SIZES = frozenset({"shape", "size", "dim", "channels", "in_channels", "out_channels", "num_features"})
_CHOICES = frozenset({"min", "max"})
_COMPARISONS = frozenset({"COMPARE_OP", "CONTAINS_OP"})
_OF_SELF = frozenset({"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "STORE_ATTR"})
_SETTERS = frozenset({"set_data", "assign_value"})
_EVEN = frozenset({"zeros", "ones", "full", "fill", "Zeros", "Ones", "Fill", "FillV2", "new_zeros", "new_ones",
                   "new_full", "Tensor", "tensor"})
_AXES = 4
_OPERANDS = 6  # the most instructions that one comparison is away from the names in it: x.shape[1] == self.channels


def names_in(value: Any) -> frozenset[str]:
    """The names of globals and attributes in the code of a function or a property; none for anything else."""
    code = _code_of(value)
    return frozenset(code.co_names) if code is not None else frozenset()


def names_in_methods(cell: nn.Cell) -> frozenset[str]:
    """The names in the code of a cell's methods, but for ``__init__`` and what MindSpore and this package put there."""
    return frozenset().union(*map(names_in, _methods(type(cell))))


def hands_itself_on(cell: nn.Cell) -> bool:
    """Whether a method of the user's uses ``self`` as a whole, as in ``f(self, x)``, rather than an attribute of it."""
    kind: Any = type(cell)
    return bool(_hands_on_in(kind))


def _hands_on(method: Any) -> bool:
    code = _code_of(method)
    steps = list(dis.get_instructions(code)) if code is not None and code.co_argcount else []
    return any(step.opname.startswith(("LOAD_FAST", "LOAD_DEREF")) and step.argval == code.co_varnames[0]
               and following.opname not in _OF_SELF and not _for_super(steps[:k])
               for k, (step, following) in enumerate(zip(steps, steps[1:])))


def _for_super(before: list[Any]) -> bool:
    """Whether what is loaded next is the second argument of ``super(Own, self)``."""
    loads = list(takewhile(lambda step: step.opname.startswith("LOAD_"), reversed(before)))
    return any(step.argval == "super" for step in loads[1:3])


def stored_in_methods(cell: nn.Cell) -> frozenset[str]:
    """The names of attributes that a cell's methods give a value to, as in ``self.mean = 0.9 * self.mean``."""
    codes = [code for code in map(_code_of, _methods(type(cell))) if code is not None]
    return frozenset(step.argval for code in codes for step in dis.get_instructions(code)
                     if step.opname == "STORE_ATTR")


def set_in_methods(cell: nn.Cell) -> frozenset[str] | None:
    """The names of attributes whose ``set_data`` or ``assign_value`` a cell's methods call.

    As in ``self.mean.set_data(x)``. None where a method calls it of something else, such as a variable, that may be any
    attribute.
    """
    kind: Any = type(cell)
    return _set_in(kind)


def compares_sizes(cell: nn.Cell) -> bool:
    """Whether a method of the user's asks for sizes and compares something: other widths may take another way there."""
    kind: Any = type(cell)
    return bool(_compares_sizes(kind))


def compared_in_methods(cell: nn.Cell) -> frozenset[str]:
    """The names of attributes that stand right beside a ``==`` or ``!=`` in the code of a cell's methods.

    Only in methods that also ask for a shape.
    """
    kind: Any = type(cell)
    return frozenset(_compared_in(kind))


def hides_sizes(cell: nn.Cell, sizes: Collection[int]) -> bool:
    """Whether a user's cell may do something with numbers of channels of which MindIR shows nothing.

    Its ``construct``, or what that calls, may make a tensor of zeros or ones, or the cell holds one: Graph mode
    leaves ``zeros + x`` and ``ones * x`` out of what it compiles. Or one of ``sizes`` is in the code, or in an
    attribute that it reads: ``x.view(-1, 64, h, w)`` leaves nothing where the shape is that already.

    Args:
        cell: the cell.
        sizes: numbers of channels; those up to four, which axes and strides have too, do not count.
    """
    kind: Any = type(cell)
    names, numbers = _says(kind)
    numbers = numbers | {value for name, value in vars(cell).items() if type(value) is int and name in names}
    held = (*vars(cell).values(), *cell._buffers.values())
    return bool(names & _EVEN) or not numbers.isdisjoint(size for size in sizes if size > _AXES) \
        or any(_is_even(value) for value in held)


def _is_even(value: Any) -> bool:
    if not isinstance(value, ms.Tensor) or isinstance(value, ms.Parameter) or value.size < 2:
        return False
    values = (value.float() if value.dtype == ms.bfloat16 else value).asnumpy()
    return bool((values == values.flat[0]).all()) and values.flat[0] in (0, 1)


@lru_cache
def _says(kind: Any) -> tuple[frozenset[str], frozenset[int]]:
    """The names and the whole numbers in the code of a class's ``construct`` and of what it calls of the user's."""
    names, numbers = set[str](), set[int]()
    own: dict[str, list[Any]] = {}
    for parent in kind.__mro__:
        for name, value in vars(parent).items():
            own.setdefault(name, []).append(value)
    seen, waiting = set[int](), [*own.get("construct", ()), *own.get("__call__", ())]
    while waiting:
        method = waiting.pop()
        if id(method) in seen or _module_of(method).startswith("mindspore"):
            continue
        seen.add(id(method))
        codes = [code] if (code := _code_of(method)) is not None else []
        reads = getattr(inspect.unwrap(method), "__globals__", {}) if codes and callable(method) else {}
        for code in codes:
            names.update(code.co_names)
            numbers.update(reads[name] for name in code.co_names if type(reads.get(name)) is int)
            waiting += [reads[name] for name in code.co_names if isinstance(reads.get(name), FunctionType)]
            waiting += [each for name in code.co_names if name != "__init__" for each in own.get(name, ())]
            for value in code.co_consts:
                numbers.update(n for n in (value if isinstance(value, tuple) else (value,)) if type(n) is int)
                codes += [value] if isinstance(value, CodeType) else []
    return frozenset(names), frozenset(numbers)


@lru_cache
def _hands_on_in(kind: Any) -> bool:
    return any(map(_hands_on, _methods(kind)))


@lru_cache
def _set_in(kind: Any) -> frozenset[str] | None:
    found: set[str] = set()
    for method in _methods(kind):
        steps = list(dis.get_instructions(code)) if (code := _code_of(method)) is not None else []
        for before, step in zip(steps, steps[1:]):
            if step.opname in _OF_SELF and step.argval in _SETTERS:
                if before.opname != "LOAD_ATTR":
                    return None
                found.add(before.argval)
    return frozenset(found)


@lru_cache
def _compares_sizes(kind: Any) -> bool:
    return any(names_in(method) & _SIZES and (names_in(method) & _CHOICES or _compares(method))
               for method in _methods(kind))


@lru_cache
def _compared_in(kind: Any) -> frozenset[str]:
    return frozenset(name for method in _methods(kind) if "shape" in names_in(method) for name in _compared(method))


def methods_without_self(cell: nn.Cell) -> list[str]:
    """The user's methods whose first parameter has another name than ``self``, by which alone Graph mode knows a cell.

    Each as ``"Net.construct(this)"``.
    """
    found = [method for method in _methods(type(cell)) if isinstance(method, FunctionType)]
    firsts = [(method, inspect.unwrap(method).__code__) for method in found]
    return [f"{method.__qualname__}({code.co_varnames[0]})" for method, code in firsts
            if code.co_argcount and code.co_varnames[0] != "self"]


def _compares(method: Any) -> bool:
    return any(step.opname in _COMPARISONS for step in dis.get_instructions(_code_of(method)))


def _compared(method: Any) -> Iterator[str]:
    before: list[Any] = []
    for step in dis.get_instructions(_code_of(method)):
        if step.opname == "COMPARE_OP" and step.argval in ("==", "!="):
            yield from (each.argval for each in before[-_OPERANDS:] if each.opname == "LOAD_ATTR")
        before = [] if step.opname == "COMPARE_OP" or "JUMP" in step.opname else [*before, step]


def _methods(kind: Any) -> list[Any]:
    values = [value for parent in kind.__mro__ for name, value in vars(parent).items()
              if name not in ("__init__", "__new__")]
    return [value for value in values if not _module_of(value).startswith("mindspore")]


def _code_of(value: Any) -> Any:
    """The code of a function or a property; None for anything else."""
    value = value.fget if isinstance(value, property) else value
    return getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None


def _module_of(value: Any) -> str:
    value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    return getattr(value, "__module__", None) or ""
