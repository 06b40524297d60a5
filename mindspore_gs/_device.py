"""Everything that depends on the device. Nothing outside this file asks which one it is."""

from typing import Any

import mindspore as ms
from mindspore import ops

_SIMPLE = (ms.float16, ms.float32, ms.float64)


def pynative_on_a_cpu() -> bool:
    """Whether operators are called one by one on a CPU, where the kind of an operator decides what it costs."""
    return ms.get_context("mode") == ms.PYNATIVE_MODE and ms.get_context("device_target") == "CPU"


def multiplication(dtype: Any) -> ops.Primitive:
    """The operator that multiplies a parameter of this type with its mask.

    In PyNative mode on a CPU each change between MindSpore's two kinds of operators waits for a thread to wake up.
    Convolution and BatchNorm are of the older kind there, and so is ``MulNoNan``; with it a masked training step costs
    what a dense one does (docs/performance.md). Elsewhere, and for types that it does not take, it is ``Mul``.
    """
    old = ms.get_context("device_target") == "CPU" and dtype in _SIMPLE
    return ops.MulNoNan() if old else ops.Mul()
