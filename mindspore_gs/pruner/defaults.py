"""What is done where the user says nothing; the table in docs/performance.md decides it."""

from collections.abc import Sequence

RESIDUAL = "couple"
ROUND_TO = 8  # multiples of channels with which a target is met; finer ones where these cannot meet it
STEPS = 8  # steps that the middle group has at the least: a narrow network gets finer multiples


def roundings(given: int | None, target: bool, sizes: Sequence[int] | None = None) -> tuple[int, ...]:
    """What kept channels are rounded up to a multiple of: each is tried until one meets the target.

    A rate without a target is not rounded unless the user says so: it would keep more channels than it says. In a
    network of 16 channels a layer, multiples of 8 would be half a layer, so finer ones come first there.

    Args:
        given: what the user says; None for the default.
        target: whether there is a target, which rounding does not move.
        sizes: channels of each group. Default: the network is wide enough.

    Examples:
        >>> from mindspore_gs.pruner.defaults import roundings
        >>> roundings(4, True), roundings(None, False), roundings(None, True, [16, 32, 64])
        ((4,), (1,), (4, 2, 1))
    """
    if given is not None:
        return (given,)
    if not target:
        return (1,)
    first = ROUND_TO
    while sizes and first > 1 and STEPS * first > sorted(sizes)[len(sizes) // 2]:
        first //= 2
    found = [first]
    while found[-1] % 2 == 0:
        found.append(found[-1] // 2)
    return tuple(found) if found[-1] == 1 else (*found, 1)
