"""The cells that SCOP puts in place of a convolution and its BatchNorm."""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindspore_gs._device import pynative_on_a_cpu
from mindspore_gs._precision import FLAGS, OwnPrecision
from mindspore_gs._ranks import number_of_ranks
from mindspore_gs._recompute import recompute_options
from mindspore_gs.pruner.scop.eager import EagerMixture

DOSE = 0.2
SPRING = 4.0


class RealShare(OwnPrecision, nn.Cell):
    r"""The share of the real feature in each channel's mixture; its gradient is evidence that any optimizer can add up.

    A scale b that simply follows its gradient g soon reaches 1 for every channel, and then says nothing. So the scales
    of a layer share a budget: the share is :math:`1 - a (1 - clip(b - mean(b) + 1/2))`, a = :data:`DOSE`, and a channel
    gains only at the expense of others. And the optimizer sees :math:`\hat g + \lambda (b - 1/2)` with
    :math:`\hat g = g / rms(g)` over the channels of the layer, g the gradient of the share: the scales settle at
    :math:`b = 1/2 - E[\hat g] / \lambda`, whatever the optimizer, its learning rate and the depth of the layer.
    :math:`\lambda` is :data:`SPRING`. In data parallel training g is that of the batches of all processes.

    Inputs:
        - **scale** (Tensor) - shape (1, C, 1, 1).

    Outputs:
        Tensor of shape (C,), within [1 - a, 1].
    """

    def __init__(self) -> None:
        super().__init__()
        nn.Cell.add_flags(self, fp32=True)  # also where mixed precision is on around it
        self.ranks = number_of_ranks()
        self.of_all: Any = ops.AllReduce(ops.ReduceOp.SUM) if self.ranks > 1 else None

    def construct(self, scale: ms.Tensor) -> ms.Tensor:
        """Bound, budget, dose."""
        level = ops.clamp(scale, 0.0, 1.0)
        level = ops.clamp(level - (level.mean() - 0.5), 0.0, 1.0)
        return (level * DOSE + (1 - DOSE)).reshape((-1,))

    def bprop(self, scale: ms.Tensor, out: ms.Tensor, dout: ms.Tensor) -> tuple[ms.Tensor]:
        """Normalise over the layer and pull towards one half."""
        evidence = dout.reshape(scale.shape)
        if self.ranks > 1:
            evidence = self.of_all(evidence)
        size = ops.sqrt((evidence * evidence).mean()) + 1e-12
        return (evidence / size + (scale - 0.5) * SPRING,)


class Mixture(OwnPrecision, nn.Cell):
    """What a channel is made of, in single precision whatever comes in.

    The gradient of the share is a sum over samples and pixels, too large for half precision with a scaled loss.
    """

    def __init__(self) -> None:
        super().__init__()
        nn.Cell.add_flags(self, fp32=True)

    def construct(self, share: ms.Tensor, real: ms.Tensor, knockoff: ms.Tensor) -> ms.Tensor:
        """Mix."""
        return knockoff + share.reshape((1, -1, 1, 1)) * (real - knockoff)


class Parts(OwnPrecision, nn.Cell):
    """Real samples and knockoffs of a batch. Nothing is trained through the knockoffs, so no gradient goes there.

    Args:
        reuse: number of real samples that a knockoff serves.
        outer: how often the batch is repeated along the first axis, as it is where views are concatenated. Default: 1.
    """

    def __init__(self, reuse: int, outer: int = 1):
        super().__init__()
        self.reuse, self.outer = reuse, outer
        self.zeros_like = ops.ZerosLike()

    def construct(self, x: ms.Tensor) -> tuple[ms.Tensor, ms.Tensor]:
        """Take apart."""
        if self.outer > 1:
            blocks = _blocks(x, self.outer)
            count = blocks.shape[1] // (self.reuse + 1) * self.reuse
            return _merged(blocks[:, :count]), _merged(blocks[:, count:])
        count = x.shape[0] // (self.reuse + 1) * self.reuse
        return x[:count], x[count:]

    def bprop(self, x: ms.Tensor, out: Any, dout: tuple[ms.Tensor, ms.Tensor]) -> tuple[ms.Tensor]:
        """Zero for the knockoffs."""
        if self.outer > 1:
            return (_joined(dout[0], self.zeros_like(out[1]), self.outer),)
        count = x.shape[0] // (self.reuse + 1) * self.reuse
        return (ops.concat((dout[0], self.zeros_like(x[count:])), 0),)


