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
    """The relative difference of each part of two outputs, by place (``"['boxes'][0]"``; ``""`` is a single tensor)."""
    lefts, rights = parts(left), parts(right)
    missing = dict.fromkeys(lefts.keys() ^ rights.keys(), INFINITE)
    return {place: _difference(value, rights[place]) for place, value in lefts.items() if place in rights} | missing


def parts(value: Any) -> dict[str, Any]:
    """The parts of an output by place: arrays of float64 (complex numbers as pairs), or what is no number as it is."""
    return dict(_parts(value, ""))


def _parts(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _parts(item, f"{place}[{key!r}]")
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from _parts(item, f"{place}[{index}]")
    else:
        yield place, _array(value)


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
