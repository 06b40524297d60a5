"""How long networks take."""
from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn

from mindspore_gs.timing import take_turns

WARM_UP = 3


def latency(cells: list[nn.Cell], shape: tuple[int, ...], runs: int) -> list[float]:
    """Median milliseconds of one run for each cell; the cells take turns, so that all see the same machine."""
    x = Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    seconds = take_turns([lambda cell=cell: cell(x).asnumpy() for cell in cells], runs, WARM_UP)
    return (1000 * np.median(seconds, axis=0)).tolist()
