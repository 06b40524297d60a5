"""What a plan's JSON must look like: its fields, their types, its checksum, and positions that do not contradict."""

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any

import numpy as np

from mindspore_gs.errors import PlanError

FORMAT = 1
_CHECKSUM = "checksum"
_LARGEST_INPUT = 2 ** 31  # numbers in one input of the self-check, 8 GiB in float32


def with_checksum(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the CRC32 of its JSON with sorted keys.

    >>> with_checksum({"format": 1})
    {'format': 1, 'checksum': 3795107209}
    """
    return {**document, _CHECKSUM: _checksum(document)}


def _checksum(document: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(document, sort_keys=True).encode())


def read_document(text: str) -> dict[str, Any]:
    """The JSON of a plan, with every field of the right kind.

    Raises:
        PlanError: it is no JSON of a plan, or has been changed since it was written.
    """
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except (TypeError, ValueError, RecursionError) as error:
        raise PlanError(f"this is not the JSON of a PrunePlan ({type(error).__name__}: {error}).") from error
    if not isinstance(document, dict):
        raise _wrong(f"it is a {type(document).__name__}, not an object")
    if document.get("format") != FORMAT or isinstance(document["format"], bool):
        raise PlanError(f"the plan has format {document.get('format')!r}, but this version reads {FORMAT}.")
    noted = document.pop(_CHECKSUM, None)
    if noted is not None and noted != _checksum(document):
        raise PlanError("the plan has been changed since it was written: it does not have its checksum. Copy it again, "
                        "or make it again from the masked network.")
    _check_fields(document)
    return document


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of a plan")


def _check_fields(document: dict[str, Any]) -> None:
    unknown = document.keys() - _FIELDS.keys() - {"format"}
    missing = _FIELDS.keys() - document.keys() - {"attributes"}
    if unknown or missing:
        what, names = ("an unknown field", unknown) if unknown else ("no field", missing)
        raise _wrong(f"it has {what} {min(names)!r}")
    for name, fits in _FIELDS.items():
        if name in document and not fits(document[name]):
            raise _wrong(f"its {name!r} are not as they should be")
    count = len(document["lists"])
    if any(entry["indices"] >= count for entry in (*document["keeps"], *document["restores"])):
        raise _wrong("it names a list of positions that it does not have")


def _wrong(why: str) -> PlanError:
    return PlanError(f"this is not the JSON of a PrunePlan: {why}.")


def _whole(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value < 2 ** 62


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _row(*checks: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """A list with one entry for each check."""
    return lambda value: (isinstance(value, list) and len(value) == len(checks)
                          and all(check(part) for check, part in zip(checks, value)))


def _each(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(check(part) for part in value)


def _entry(**checks: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (isinstance(value, dict) and value.keys() == checks.keys()
                          and all(check(value[name]) for name, check in checks.items()))


def _at_least_one(value: Any) -> bool:
    return _whole(value, 1)


def _shape(value: Any) -> bool:
    return _each(_at_least_one)(value) and prod(value) <= _LARGEST_INPUT


_RESTORE = _entry(cell=lambda value: isinstance(value, str), size=_at_least_one, indices=_whole,
                  axis=lambda value: type(value) is int and value in (1, -1))
_FIELDS: dict[str, Callable[[Any], bool]] = {
    "keeps": _each(_entry(parameter=_text, axis=_whole, size=_at_least_one, indices=_whole)),
    "restores": _each(lambda value: _RESTORE({"axis": 1, **value}) if isinstance(value, dict) else False),
    "grouped": lambda value: isinstance(value, dict) and all(_at_least_one(n) for n in value.values()),
    "zeros": _each(_row(_text, _whole)),
    "inputs": _each(_row(_shape, _text)),
    "attributes": _each(_row(lambda value: isinstance(value, str), _text, _whole)),
    "lists": _each(_each(_whole)),
}


def check_positions(keeps: Iterable[Any], restores: Iterable[Any]) -> None:
    """Positions are ascending and inside, no axis is sliced twice, and what is put back is what a layer keeps.

    Raises:
        PlanError: names the parameter or the cell.
    """
    seen: set[tuple[str, int]] = set()
    kept: set[tuple[int, tuple[int, ...]]] = set()
    for keep in keeps:
        _check_ascending(keep.parameter, keep.size, keep.indices)
        if (keep.parameter, keep.axis) in seen:
            raise PlanError(f"the plan slices axis {keep.axis} of {keep.parameter!r} twice.")
        seen.add((keep.parameter, keep.axis))
        kept.add((keep.size, keep.indices))
    for restore in restores:
        _check_ascending(restore.cell, restore.size, restore.indices)
        if (restore.size, restore.indices) not in kept:
            raise PlanError(f"the plan puts {len(restore.indices)} of {restore.size} channels back behind "
                            f"{restore.cell!r}, but no parameter keeps these channels.")


def _check_ascending(name: str, size: int, indices: tuple[int, ...]) -> None:
    places = np.asarray(indices, np.int64)
    if not len(places) or places[0] < 0 or places[-1] >= size or (np.diff(places) <= 0).any():
        raise PlanError(f"the plan keeps {list(indices)[:8]} of {name!r}; it must keep at least one channel, "
                        f"ascending, from 0 to {size - 1}.")
