"""The one cell that a slim network may need besides MindSpore's own."""

import mindspore as ms
from mindspore import nn, ops

from mindspore_gs._config import integer, positive


class RestoreChannels(nn.Cell):
    """Put the channels of a slim tensor back into place; the removed ones are zero.

    Args:
        size: number of channels of the output.
        indices: for each channel of the input, its place in the output, ascending.
        axis: the axis of the channels. Default: 1, as behind a convolution; -1, the last one, as behind a dense layer.

    Inputs:
        - **x** (Tensor) - shape :math:`(N, K, H, W)`, or :math:`(N, ..., K)` for the last axis; any float type.

    Outputs:
        Tensor of shape :math:`(N, size, H, W)`, or :math:`(N, ..., size)`, and the type of ``x``.

    Raises:
        TypeError: ``size`` or a place is no int.
        ValueError: ``axis`` is neither 1 nor -1, or ``indices`` do not ascend, lie outside, or are none.

    Examples:
        >>> import mindspore as ms
        >>> from mindspore_gs.slim import RestoreChannels
        >>> x = ms.ops.ones((1, 2, 1, 1))
        >>> print(RestoreChannels(4, (1, 3))(x).reshape(-1))
        [0. 1. 0. 1.]
    """

    def __init__(self, size: int, indices: tuple[int, ...], axis: int = 1):
        super().__init__()
        if axis not in (1, -1):
            raise ValueError(f"For 'RestoreChannels', the 'axis' must be 1 or -1, but got {axis!r}.")
        indices = tuple(integer("RestoreChannels", "indices", k) for k in indices)
        positive("RestoreChannels", "size", size)
        if not indices or indices[0] < 0 or indices[-1] >= size or any(a >= b for a, b in zip(indices, indices[1:])):
            raise ValueError(f"For 'RestoreChannels', the 'indices' must ascend from 0 to {size - 1} at most, and be "
                             f"at least one, but got {indices}.")
        self.axis = axis
        kept = len(indices)
        place = {channel: k for k, channel in enumerate(indices)}
        self.size, self.indices = size, indices
        self.source = ms.Tensor([place.get(channel, kept) for channel in range(size)], ms.int32)
        self.zeros_like = ops.ZerosLike()
        self.kept = ms.Tensor(list(indices), ms.int32)

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """Append one channel of zeros and gather."""
        zero = self.zeros_like(x[:, :1] if self.axis == 1 else x[..., :1])
        return ops.gather(ops.concat((x, zero), self.axis), self.source, self.axis)

    def bprop(self, x: ms.Tensor, out: ms.Tensor, dout: ms.Tensor) -> tuple[ms.Tensor]:
        """The gradient of a removed channel goes nowhere; the others read theirs from their place."""
        return (ops.gather(dout, self.kept, self.axis),)

    def extend_repr(self) -> str:
        """What the cell shows of itself in a network's text."""
        return f"size={self.size}, kept={len(self.indices)}"
