"""Mix a class into an object, and take it out again: the object, its attributes and its paths stay what they were."""

from functools import cache
from typing import Any


def mix_in(thing: Any, mixin: type, prefix: str) -> None:
    """Put ``mixin`` in front of the class of ``thing``; the new class is called ``prefix`` and the old name."""
    base: type = type(thing)
    thing.__class__ = mixed_class(mixin, base, prefix)


def take_out(thing: Any, mixin: type) -> None:
    """Undo :func:`mix_in`; what else was mixed in meanwhile stays."""
    thing.__class__ = _without(type(thing), mixin)


@cache
def mixed_class(mixin: type, base: type, prefix: str) -> type:
    """The class of ``base`` with ``mixin`` in front; one class for the same arguments, so that copies share it."""
    body = {"__module__": base.__module__, "__doc__": base.__doc__, "_mixed": (mixin, base, prefix),
            "__reduce_ex__": _reduce_ex}
    return type(f"{prefix}{base.__name__}", (mixin, base), body)


def _without(kind: type, mixin: type) -> type:
    mixed = vars(kind).get("_mixed")
    if mixed is None:
        raise TypeError(f"{mixin.__name__} is not mixed into {kind.__name__}.")
    outer, base, prefix = mixed
    return base if outer is mixin else mixed_class(outer, _without(base, mixin), prefix)


def _reduce_ex(self: Any, protocol: Any) -> Any:
    """Copies and pickles name the two classes; the mixed one has no place of its own to be imported from."""
    _, (_, *arguments), *rest = super(type(self), self).__reduce_ex__(protocol)
    return _rebuilt, (type(self)._mixed, *arguments), *rest


def _rebuilt(mixed: tuple[type, type, str], *arguments: Any) -> Any:
    kind = mixed_class(*mixed)
    return kind.__new__(kind, *arguments)
