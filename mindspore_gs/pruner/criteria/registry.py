"""The table of criteria by name, what each needs, and how the layers of a group are combined."""

from collections.abc import Callable, Sequence

import numpy as np

from mindspore_gs._config import boolean, path
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
        TypeError: ``name``, ``needs``, ``greedy`` or ``phase`` is of another type, or what is registered no function.
        ValueError: the name is taken or empty, or there is no such kind of evidence.

    Examples:
        >>> from mindspore_gs.pruner.criteria import CRITERIA, criterion
        >>> @criterion("first")
        ... def first(channels):
        ...     return -np.arange(channels.size)
        >>> CRITERIA.pop("first") is first
        True
    """
    if not isinstance(name, str):
        raise TypeError("criterion() takes the criterion's name first, as in @criterion('mine'), but got "
                        f"{type(name).__name__!r}.")
    path("criterion()", "name", name)
    kinds = kinds_of(f"criterion {name!r}", needs)
    greedy, phase = boolean("criterion", "greedy", greedy), boolean("criterion", "phase", phase)

    def register(function: Criterion) -> Criterion:
        if not callable(function):
            raise TypeError(f"criterion({name!r}) must stand above a function that scores channels, but got "
                            f"{type(function).__name__!r}.")
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
        TypeError: ``chosen`` is neither a name nor a function.
        ValueError: there is no such criterion, or it names a kind that does not exist.

    Examples:
        >>> from mindspore_gs.pruner.criteria import evidence_needed
        >>> evidence_needed("taylor"), evidence_needed("l1")
        (('gradient',), ())
    """
    return kinds_of(f"criterion {chosen!r}", getattr(_function(chosen), "needs", None) or ())


def _function(chosen: str | Criterion) -> Criterion:
    """A criterion by its name, or as it is."""
    if isinstance(chosen, str) and chosen in CRITERIA:
        return CRITERIA[chosen]
    if isinstance(chosen, str):
        raise ValueError(f"there is no criterion {chosen!r}; there are {', '.join(CRITERIA)}.")
    if not callable(chosen):
        raise TypeError(f"a criterion is a name or a function of channels, but got {type(chosen).__name__!r}.")
    return chosen


def is_greedy(chosen: str | Criterion) -> bool:
    """Whether a criterion looks at groups one after the other, without the weights of channels that are gone."""
    return bool(getattr(_function(chosen), "greedy", False))


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

    Raises:
        ValueError: there is none, or they are not of one shape.

    >>> combine([np.array([1.0, 3.0]), np.array([30.0, 10.0])])
    array([1., 1.])
    """
    shapes = [np.shape(score) for score in scores]
    if not shapes or any(shape != shapes[0] for shape in shapes):
        raise ValueError("combine() takes at least one array of scores, all of one shape, but got the shapes "
                         f"{shapes}.")
    if len(scores) == 1:
        return scores[0]
    scaled = [score / max(float(np.abs(score).mean()), np.finfo(float).tiny) for score in scores]
    mean: np.ndarray = np.mean(scaled, axis=0)
    return mean
