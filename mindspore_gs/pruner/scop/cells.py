"""The cells that SCOP puts in place of a convolution and its BatchNorm."""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops


class KfConv2d(nn.Cell):
    r"""Convolution and BatchNorm in which each channel competes with its knockoff.

    In training mode the batch holds real samples, then as many knockoffs. The first half becomes
    :math:`b \cdot real + (1-b) \cdot knockoff`, with a trainable scale :math:`b \in [0, 1]` for each channel; the
    second half passes. In evaluation mode the cell is convolution and BatchNorm.

    Args:
        conv_ori: the convolution.
        bn_ori: the BatchNorm behind it.
        prex: prefix of the scale's name, such as ``"layer1.0.conv1"``.
        bn_path: path of the BatchNorm in the network, to put it back there.

    Inputs:
        - **x** (Tensor) - shape :math:`(N, C, H, W)`; N even in training mode.

    Outputs:
        Tensor of shape :math:`(N, C_{out}, H_{out}, W_{out})`.
    """

    def __init__(self, conv_ori: nn.Conv2d, bn_ori: nn.Cell, prex: str = "", bn_path: str = ""):
        super().__init__(auto_prefix=False)
        self.conv = conv_ori
        self.bn = bn_ori
        self.path, self.bn_path = prex, bn_path
        self.out_channels = conv_ori.out_channels
        self.out_index = np.ones(conv_ori.out_channels, np.int32)
        start = ms.Tensor(np.full((1, conv_ori.out_channels, 1, 1), 0.5, np.float32))
        self.kfscale = ms.Parameter(start, name=_join(prex, "kfscale"))

    def scale(self) -> ms.Tensor:
        """The scales b, shape (1, C, 1, 1), within [0, 1]."""
        return ops.clamp(self.kfscale, 0.0, 1.0)

    def construct(self, x):
        """Mix in training mode; convolve the halves apart, since nothing is trained through the knockoffs."""
        if not self.training:
            return self.bn(self.conv(x))
        count = x.shape[0] // 2
        real = self.conv(x[:count])
        knockoff = self.conv(ops.stop_gradient(x[count:]))
        scale = self.scale().astype(real.dtype)
        return self.bn(ops.concat((scale * real + (1 - scale) * knockoff, knockoff), 0))


class MaskedConv2dbn(nn.Cell):
    """Convolution and BatchNorm whose removed channels are zero.

    ``out_index`` is a parameter with one entry for every channel, 1 where it stays and 0 where it is removed. Its
    shape does not depend on the prune rate, so that a masked checkpoint loads into any masked network.

    Args:
        kf_conv2d_ori: the :class:`KfConv2d` to take over; its ``out_index`` says what stays, as such a mask or
            as a list of the channels that stay.
        prex: prefix of the mask's name; default: that of ``kf_conv2d_ori``.

    Inputs:
        - **x** (Tensor) - shape :math:`(N, C, H, W)`.

    Outputs:
        Tensor of shape :math:`(N, C_{out}, H_{out}, W_{out})` in the type that the BatchNorm gives.
    """

    in_index: Any = None  # assigned by the model zoo's recipe; what a layer reads follows from the graph here

    def __init__(self, kf_conv2d_ori: KfConv2d, prex: str = ""):
        super().__init__(auto_prefix=False)
        self.conv = kf_conv2d_ori.conv
        self.bn = kf_conv2d_ori.bn
        self.path, self.bn_path = kf_conv2d_ori.path, kf_conv2d_ori.bn_path
        stays = as_mask(kf_conv2d_ori.out_index, self.conv.out_channels)
        name = _join(prex or self.path, "out_index")
        self.out_index = ms.Parameter(ms.Tensor(stays, ms.int32), name=name, requires_grad=False)

    def construct(self, x):
        """Convolve, normalise, mask."""
        x = self.bn(self.conv(x))
        return x * self.out_index.reshape((1, -1, 1, 1)).astype(x.dtype)

    @property
    def stays(self) -> np.ndarray:
        """Truth value per channel: whether it stays."""
        return self.out_index.asnumpy().astype(bool)


def _join(prefix: str, name: str) -> str:
    return f"{prefix.rstrip('.')}.{name}" if prefix else name


def as_mask(value: Any, channels: int) -> np.ndarray:
    """Truth value per channel, from a mask of 0 and 1 or from a list of the channels that stay.

    Raises:
        ValueError: ``value`` is neither.

    >>> as_mask([1, 0, 1], 3)
    array([ True, False,  True])
    >>> as_mask([3, 1], 4)
    array([False,  True, False,  True])
    """
    entries = np.asarray(value.asnumpy() if isinstance(value, ms.Tensor) else value).reshape(-1)
    if len(entries) == channels and np.isin(entries, (0, 1)).all() and entries.any():
        return entries.astype(bool)
    unique = np.unique(entries)
    if not len(entries) or len(unique) != len(entries) or unique[0] < 0 or unique[-1] >= channels:
        raise ValueError(f"'out_index' must be a mask of {channels} entries 0 or 1, or a list of different channels "
                         f"below {channels}, but got {entries.tolist()[:8]}.")
    stays = np.zeros(channels, dtype=bool)
    stays[entries.astype(int)] = True
    return stays