class Together(OwnPrecision, nn.Cell):
    """Undo :class:`Parts`.

    Args:
        outer: how often the batch is repeated along the first axis. Default: 1.
    """

    def __init__(self, outer: int = 1) -> None:
        super().__init__()
        self.outer = outer
        self.zeros_like = ops.ZerosLike()

    def construct(self, real: ms.Tensor, knockoff: ms.Tensor) -> ms.Tensor:
        """Put together."""
        if self.outer > 1:
            return _joined(real, knockoff, self.outer)
        return ops.concat((real, knockoff), 0)

    def bprop(self, real: ms.Tensor, knockoff: ms.Tensor, out: ms.Tensor, dout: ms.Tensor) -> tuple[ms.Tensor, ...]:
        """Zero for the knockoffs."""
        if self.outer > 1:
            return _merged(_blocks(dout, self.outer)[:, :real.shape[0] // self.outer]), self.zeros_like(knockoff)
        return dout[:real.shape[0]], self.zeros_like(knockoff)


def _blocks(x: ms.Tensor, outer: int) -> ms.Tensor:
    """The first axis taken apart into the repetitions of the batch, and each of them."""
    return x.reshape((outer, x.shape[0] // outer) + x.shape[1:])


def _merged(blocks: ms.Tensor) -> ms.Tensor:
    """Undo :func:`_blocks`."""
    return blocks.reshape((blocks.shape[0] * blocks.shape[1],) + blocks.shape[2:])


def _joined(real: ms.Tensor, knockoff: ms.Tensor, outer: int) -> ms.Tensor:
    """In each repetition of the batch, the real samples and then the knockoffs."""
    return _merged(ops.concat((_blocks(real, outer), _blocks(knockoff, outer)), 1))


class InPlaceOf:
    """Mixed into a cell that stands in the place of another, under its path.

    What the network's own code or a user's reads there and is not the new cell's, such as a weight or a stride, is the
    other's. A parameter that is set becomes the other's.
    """

    def stands_for(self) -> nn.Cell | None:
        """The other cell; None while this one is being made."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        """The other cell's attribute, unless it is one that every cell has."""
        other = self.stands_for()
        own = name in self.__dict__.get("_cells", ()) or name in self.__dict__.get("_params", ())
        if own or other is None or name in FLAGS or name.startswith("_") or name == "bprop":
            return super().__getattr__(name)  # type: ignore[misc]
        return getattr(other, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the other cell's parameter, or an attribute of this one."""
        other = self.stands_for()
        if other is not None and name in vars(other)["_params"]:
            setattr(other, name, value)
        else:
            super().__setattr__(name, value)


class KfConv2d(InPlaceOf, OwnPrecision, nn.Cell):
    r"""Convolution and BatchNorm in which each channel competes with its knockoff.

    In training mode the batch holds real samples, then their knockoffs; each knockoff serves ``reuse`` real samples.
    The real part of the convolution's output becomes :math:`s \cdot real + (1-s) \cdot knockoff`; the knockoff part
    passes. The share s follows the scale b (:class:`RealShare`), which starts at one half for each channel and is the
    only thing that is trained. In evaluation mode the cell is convolution and BatchNorm.

    A share close to 1 keeps the competition alive until the end of the phase: the network still works when all channels
    are mixed.

    BatchNorm is affine on its moving statistics, so what is computed is :math:`BN_s(real - knockoff) + BN(knockoff)`,
    where :math:`BN_s` has :math:`s \gamma` and neither beta nor mean. Its backward pass gives the gradient of s.

    Source: Tang et al., SCOP, NeurIPS 2020, equations 4 to 7; closeness and budget are ours, see docs/scop.md.

    Args:
        conv_ori: the convolution.
        bn_ori: the BatchNorm behind it, or None: then the convolution's own output is mixed.
        prex: prefix of the scale's name, such as ``"layer1.0.conv1"``.
        bn_path: path of the BatchNorm in the network, or None.
        reuse: number of real samples that a knockoff serves. Default: 1.
        outer: how often the batch is repeated along the first axis of the input. Default: 1.

    Inputs:
        - **x** (Tensor) - shape :math:`(N, C, H, W)`; in training mode N is a multiple of ``reuse + 1``: n real
          samples, then n / reuse knockoffs, of which the k-th serves the real samples k, k + n / reuse, ...

    Outputs:
        Tensor of shape :math:`(N, C_{out}, H_{out}, W_{out})`.
    """

    def __init__(self, conv_ori: nn.Conv2d, bn_ori: nn.Cell | None, prex: str = "", bn_path: str | None = None,
                 reuse: int = 1, outer: int = 1):
        super().__init__(auto_prefix=False)
        self.conv = conv_ori
        self.bn: Any = bn_ori
        self.path, self.bn_path = prex, bn_path
        self.out_channels = conv_ori.out_channels
        self.out_index = np.ones(conv_ori.out_channels, np.int32)
        start = ms.Tensor(np.full((1, conv_ori.out_channels, 1, 1), 0.5, np.float32))
        self.kfscale = ms.Parameter(start, name=_join(prex, "kfscale"))
        self.share, self.mixture = RealShare(), Mixture()
        self.reuse, self.outer = reuse, outer
        self.parts, self.together = Parts(reuse, outer), Together(outer)
        self.zeros = ms.Tensor(np.zeros(conv_ori.out_channels, np.float32))
        self.plain_norm = type(bn_ori) is nn.BatchNorm2d
        self.eager: Any = EagerMixture(conv_ori.out_channels, DOSE, SPRING, reuse, outer) if self.plain_norm else None
        self.eagerly = False

    def stands_for(self) -> nn.Cell | None:
        """The convolution, once it is there."""
        return self.__dict__.get("_cells", {}).get("conv")

    def helpers(self) -> tuple[nn.Cell, ...]:
        """The cells inside that are not the network's."""
        return self.share, self.mixture, self.parts, self.together

    def scale(self) -> np.ndarray:
        """The scales b, shape (C,), within [0, 1]; not a number where the phase has diverged."""
        return np.clip(self.kfscale.asnumpy().reshape(-1).astype(np.float64), 0.0, 1.0)

    def __call__(self, x: ms.Tensor) -> ms.Tensor:
        """Remember that PyNative mode calls; Graph mode compiles ``construct`` without coming here."""
        plain = self.eager is not None and type(self.share) is RealShare and recompute_options(self) is None
        self.__dict__["eagerly"] = plain and pynative_on_a_cpu()
        try:
            return super().__call__(x)
        finally:
            self.__dict__["eagerly"] = False

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """Mix in training mode; the parts stay apart, since nothing is trained through the knockoffs."""
        if not self.training:
            return self._normalised(self.conv(x))
        if self.eagerly:  # noqa: SIM102 - nested, so that Graph mode, where it is False, does not look inside
            if self._is_affine(x):
                return self.eager.mix(x, self.conv, self.bn, self.kfscale)
        real, knockoff = self.parts(x)
        real, knockoff = self.conv(real), ops.stop_gradient(self.conv(knockoff))
        passing = ops.stop_gradient(self._normalised(knockoff))
        share = self.share(self.kfscale)
        if self._is_affine(real):
            gamma = ops.stop_gradient(self.bn.gamma) * share
            apart = self.bn.bn_infer(real - self._for_each(knockoff), gamma, self.zeros, self.zeros,
                                     self.bn.moving_variance)[0]
            return self.together(apart + self._for_each(passing), passing)
        knockoff = self._for_each(knockoff)
        if real.dtype == ms.float32:
            share = share.reshape((1, -1, 1, 1))
            return self.together(self._normalised(knockoff + share * (real - knockoff)), passing)
        mixed = self.mixture(share, real, knockoff).astype(real.dtype)
        return self.together(self._normalised(mixed), passing)

    def _normalised(self, x: ms.Tensor) -> ms.Tensor:
        """What the BatchNorm makes of it, where there is one."""
        return x if self.bn is None else self.bn(x)

    def _is_affine(self, real: ms.Tensor) -> bool:
        """Whether BatchNorm's own operator can be given a gamma: MindSpore's cell, moving statistics, float32."""
        if real.dtype != ms.float32 or not self.plain_norm or not hasattr(self.bn, "bn_infer"):
            return False
        return self.bn.use_batch_statistics is False

    def _for_each(self, knockoff: ms.Tensor) -> ms.Tensor:
        """The knockoff of each real sample."""
        if self.reuse == 1:
            return knockoff
        if self.outer > 1:
            return _merged(ops.tile(_blocks(knockoff, self.outer), (1, self.reuse, 1, 1, 1)))
        return ops.tile(knockoff, (self.reuse, 1, 1, 1))


class Passing(InPlaceOf, nn.SequentialCell):
    """What stands in the place of a BatchNorm that a :class:`KfConv2d` holds: it returns what comes in.

    Args:
        norm: the BatchNorm.
    """

    def __init__(self, norm: nn.Cell):
        super().__init__()
        self.__dict__["norm"] = norm

    def stands_for(self) -> nn.Cell | None:
        """The BatchNorm, once it is there."""
        return self.__dict__.get("norm")


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
