"""Mix a class into an object, and take it out again: the object, its attributes and its paths stay what they were."""

from functools import cache
from typing import Any

Mixed = tuple[type, type, str, tuple[tuple[str, Any], ...]]


def mix_in(thing: Any, mixin: type, prefix: str = "", **attributes: Any) -> None:
    """Put ``mixin`` in front of the class of ``thing``.

    Args:
        thing: the object.
        mixin: the class.
        prefix: the new class is called this and the old name.
        attributes: of the new class; each must be hashable, and what is equal must behave the same.
    """
    base: type = type(thing)
    thing.__class__ = mixed_class(mixin, base, prefix, tuple(attributes.items()))


def take_out(thing: Any, mixin: type) -> None:
    """Undo :func:`mix_in`; what else was mixed in meanwhile stays."""
    thing.__class__ = _without(type(thing), mixin)


def has(thing: Any, mixin: type) -> bool:
    """Whether ``mixin`` is mixed into the class of ``thing``."""
    mixed = vars(type(thing)).get("_mixed")
    while mixed is not None:
        if mixed[0] is mixin:
            return True
        mixed = vars(mixed[1]).get("_mixed")
    return False


@cache
def mixed_class(mixin: type, base: type, prefix: str, attributes: tuple[tuple[str, Any], ...] = ()) -> type:
    """The class of ``base`` with ``mixin`` in front; one class for the same arguments, so that copies share it."""
    body = {"__module__": base.__module__, "__doc__": base.__doc__, "_mixed": (mixin, base, prefix, attributes),
            "__reduce_ex__": _reduce_ex, **dict(attributes)}
    return type(f"{prefix}{base.__name__}", (mixin, base), body)


def _without(kind: type, mixin: type) -> type:
    mixed = vars(kind).get("_mixed")
    if mixed is None:
        raise TypeError(f"{mixin.__name__} is not mixed into {kind.__name__}.")
    outer, base, prefix, attributes = mixed
    return base if outer is mixin else mixed_class(outer, _without(base, mixin), prefix, attributes)


def _reduce_ex(self: Any, protocol: Any) -> Any:
    """Copies and pickles name the two classes; the mixed one has no place of its own to be imported from."""
    _, (_, *arguments), *rest = super(type(self), self).__reduce_ex__(protocol)
    return _rebuilt, (type(self)._mixed, *arguments), *rest


def _rebuilt(mixed: Mixed, *arguments: Any) -> Any:
    kind = mixed_class(*mixed)
    return kind.__new__(kind, *arguments)
