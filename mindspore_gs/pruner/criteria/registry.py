"""The table of criteria by name, what each needs, and how the layers of a group are combined."""

from collections.abc import Callable, Sequence

import numpy as np

from mindspore_gs.errors import PruningError
from mindspore_gs.pruner.channels import Channels, Criterion
from mindspore_gs.pruner.evidence.kinds import KINDS, PHASE, kinds_of

CRITERIA: dict[str, Criterion] = {}


def criterion(name: str, needs: str | tuple[str, ...] = (), greedy: bool = False,
              phase: bool = False) -> Callable[[Criterion], Criterion]:
    """Register a criterion under a name; a second one of that name is refused.

    Args:
        name: its name.
        needs: the kinds of evidence that it cannot do without, such as ``"gradient"`` or ``("gram", "zeros")``; see
            :func:`~mindspore_gs.pruner.evidence.observe`. Such a criterion is refused where they cannot be found.
            Default: none.
        greedy: whether the weights of channels that are gone, in the groups before, shall read as zero. Default: False.
        phase: whether it is meant for networks that have been through the knockoff phase. Default: False.

    Raises:
        ValueError: the name is taken, or there is no such kind of evidence.

    Examples:
        >>> from mindspore_gs.pruner.criteria import CRITERIA, criterion
        >>> @criterion("first")
        ... def first(channels):
        ...     return -np.arange(channels.size)
        >>> CRITERIA.pop("first") is first
        True
    """
    kinds = kinds_of(f"criterion {name!r}", needs)

    def register(function: Criterion) -> Criterion:
        if name in CRITERIA:
            raise ValueError(f"there is a criterion {name!r} already; choose another name.")
        CRITERIA[name] = function
        vars(function).update(needs=kinds, greedy=greedy, phase=phase)
        return function

    return register


def evidence_needed(chosen: str | Criterion) -> tuple[str, ...]:
    """The kinds of evidence that a criterion needs, given by its name or as a function; empty where it needs none.

    A function of your own may say so itself: ``my_criterion.needs = "gradient"``, or a tuple of several kinds.

    Raises:
        ValueError: it names a kind that does not exist.

    Examples:
        >>> from mindspore_gs.pruner.criteria import evidence_needed
        >>> evidence_needed("taylor"), evidence_needed("l1")
        (('gradient',), ())
    """
    function = CRITERIA[chosen] if isinstance(chosen, str) else chosen
    return kinds_of(f"criterion {chosen!r}", getattr(function, "needs", None) or ())


def is_greedy(chosen: str | Criterion) -> bool:
    """Whether a criterion looks at groups one after the other, without the weights of channels that are gone."""
    return bool(getattr(CRITERIA[chosen] if isinstance(chosen, str) else chosen, "greedy", False))


def without_phase() -> list[str]:
    """Names of the criteria that are of use without the knockoff phase."""
    return [name for name, function in CRITERIA.items() if not getattr(function, "phase", False)]


def known(channels: Channels, kind: str) -> list[np.ndarray]:
    """The evidence of a kind, which a criterion cannot do without.

    Args:
        channels: the channels.
        kind: the kind.

    Raises:
        PruningError: there is none; says what to do.
    """
    found = channels.evidence(kind)
    if not found:
        raise PruningError(f"nothing is known of {channels.name!r} that this criterion needs: {KINDS[kind]}. " + (
            "It comes from the knockoff phase: use PrunerKfCompressAlgo and then PrunerFtCompressAlgo."
            if kind in PHASE else
            "Give 'data'. If you have, evaluation runs neither the layers that make these channels nor those that read "
            "them as cells: put them into 'ignore', or take a criterion that looks at weights, such as 'l1'."))
    return found


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
