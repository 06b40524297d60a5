"""Choose the channels that stay: rate, rounding and the lowest scores. Pure NumPy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindspore_gs.errors import PruningError


@dataclass(frozen=True, eq=False)
class Ranking:
    """What a criterion has said of the channels of one group.

    Attributes:
        members: paths of the cells that lose the same channels.
        scores: one number for each channel; the highest stay.
        stays: truth value per channel.
    """

    members: tuple[str, ...]
    scores: np.ndarray
    stays: np.ndarray

    def document(self) -> dict[str, list]:
        """As what JSON can hold."""
        return {"members": list(self.members), "scores": self.scores.tolist(), "stays": self.stays.tolist()}

    @classmethod
    def of(cls, document: Mapping[str, list]) -> "Ranking":
        """What :meth:`document` returned.

        >>> Ranking.of(Ranking(("conv1",), np.array([2.0, 1.0]), np.array([True, False])).document()).stays
        array([ True, False])
        """
        return cls(tuple(document["members"]), np.array(document["scores"], float), np.array(document["stays"], bool))


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


def check_something_goes(owner: str, sizes: Sequence[int], rates: Sequence[float], counts: Sequence[int],
                         round_to: int, min_channels: int) -> None:
    """Refuse rates that remove not one channel anywhere although they are above zero.

    Args:
        owner: who says so.
        sizes: channels of each group.
        rates: the share that each group shall lose.
        counts: channels that each group keeps.
        round_to, min_channels: as in the configuration.

    Raises:
        PruningError: nothing would be removed.

    >>> check_something_goes("prune", [8], [0.5], [4], 1, 1)
    """
    highest = max(rates, default=0.0)
    if highest > 0 and list(counts) == list(sizes):
        raise PruningError(f"{owner}: a rate of {highest} removes no channel: the largest of the {len(sizes)} groups "
                           f"has {max(sizes)} channels, and what stays is rounded up to a multiple of {round_to}, and "
                           f"is at least {min_channels}. Set a higher rate, or lower 'round_to' or 'min_channels'.")


def best(score: np.ndarray, count: int) -> np.ndarray:
    """Truth value per channel: whether it is among the ``count`` with the highest score.

    >>> best(np.array([0.3, 0.1, 0.2]), 2)
    array([ True, False,  True])
    """
    stays = np.zeros(len(score), dtype=bool)
    stays[np.argsort(score, kind="stable")[len(score) - count:]] = True
    return stays
