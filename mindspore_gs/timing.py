"""Time actions that take turns: the one way in which anything here is timed."""

import time
from collections.abc import Callable, Sequence

import numpy as np

WARM_UP = 2


def take_turns(actions: Sequence[Callable[[], object]], runs: int, warm_up: int = WARM_UP) -> np.ndarray:
    """Seconds of each action in each turn, shape (runs, actions).

    In a turn each action runs once, so that whatever else the machine does hits all of them. Each turn begins with
    another action. The first ``warm_up`` turns, in which networks are compiled, are not counted.

    Args:
        actions: what is timed. An action must wait for its own result.
        runs: turns that count.
        warm_up: turns before that. Default: 2.

    Examples:
        >>> from mindspore_gs.timing import take_turns
        >>> take_turns([lambda: sum(range(10)), lambda: sum(range(1000))], 3).shape
        (3, 2)
    """
    seconds = np.zeros((warm_up + runs, len(actions)))
    for turn, row in enumerate(seconds):
        for step in range(len(actions)):
            k = (turn + step) % len(actions)
            begin = time.perf_counter()
            actions[k]()
            row[k] = time.perf_counter() - begin
    return seconds[warm_up:]
