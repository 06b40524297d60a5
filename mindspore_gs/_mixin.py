"""Mix a class into a single cell, and take it out again.

The cell stays the same object with the same attributes, paths and parameter names; only its class changes, to a
subclass of the mixin and of the class that it had. Such cells can be copied and pickled.
"""

from __future__ import annotations

import copyreg
import inspect
from dataclasses import dataclass
from types import MethodType
from typing import Any

import mindspore as ms
from mindspore import nn

from mindspore_gs._cells import forget_compilation, names_in

_RECIPE = "_gs_recipe"


@dataclass(frozen=True)
class _Construct:
    """A ``construct`` that was set on the object: a function, and whether it is bound to the cell."""

    function: Any
    bound: bool

    @classmethod
    def of(cls, cell: nn.Cell) -> _Construct | None:
        """What was set on this cell, taken off it."""
        own = vars(cell).pop("construct", None)
        if own is None:
            return None
        bound = isinstance(own, MethodType) and own.__self__ is cell
        return cls(own.__func__ if bound else own, bound)

    def member(self) -> Any:
        """For the body of a class."""
        return self.function if self.bound else staticmethod(self.function)

    def put_back(self, cell: nn.Cell) -> None:
        """Set it on the object again."""
        vars(cell)["construct"] = MethodType(self.function, cell) if self.bound else self.function


@dataclass(frozen=True, eq=False)
class _Recipe:
    """How a mixed class is made: the class without mixins, then each mixin with its class attributes, inmost first."""

    base: Any
    layers: tuple[tuple[type, dict[str, Any]], ...]
    construct: _Construct | None = None

    def __deepcopy__(self, memo: dict) -> _Recipe:
        return self

    def make(self) -> type:
        """The class."""
        made: Any
        made, jitted = self._without_jit()
        for mixin, attributes in self.layers:
            contents = {"__module__": self.base.__module__, "__reduce_ex__": _reduce, **attributes}
            made = type(self.base.__name__, self._bases(mixin, made), contents)
        made = self._with_parents_first(made)
        if jitted:
            made.construct = ms.jit(made.construct)
        setattr(made, _RECIPE, self)
        return made

    def _bases(self, mixin: Any, made: Any) -> tuple[Any, ...]:
        """The mixin in front of the class, or, where it says ``beneath``, between user's classes and MindSpore's."""
        if not getattr(mixin, "beneath", False):
            return mixin, made
        library: Any = library_class(self.base)
        return made, type(library.__name__, (mixin, library), {"__module__": self.base.__module__})

    def _with_parents_first(self, made: Any) -> Any:
        """The class so that ``super()`` in methods of the user's means the same in Graph mode as in Python.

        Graph mode takes ``super()`` for what comes behind the object's own class, and ``super(Own, self)`` for what
        comes behind the first class of that name; with a mixin that is the mixin, and the methods call each other
        without end. So what such a method overrides comes right behind the object's class.
        """
        behind = made.__mro__[made.__mro__.index(self.base) + 1:]
        overridden = {name: next(vars(kind)[name] for kind in behind if name in vars(kind))
                      for name in asked_of_parents(self.base)}
        if not overridden:
            return made
        first = {name: next(vars(kind)[name] for kind in made.__mro__ if name in vars(kind)) for name in overridden}
        contents = {"__module__": self.base.__module__, "__reduce_ex__": _reduce, **first}
        return type(self.base.__name__, (type("Overridden", (), overridden), made), contents)

    def _without_jit(self) -> tuple[type, bool]:
        """What the mixins go around: the class with its ``construct`` as a plain method, and whether jit was around it.

        A jitted method compiles ``self.construct`` whatever it is called as, hence the mixin's as well; ``jit``
        goes around the outermost method instead.
        """
        own = self.construct.member() if self.construct is not None else self.base.construct
        jitted = hasattr(own, "__wrapped_by_jit__") and any(hasattr(mixin, "construct") for mixin, _ in self.layers)
        if not jitted and self.construct is None:
            return self.base, False
        contents = {"construct": inspect.unwrap(own) if jitted else own, "__module__": self.base.__module__}
        return type(self.base.__name__, (self.base,), contents), jitted


