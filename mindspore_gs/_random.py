"""Random numbers that somebody else will draw: kept as they are, in every place where MindSpore keeps a state."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms
import numpy as np

_seed = importlib.import_module("mindspore.common.seed")  # the package's attribute of that name is a function


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """Whoever draws random numbers afterwards draws what would have been drawn; inside, call ``ms.set_seed``."""
    state, own = np.random.get_state(), ms.get_rng_state()
    data = ms.dataset.config.get_seed()
    seed, operators = _seed._GLOBAL_SEED, dict(_seed._KERNEL_SEED)
    try:
        yield
    finally:
        vars(_seed)["_GLOBAL_SEED"] = seed
        _seed._KERNEL_SEED.clear()
        _seed._KERNEL_SEED.update(operators)
        ms.dataset.config.set_seed(data)
        ms.set_rng_state(own)
        np.random.set_state(state)
