"""The table of criteria by name, and how the layers of a group are combined."""

from collections.abc import Callable, Sequence

import numpy as np

from mindspore_gs.pruner.channels import Criterion

CRITERIA: dict[str, Criterion] = {}


def criterion(name: str, needs: str | None = None) -> Callable[[Criterion], Criterion]:
    """Register a criterion under a name; a second one of that name is refused.

    Args:
        name: its name.
        needs: the kind of evidence that it reads and that a pass over data finds: ``"gradient"``. Such a criterion is
            refused without ``data``. Default: none.

    Examples:
        >>> from mindspore_gs.pruner.criteria import CRITERIA, criterion
        >>> @criterion("first")
        ... def first(channels):
        ...     return -np.arange(channels.size)
        >>> CRITERIA.pop("first") is first
        True
    """

    def register(function: Criterion) -> Criterion:
        if name in CRITERIA:
            raise ValueError(f"there is a criterion {name!r} already; choose another name.")
        CRITERIA[name] = function
        function.needs = needs  # type: ignore[attr-defined]
        return function

    return register


def evidence_needed(chosen: str | Criterion) -> str | None:
    """The kind of evidence that a criterion needs, given by its name or as a function; None where it needs none.

    A function of your own may say so itself: ``my_criterion.needs = "gradient"``.
    """
    return getattr(CRITERIA[chosen] if isinstance(chosen, str) else chosen, "needs", None)


def combine(scores: Sequence[np.ndarray]) -> np.ndarray:
    """One score for channels that several layers make: the mean, each layer scaled by its mean magnitude.

    >>> combine([np.array([1.0, 3.0]), np.array([30.0, 10.0])])
    array([1., 1.])
    """
    if len(scores) == 1:
        return scores[0]
    scaled = [score / max(float(np.abs(score).mean()), np.finfo(float).tiny) for score in scores]
    mean: np.ndarray = np.mean(scaled, axis=0)
    return mean
