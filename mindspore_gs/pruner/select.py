"""Choose the channels that stay: rate, rounding and the lowest scores. Pure NumPy."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import numpy as np

Default = TypeVar("Default")


def matches(patterns: Sequence[str], names: Sequence[str]) -> bool:
    """Whether any of the cell names matches any of the patterns.

    >>> matches(['layer1.*'], ['layer1.0.conv1'])
    True
    """
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def rate_for(members: Sequence[str], default: Default, rates: Mapping[str, float]) -> float | Default:
    """The rate of a group: of the first pattern that matches, else the default.

    Raises:
        ValueError: patterns give the members of one group different rates.
    """
    found = {}
    for member in members:
        for pattern, rate in rates.items():
            if fnmatchcase(member, pattern):
                found[member] = rate
                break
    if len(set(found.values())) > 1:
        raise ValueError(f"'rates' gives layers that lose the same channels different rates: {found}; "
                         "give all of them one rate.")
    return next(iter(found.values()), default)


def number_kept(size: int, rate: float, round_to: int = 1, min_channels: int = 1) -> int:
    """Channels that stay of ``size``: all but ``int(rate * size)``, rounded up to a multiple, at least a minimum.

    >>> number_kept(64, 0.45)
    36
    >>> number_kept(64, 0.45, round_to=8)
    40
    """
    return int(round_kept(size - int(rate * size), size, round_to, min_channels))


def round_kept(kept: Any, size: int, round_to: int, min_channels: int) -> Any:
    """Numbers of kept channels, rounded up to a multiple, at least a minimum, at most ``size``.

    >>> round_kept(np.array([1, 8, 9, 10]), 10, 8, 1)
    array([ 8,  8, 10, 10])
    """
    return np.clip(-(-kept // round_to) * round_to, None, size).clip(min(min_channels, size), None)


def best(score: np.ndarray, count: int) -> np.ndarray:
    """Truth value per channel: whether it is among the ``count`` with the highest score.

    >>> best(np.array([0.3, 0.1, 0.2]), 2)
    array([ True, False,  True])
    """
    stays = np.zeros(len(score), dtype=bool)
    stays[np.argsort(score, kind="stable")[len(score) - count:]] = True
    return stays


def aggregate(scores: Sequence[np.ndarray]) -> np.ndarray:
    """One score for channels that several layers share: the mean, each layer scaled by its mean magnitude."""
    if len(scores) == 1:
        return scores[0]
    scaled = [score / max(float(np.abs(score).mean()), np.finfo(float).tiny) for score in scores]
    return np.mean(scaled, axis=0)
