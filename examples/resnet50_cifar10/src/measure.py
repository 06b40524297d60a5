"""How long networks take."""
from __future__ import annotations

import time

import numpy as np
from mindspore import Tensor, nn

WARM_UP = 3


def latency(cells: list[nn.Cell], shape: tuple[int, ...], runs: int) -> list[float]:
    """Median milliseconds of one run for each cell; the cells take turns, so that all see the same machine."""
    x = Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    seconds = np.zeros((runs + WARM_UP, len(cells)))
    for row in seconds:
        for i, cell in enumerate(cells):
            begin = time.perf_counter()
            cell(x).asnumpy()
            row[i] = time.perf_counter() - begin
    return (1000 * np.median(seconds[WARM_UP:], axis=0)).tolist()
