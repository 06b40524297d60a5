"""Configuration: a dict or keywords at the edge, one frozen dataclass inside, validated once."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, fields, replace
from numbers import Integral
from types import MappingProxyType
from typing import Any

Check = Callable[[str, str, Any], Any]


def option(default: Any, check: Check) -> Any:
    """A field of a configuration, with its default and the function that checks what a user gives."""
    return field(default_factory=lambda: default, metadata={"check": check})


def read_config(kind: Any, owner: str, config: Any, options: Mapping[str, Any]) -> Any:
    """Build a configuration from what a user wrote.

    Args:
        kind: the dataclass.
        owner: name of the algorithm, for messages.
        config: dict or None.
        options: keywords; they win over ``config``.

    Raises:
        TypeError: ``config`` is no dict, or a value has the wrong type.
        ValueError: a key is unknown, or a value is out of range.
    """
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise TypeError(f"For '{owner}', the type of 'config' should be 'dict', but got type "
                        f"'{type(config).__name__}'.")
    values = {**config, **options}
    checks = {f.name: f.metadata["check"] for f in fields(kind)}
    unknown = [key for key in values if key not in checks]
    if unknown:
        raise ValueError(f"For '{owner}', {unknown[0]!r} is not an option; allowed are {', '.join(checks)}.")
    checked = kind(**{name: checks[name](owner, name, value) for name, value in values.items()})
    kind.check_together(owner, checked, set(values))
    return checked


def with_option(config: Any, owner: str, name: str, value: Any) -> Any:
    """A copy of ``config`` with one option changed and checked."""
    check = next(f.metadata["check"] for f in fields(config) if f.name == name)
    changed = replace(config, **{name: check(owner, name, value)})
    changed.check_together(owner, changed, {name})
    return changed


def wrong_type(owner: str, name: str, expected: str, value: Any) -> TypeError:
    """Golden Stick's message for a value of the wrong type."""
    return TypeError(f"For '{owner}', the '{name}' must be '{expected}',  but got '{type(value).__name__}'.")


def boolean(owner: str, name: str, value: Any) -> bool:
    """Accept True and False."""
    if not isinstance(value, bool):
        raise wrong_type(owner, name, "bool", value)
    return value


def path(owner: str, name: str, value: Any) -> str:
    """Accept a non-empty string."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"For {owner}, '{name}' should be Non-empty string but got {value}.")
    return value


def integer(owner: str, name: str, value: Any) -> int:
    """Accept an int, or one of NumPy's, that is no bool."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise wrong_type(owner, name, "int", value)
    return int(value)


def positive(owner: str, name: str, value: Any) -> int:
    """Accept an int of at least 1."""
    if integer(owner, name, value) < 1:
        raise ValueError(f"For '{owner}', the '{name}' must be at least 1, but got {value}.")
    return int(value)


def not_negative(owner: str, name: str, value: Any) -> int:
    """Accept an int of at least 0."""
    if integer(owner, name, value) < 0:
        raise ValueError(f"For '{owner}', the '{name}' must be at least 0, but got {value}.")
    return int(value)


def one_of(owner: str, name: str, value: Any, allowed: tuple[str, ...], also: str = "") -> str:
    """Accept one of a few words. ``also`` says for the message what else the option takes."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"For '{owner}', the '{name}' must be one of {allowed}{also}, but got {value!r}.")
    return value


@dataclass(frozen=True)
class CommonConfig:
    """Options of every algorithm."""

    save_mindir: bool = option(False, boolean)
    save_mindir_path: str = option("./network", path)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which take no views of dicts."""
        return {name: dict(value) if isinstance(value, MappingProxyType) else value
                for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({name: MappingProxyType(value) if isinstance(value, dict) else value
                           for name, value in state.items()})

    @staticmethod
    def check_together(owner: str, config: Any, given: Set[str]) -> None:
        """Raise ValueError where options that a user has ``given`` do not go with others. Here: none."""
