"""What the results.json of a run must look like: its fields and their types."""

from collections.abc import Callable
from typing import Any

from mindspore_gs.errors import PruningError

_HIGHEST = 1e300


def check_fields(document: dict[str, Any], path: str) -> None:
    """Refuse a document whose fields are not of the right kind.

    Args:
        document: of a run.
        path: where it was read, for the message.

    Raises:
        PruningError: names the first field that is wrong.
    """
    wrong = next((name for name, fits in _FIELDS.items() if not fits(document.get(name))), None)
    later = {name: fits for name, fits in _LATER.items() if name in document}
    wrong = wrong or next((name for name, fits in later.items() if not fits(document[name])), None)
    if wrong is not None:
        raise PruningError(f"{path} is damaged: its {wrong!r} is not as 'mindspore-gs prune' writes it.")


def check_document(document: Any, owner: str) -> None:
    """Refuse what a user gives in the place of a document.

    Args:
        document: what :meth:`mindspore_gs.runs.RunRecord.document` gives, or ``results.json`` holds.
        owner: who takes it, for the message, such as ``"page()"``.

    Raises:
        TypeError: it is no dict.
        PruningError: names the first field that is wrong.
    """
    if not isinstance(document, dict):
        raise TypeError(f"{owner} takes the document of a run, a dict such as RunRecord.document() and "
                        f"read_document() give, but got {type(document).__name__!r}.")
    check_fields(document, f"the document for {owner}")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _HIGHEST


def _whole(value: Any) -> bool:
    return isinstance(value, int) and _number(value)


def _pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_whole, value))


def _mapping(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _each(**fields: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """A list of objects with these fields, and maybe more."""
    return lambda value: isinstance(value, list) and all(
        isinstance(row, dict) and all(fits(row.get(name)) for name, fits in fields.items()) for row in value)


def _listed(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _sizes(value: Any) -> bool:
    return (isinstance(value, dict) and _number(value.get("ratio"))
            and all(_whole(value.get(name)) for name in ("before", "after")))


def _times(value: Any) -> bool:
    return isinstance(value, dict) and (not value or (_text(value.get("engine")) and all(
        _number(value.get(name)) and value[name] > 0 for name in ("before", "after"))))


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "network": _text, "command": _text, "environment": _mapping(_text), "residual": _text,
    "inputs": _listed(_listed(_whole)), "params": _sizes, "macs": _sizes, "files": _mapping(_whole),
    "layers": _each(layer=_text, channels=_pair, params=_pair, macs=_pair),
    "blocked": _each(layers=_listed(_text), channels=_whole, reason=_text, sentence=_text, operator=_text, place=_text),
}
_LATER: dict[str, Callable[[Any], bool]] = {  # files of earlier versions do not have them
    "run": _text, "accuracy": _mapping(_number), "latency": _times,
    "scores": _each(layers=_listed(_text), kept=_whole, scores=_listed(_number)),
    "sensitivities": _each(layer=_text, rates=_listed(_number), numbers=_listed(_number)),
    "training": _mapping(_each(epoch=_number, loss=lambda value: value is None or _number(value))),
}
