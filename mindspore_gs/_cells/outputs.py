"""The tensors that a network returns, however they are nested."""

from collections.abc import Iterator
from typing import Any

import mindspore as ms
import numpy as np


def tensors_in(value: Any) -> Iterator[Any]:
    """The tensors, and arrays as other engines return them, in nested tuples, lists and dicts, in their order."""
    if isinstance(value, (ms.Tensor, np.ndarray)):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ():
        yield from tensors_in(item)


def wait_for(value: Any) -> None:
    """Ask for the numbers of an output: errors of operators come no earlier in PyNative mode."""
    for tensor in tensors_in(value):
        tensor.astype(ms.float32).asnumpy()
