"""The cells that SCOP puts in place of a convolution and its BatchNorm."""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindspore_gs.pruner.scop.folding import fold_mask

DOSE = 0.2
SPRING = 4.0


class ScaleGradient(nn.Cell):
    r"""The scales, unchanged; their gradient, turned into evidence that any optimizer can add up.

    A scale that simply follows its gradient g soon reaches 1 for every channel, and then says nothing. Here the
    optimizer sees :math:`\hat g + \lambda (p - 1/2)` with :math:`\hat g = g / rms(g)` over the channels of the
    layer: the scales settle at :math:`p = 1/2 - E[\hat g] / \lambda`, whatever the optimizer, its learning rate
    and the depth of the layer. :math:`\lambda` is :data:`SPRING`.

    Inputs:
        - **scale** (Tensor) - shape (1, C, 1, 1).

    Outputs:
        Tensor, the same.
    """

    def construct(self, scale: ms.Tensor) -> ms.Tensor:
        """Pass."""
        return scale

    def bprop(self, scale: ms.Tensor, out: ms.Tensor, dout: ms.Tensor) -> tuple[ms.Tensor]:
        """Normalise over the layer and pull towards one half."""
        size = ops.sqrt((dout * dout).mean()) + 1e-12
        return (dout / size + SPRING * (scale - 0.5),)


class KfConv2d(nn.Cell):
    r"""Convolution and BatchNorm in which each channel competes with its knockoff.

    In training mode the batch holds real samples, then as many knockoffs. The first half of the convolution's
    output becomes :math:`b \cdot real + (1-b) \cdot knockoff'`; the second half passes. The scale
    :math:`b \in [0, 1]` starts at one half for each channel and is the only thing that is trained. In evaluation
    mode the cell is convolution and BatchNorm.

    Two things keep the competition alive until the end of the phase. The knockoff is close to the real feature,
    :math:`knockoff' = (1-a) \cdot real + a \cdot knockoff` with a = :data:`DOSE`, so that the network still works
    when all channels are mixed. And the scales of a layer share a budget: what is mixed with is
    :math:`clip(b - mean(b) + 1/2)`, so that a channel gains only at the expense of others.

    Source: Tang et al., SCOP, NeurIPS 2020, equations 4 to 7; closeness and budget are ours, see docs/scop.md.

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
        self.scale_gradient = ScaleGradient()

    def scale(self) -> np.ndarray:
        """The scales b, shape (C,), within [0, 1]; not a number where the phase has diverged."""
        return np.clip(self.kfscale.asnumpy().reshape(-1).astype(np.float64), 0.0, 1.0)

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """Mix in training mode; the halves stay apart, since nothing is trained through the knockoffs."""
        if not self.training:
            return self.bn(self.conv(x))
        count = x.shape[0] // 2
        real = self.conv(x[:count])
        knockoff = ops.stop_gradient(self.conv(ops.stop_gradient(x[count:])))
        mixed = knockoff + self._share().astype(real.dtype) * (real - knockoff)
        return ops.concat((self.bn(mixed), ops.stop_gradient(self.bn(knockoff))), 0)

    def _share(self) -> ms.Tensor:
        """Share of the real feature in the mixture, shape (1, C, 1, 1); its gradient is that of the scale."""
        scale = self.scale_gradient(self.kfscale)
        level = ops.clamp(ops.stop_gradient(scale), 0.0, 1.0)
        level = ops.clamp(level - level.mean() + 0.5, 0.0, 1.0)
        return 1 - DOSE * (1 - level) + (scale - ops.stop_gradient(scale))


class MaskedConv2dbn(nn.Cell):
    """Convolution and BatchNorm whose removed channels are zero.

    ``out_index`` is a parameter with one entry for every channel, 1 where it stays and 0 where it is removed. Its
    shape does not depend on the prune rate, so that a masked checkpoint loads into any masked network.

    The mask multiplies gamma and beta of the BatchNorm (:mod:`~mindspore_gs.pruner.scop.folding`). Where its class
    is the user's own, the mask multiplies the output.

    Args:
        kf_conv2d_ori: the :class:`KfConv2d` to take over; its ``out_index`` says what stays, as such a mask or
            as a list of the channels that stay.
        prex: prefix of the mask's name; default: that of ``kf_conv2d_ori``.

    Inputs:
        - **x** (Tensor) - shape :math:`(N, C, H, W)`.

    Outputs:
        Tensor of shape :math:`(N, C_{out}, H_{out}, W_{out})` in the type that the BatchNorm gives.
    """

    def __init__(self, kf_conv2d_ori: KfConv2d, prex: str = ""):
        super().__init__(auto_prefix=False)
        self.conv = kf_conv2d_ori.conv
        self.bn = kf_conv2d_ori.bn
        self.path, self.bn_path = kf_conv2d_ori.path, kf_conv2d_ori.bn_path
        stays = as_mask(kf_conv2d_ori.out_index, self.conv.out_channels)
        name = _join(prex or self.path, "out_index")
        self.out_index = ms.Parameter(ms.Tensor(stays, ms.int32), name=name, requires_grad=False)
        self.folded = fold_mask(self.bn, self.out_index)

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """Convolve, normalise, mask."""
        x = self.bn(self.conv(x))
        if self.folded:
            return x
        stays = ops.stop_gradient(self.out_index).reshape((1, -1, 1, 1))
        return x * stays.astype(x.dtype)

    @property
    def stays(self) -> np.ndarray:
        """Truth value per channel: whether it stays."""
        return self.out_index.asnumpy().astype(bool)


class MaskedOutput(nn.Cell):
    """A cell whose removed channels are zero: a layer without a BatchNorm of its own, or a second BatchNorm.

    It loses the same channels as the :class:`MaskedConv2dbn` cells that its channels are coupled with.

    Args:
        cell: the cell.
        stays: truth value per channel.
        path: path of the cell in the network, to put it back there.

    Inputs:
        - **x** (Tensor) - whatever the cell takes.

    Outputs:
        Tensor, what the cell returns, times the mask.
    """

    def __init__(self, cell: nn.Cell, stays: np.ndarray, path: str = ""):
        super().__init__(auto_prefix=False)
        self.cell, self.path = cell, path
        self.channels_last = isinstance(cell, nn.Dense)
        self.mask = ms.Parameter(ms.Tensor(stays, ms.int32), name=_join(path, "mask"), requires_grad=False)

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """Compute and mask."""
        x = self.cell(x)
        stays = ops.stop_gradient(self.mask).astype(x.dtype)
        if not self.channels_last:
            stays = stays.reshape((1, -1) + (1,) * (x.ndim - 2))
        return x * stays


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
