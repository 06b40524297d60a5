"""How far two outputs are apart, whatever they are made of: tensors, tuples, lists, dicts, numbers, None."""

from collections.abc import Iterator, Mapping
from typing import Any

import mindspore as ms
import numpy as np

INFINITE = float("inf")


def relative_difference(left: Any, right: Any) -> float:
    """Largest absolute difference of two outputs over the larger of 1 and max|right|, for the part where it is largest.

    Args:
        left: a tensor, or tuples, lists and dicts of tensors, numbers, None and text, nested in any way.
        right: what it is compared with.

    Returns:
        The difference. Infinite where structures or shapes differ, where values that are not finite are not the same,
        and where something that is no number differs.
    """
    return max(differences(left, right).values(), default=0.0)


def differences(left: Any, right: Any) -> dict[str, float]:
    """The relative difference of each part of two outputs, by place (:func:`parts`); infinite where only one has it."""
    lefts, rights = parts(left), parts(right)
    missing = dict.fromkeys(lefts.keys() ^ rights.keys(), INFINITE)
    return {place: _difference(value, rights[place]) for place, value in lefts.items() if place in rights} | missing


def parts(value: Any) -> dict[str, Any]:
    """The parts of an output by place: arrays of float64 (complex numbers as pairs), or what is no number as it is.

    Places are numbered through, however tuples and lists are nested; those in a dict start again behind its key.

    >>> list(parts((1, (2, {"boxes": 3, "scores": [4, 5]}))))
    ['[0]', '[1]', "[2]['boxes'][0]", "[2]['scores'][0]", "[2]['scores'][1]"]
    """
    found: dict[str, Any] = {}
    for index, item in enumerate(_in_order(value)):
        if isinstance(item, Mapping):
            for key, inner in item.items():
                found |= {f"[{index}][{key!r}]{place}": part for place, part in parts(inner).items()}
        else:
            found[f"[{index}]"] = _array(item)
    return found


def _in_order(value: Any) -> Iterator[Any]:
    """What nested tuples and lists hold."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _in_order(item)
    else:
        yield value


def _array(value: Any) -> Any:
    if isinstance(value, ms.Tensor):
        value = (value.float() if value.dtype == ms.bfloat16 else value).asnumpy()
    if value is None or isinstance(value, (str, bytes)):
        return value
    array = np.asarray(value)
    if np.iscomplexobj(array):
        array = np.stack([array.real, array.imag], axis=-1)
    return array.astype(np.float64) if array.dtype.kind in "fiub" else value


def _difference(a: Any, b: Any) -> float:
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return 0.0 if type(a) is type(b) and a == b else INFINITE
    if a.shape != b.shape:
        return INFINITE
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return INFINITE
    if not finite.any():
        return 0.0
    return float(np.abs(a[finite] - b[finite]).max()) / max(1.0, float(np.abs(b[finite]).max()))