def mix_in(cell: nn.Cell, mixin: type, **class_attributes: Any) -> nn.Cell:
    """Mix ``mixin`` into the class of this one cell.

    Args:
        cell: the cell, changed in place. A ``construct`` of its own (set on the object) is what the mixin's
            ``super().construct`` calls, and is put back by :func:`take_out`. Where it is under ``jit``, the
            mixin's ``construct`` is.
        mixin: the class; its methods come before those of the cell. Several mixins may be in one cell, the last
            one outermost. One with the attribute ``beneath`` comes behind the user's classes instead, right in front of
            the first class of MindSpore's.
        class_attributes: further attributes of the new class.

    Returns:
        The same cell.

    Raises:
        ValueError: ``mixin`` is in the cell already.
    """
    if has(cell, mixin):
        raise ValueError(f"{mixin.__name__} is mixed into this {type(cell).__name__} already.")
    recipe = _recipe(cell)
    own = _Construct.of(cell) or recipe.construct
    cell.__class__ = _Recipe(recipe.base, (*recipe.layers, (mixin, class_attributes)), own).make()
    forget_compilation(cell)
    return cell


def take_out(cell: nn.Cell, mixin: type) -> nn.Cell:
    """Take ``mixin`` out of the class of this cell; others stay. Without any, the cell has its own class again.

    Args:
        cell: the cell, changed in place.
        mixin: what was mixed in.

    Returns:
        The same cell.

    Raises:
        ValueError: ``mixin`` is not in the cell.
    """
    if not has(cell, mixin):
        raise ValueError(f"{mixin.__name__} is not mixed into this {type(cell).__name__}.")
    forget_compilation(cell)
    recipe = _recipe(cell)
    layers = tuple(layer for layer in recipe.layers if layer[0] is not mixin)
    if layers:
        cell.__class__ = _Recipe(recipe.base, layers, recipe.construct).make()
        return cell
    cell.__class__ = recipe.base
    if recipe.construct is not None:
        recipe.construct.put_back(cell)
    return cell


def has(cell: nn.Cell, mixin: type) -> bool:
    """Whether ``mixin`` is mixed into this cell."""
    return any(layer[0] is mixin for layer in _recipe(cell).layers)


def original_class(cell: nn.Cell) -> type:
    """The class that the cell has without any mixin."""
    return _recipe(cell).base


def library_class(kind: type) -> type | None:
    """The first of MindSpore's classes that a class is or is derived from, other than ``nn.Cell`` and what that is."""
    return next((parent for parent in kind.__mro__ if parent.__module__.startswith("mindspore.")
                 and not issubclass(nn.Cell, parent)), None)


def is_mindspores(cell: nn.Cell) -> bool:
    """Whether a cell's class, without any mixin, is one of MindSpore's and not the user's own."""
    return original_class(cell).__module__.startswith("mindspore.")


def calls_super(name: str, value: Any) -> bool:
    """Whether this is a method, other than Python's own such as ``__init__``, in whose code ``super`` occurs."""
    return "super" in names_in(value) and not name.startswith("__")


def asked_of_parents(kind: type) -> dict[str, Any]:
    """The methods of parents that a class overrides, and that its own methods may call through ``super()``.

    They are those in whose code ``super`` occurs, and whatever else their code mentions.
    """
    callers = {name: value for name, value in vars(kind).items() if calls_super(name, value)}
    asked = callers.keys() | {each for value in callers.values() for each in names_in(value)}
    found = {name: _inherited(kind, name) for name in vars(kind) if name in asked}
    return {name: value for name, value in found.items() if value is not None}


def _inherited(kind: type, name: str) -> Any:
    """What a class would have under this name if it did not define it; None where it would have nothing."""
    return next((vars(parent)[name] for parent in kind.__mro__[1:] if name in vars(parent)), None)


def _recipe(cell: nn.Cell) -> _Recipe:
    found = vars(type(cell)).get(_RECIPE)
    return found if found is not None else _Recipe(type(cell), ())


def _reduce(cell: nn.Cell, protocol: Any) -> Any:
    """Pickle the recipe of the class instead of its name, which no module knows."""
    recipe = _recipe(cell)
    function, arguments, *rest = recipe.base.__reduce_ex__(cell, protocol)
    if function is copyreg.__newobj__:  # type: ignore[attr-defined]
        function, arguments = _make_cell, (recipe, *arguments[1:])
    return (function, arguments, *rest)


def _make_cell(recipe: _Recipe, *arguments: Any) -> Any:
    kind = recipe.make()
    return kind.__new__(kind, *arguments)
