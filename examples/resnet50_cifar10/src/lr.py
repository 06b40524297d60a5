"""Learning rates, one number per step."""
from __future__ import annotations

import numpy as np


def cosine(peak: float, steps: int, warmup: int = 0) -> np.ndarray:
    """Linear from `peak / warmup` to `peak` over `warmup` steps, then half a cosine towards 0.

    Shape (steps,), float32. Step i after the warm-up has peak * (1 + cos(pi * i / (steps - warmup))) / 2, so
    the first one has `peak` itself.

    >>> cosine(1.0, 3).round(2).tolist()
    [1.0, 0.75, 0.25]
    >>> cosine(1.0, 4, warmup=2).tolist()
    [0.5, 1.0, 1.0, 0.5]
    """
    if not 0 <= warmup <= steps:
        raise ValueError(f"warmup must be in [0, {steps}], but got {warmup}")
    rising = peak * np.arange(1, warmup + 1) / max(warmup, 1)
    falling = peak * 0.5 * (1 + np.cos(np.pi * np.arange(steps - warmup) / max(steps - warmup, 1)))
    return np.concatenate([rising, falling]).astype(np.float32)


def constant(value: float, steps: int) -> np.ndarray:
    """`value` at each of `steps` steps. Shape (steps,), float32."""
    return np.full(steps, value, np.float32)
