"""Independent copies of networks, with what ``copy.deepcopy`` cannot copy in MindSpore's cells."""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import CellType, FunctionType
from typing import Any

from mindspore import nn, ops

from mindspore_gs._cells.compiled import start_anew
from mindspore_gs._cells.lookup import BOOK_KEEPING, every_cell, held_by
from mindspore_gs.errors import PruningError

_BACKWARD_HOOKS = {"_lazy_backward_hook": "register_backward_hook",
                   "_lazy_backward_pre_hook": "register_backward_pre_hook"}
_HOOK_OPERATORS = ("_cell_backward_hook", "_cell_backward_pre_hook")


def copy_network(net: nn.Cell, instead: Mapping[int, Any] | None = None) -> nn.Cell:
    """An independent copy: own cells, parameters and operators, same names, nothing compiled.

    What cells hold of each other goes along: bound methods, and functions that refer to cells of the network, such as
    hooks or a ``construct`` that was set on an object, refer to the cells of the copy. So do ``recompute()``, mixed
    precision and hooks.

    Args:
        net: the network; it stays as it is.
        instead: by the ``id`` of objects in the network (parameters), what the copy holds instead of a copy of them.

    Returns:
        The copy.

    Raises:
        PruningError: an attribute cannot be copied. The message names the cell.
    """
    cells = every_cell(net)
    memo: dict[int, Any] = dict(instead or {})
    try:
        functions = _prepare(cells, memo)
        twin = copy.deepcopy(net, memo)
        for cell in cells:
            copy.deepcopy(cell, memo)
        for fill in functions:
            fill()
    except Exception as error:
        raise PruningError(_what_cannot_be_copied(net, cells, memo, error)) from error
    start_anew(twin)
    for cell in cells:
        _set_up_again(cell, memo[id(cell)], memo)
    return twin


def _prepare(cells: list[nn.Cell], memo: dict[int, Any]) -> list[Callable[[], None]]:
    """Put into ``memo`` what is not copied by its class. Returns what is to be called once the cells are copied."""
    own = {id(cell) for cell in cells}
    functions: list[Callable[[], None]] = []
    for cell in cells:
        for name in (*_BACKWARD_HOOKS, *_HOOK_OPERATORS):
            _leave_out(vars(cell).get(name), memo)
        if _recomputes(cell):
            _leave_out(cell._recompute_cell, memo)
        for value in _values(cell):
            if id(value) in memo:
                continue
            if isinstance(value, FunctionType):
                if _refers_to(value, own, set()):
                    _renew_function(value, own, memo, functions)
            elif isinstance(value, ops.Primitive):
                memo[id(value)] = _copy_operator(value)
            elif _is_internal(value):
                memo[id(value)] = _renew(value)
    return functions


def _leave_out(value: Any, memo: dict[int, Any]) -> None:
    if value is not None:
        memo[id(value)] = None


def _values(cell: nn.Cell) -> Iterator[Any]:
    """What the attributes hold, also inside containers, without cells."""
    waiting = [value for name, value in vars(cell).items() if name not in BOOK_KEEPING]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if not isinstance(value, nn.Cell) and id(value) not in seen:
            seen.add(id(value))
            yield value
            waiting += held_by(value)


def _recomputes(cell: nn.Cell) -> bool:
    """Whether ``recompute()`` has put a cell of its own into this cell, as it does by default."""
    return isinstance(getattr(cell, "_recompute_cell", None), nn.Cell)


def _set_up_again(cell: nn.Cell, twin: nn.Cell, memo: dict[int, Any]) -> None:
    """Hooks of the backward pass and ``recompute()``, which are bound to their cell."""
    for attribute, register in _BACKWARD_HOOKS.items():
        for hook in (vars(cell).get(attribute) or {}).values():
            getattr(twin, register)(copy.deepcopy(hook, memo))
    if _recomputes(cell):
        twin.recompute()


