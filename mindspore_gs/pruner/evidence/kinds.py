"""The kinds of evidence: what can be known of a channel beside its weights."""

KINDS = {
    "kfscale": "the scales of the knockoff phase",
    "gradient": "squared gradients of gates",
    "fisher": "squared gradients of gates, sample by sample",
    "mean": "the mean of what the channels hold",
    "variance": "the variance of what the channels hold",
    "zeros": "the share of values that are not above zero",
    "rank": "the rank of feature maps",
    "independence": "the nuclear norm that a feature map adds",
    "gram": "the Gram matrix of what the channels hold",
    "covariance": "the covariance of what the channels hold",
    "contributions": "the Gram matrix of what each channel adds to the layers that read it",
}
PHASE = ("kfscale",)  # what no pass over data finds
LABELLED = ("gradient", "fisher")  # what needs a label and a loss


def kinds_of(caller: str, given: str | tuple[str, ...]) -> tuple[str, ...]:
    """One kind or several as a tuple, checked.

    Args:
        caller: who asks, for the message.
        given: a name in :data:`KINDS`, or a tuple of them.

    Raises:
        TypeError: it is neither text nor a tuple of texts.
        ValueError: there is no such kind.

    Examples:
        >>> kinds_of("observe()", "zeros")
        ('zeros',)
    """
    if not isinstance(given, (str, tuple, list)) or not all(isinstance(kind, str) for kind in given):
        raise TypeError(f"{caller}: a kind of evidence is text, and several are a tuple of texts, but got {given!r}.")
    kinds = (given,) if isinstance(given, str) else tuple(given)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"{caller}: there is no evidence of the kind {unknown[0]!r}; there are {', '.join(KINDS)}.")
    return kinds
