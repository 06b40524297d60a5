"""Where older scripts look for ``QuantDtype``."""

from mindspore.common.dtype import QuantDtype

__all__ = ["QuantDtype"]