def _copy_operator(operator: ops.Primitive) -> ops.Primitive:
    """A new operator from the arguments of the old one.

    ``Primitive.__deepcopy__`` also passes its ``name``, which the constructors of some do not take. An operator whose
    constructor takes other things than it notes down is shared: it has no parameters and does not change.
    """
    accepted = inspect.signature(type(operator).__init__).parameters.values()
    takes_all = any(p.kind is p.VAR_KEYWORD for p in accepted)
    arguments = {name: value for name, value in operator.init_attrs.items()
                 if takes_all or name in {p.name for p in accepted}}
    required = {p.name for p in list(accepted)[1:] if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD}
    if not required <= arguments.keys():
        return operator
    twin = type(operator)(**arguments)
    return twin.set_prim_instance_name(operator.instance_name) if hasattr(operator, "instance_name") else twin


def _is_internal(value: Any) -> bool:
    """Whether an object is MindSpore's own, made in C++ and without a way to copy it; tensors and cells have one."""
    own = any(kind.__module__.startswith("mindspore._c_expression") for kind in type(value).__mro__)
    return own and not hasattr(type(value), "__deepcopy__") and "__getstate__" not in _methods(type(value))


def _methods(kind: type) -> set[str]:
    return {name for base in kind.__mro__ if base is not object for name in vars(base)}


def _renew(value: Any) -> Any:
    """A new gradient operation, which keeps what it was last called with; others do not change and are shared."""
    if type(value) is ops.GradOperation:
        return ops.GradOperation(value.get_all, value.get_by_list, value.sens_param)
    return value


def _refers_to(value: Any, own: set[int], seen: set[int]) -> bool:
    """Whether a value holds one of these cells, directly, in a container or in the closure of a function."""
    if isinstance(value, nn.Cell):
        return id(value) in own
    if id(value) in seen:
        return False
    seen.add(id(value))
    parts = _closure(value) if isinstance(value, FunctionType) else held_by(value)
    return any(_refers_to(part, own, seen) for part in parts)


def _closure(function: FunctionType) -> list[Any]:
    """What the free variables of a function are; those without a value are left out."""
    return [cell.cell_contents for cell in function.__closure__ or () if cell != CellType()]


def _renew_function(function: FunctionType, own: set[int], memo: dict[int, Any],
                    later: list[Callable[[], None]]) -> None:
    """Put a function with a closure of its own into ``memo``; ``later`` gets what fills the closure."""
    old = function.__closure__ or ()
    new = tuple(CellType() for _ in old)
    twin = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, new)
    twin.__kwdefaults__, twin.__qualname__, twin.__doc__ = (
        function.__kwdefaults__, function.__qualname__, function.__doc__)
    memo[id(function)] = twin
    for value in (*_closure(function), *vars(function).values()):
        if isinstance(value, FunctionType) and id(value) not in memo and _refers_to(value, own, set()):
            _renew_function(value, own, memo, later)

    def fill() -> None:
        for name, source, target in zip(function.__code__.co_freevars, old, new):
            if source != CellType():
                target.cell_contents = _renewed(name, source.cell_contents, own, memo)
        vars(twin).update({name: memo.get(id(value), value) for name, value in vars(function).items()})

    later.append(fill)


def _renewed(name: str, value: Any, own: set[int], memo: dict[int, Any]) -> Any:
    if name == "hash_obj" and isinstance(value, int):  # by it, jit tells one function from another
        return value + id(memo)
    return copy.deepcopy(value, memo) if _refers_to(value, own, set()) else value


def _what_cannot_be_copied(net: nn.Cell, cells: list[nn.Cell], memo: dict[int, Any], error: Exception) -> str:
    """The cell and the attribute at fault."""
    paths = {id(cell): path for path, cell in net.cells_and_names()}
    for cell in reversed(cells):  # from the inside to the outside
        for attribute, value in vars(cell).items():
            reason = None if attribute in BOOK_KEEPING else _failure(value, memo)
            if reason is not None:
                place = paths.get(id(cell), "")
                where = f"cell {place!r} ({type(cell).__name__})" if place else f"the {type(cell).__name__}"
                return (f"the network cannot be copied, because attribute {attribute!r} of {where} cannot: {reason}. "
                        f"Keep the {type(value).__name__} outside of the cell, or give its class a __deepcopy__.")
    return f"the network cannot be copied: {type(error).__name__}: {error}"


def _failure(value: Any, memo: dict[int, Any]) -> str | None:
    try:
        copy.deepcopy(value, dict(memo))
    except Exception as error:
        return str(error) or type(error).__name__
    return None
