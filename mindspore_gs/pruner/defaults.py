"""What is done where the user says nothing; the table in docs/performance.md decides it."""

RESIDUAL = "couple"
ROUND_TO = 1  # multiples of channels with which a target is met; finer ones where these cannot meet it


def roundings(given: int | None, target: bool) -> tuple[int, ...]:
    """What kept channels are rounded up to a multiple of: each is tried until one meets the target.

    A rate without a target is not rounded unless the user says so: it would keep more channels than it says.

    Args:
        given: what the user says; None for the default.
        target: whether there is a target, which rounding does not move.

    Examples:
        >>> from mindspore_gs.pruner.defaults import roundings
        >>> roundings(4, True), roundings(None, False)
        ((4,), (1,))
    """
    if given is not None:
        return (given,)
    if not target:
        return (1,)
    found = [ROUND_TO]
    while found[-1] % 2 == 0:
        found.append(found[-1] // 2)
    return tuple(found) if found[-1] == 1 else (*found, 1)
