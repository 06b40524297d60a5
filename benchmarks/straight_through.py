"""The usual way to train weights of few bits, to compare SLB with: round in the forward pass, ignore it backwards.

Candidates and scales are those of SLB, so that only the estimator differs. With the latent float weight W, the scale s
of its output channel and the nearest candidate q, the layer computes with s q(W / s), and W gets the gradient of that
weight where W / s lies within [-1, 1], and none elsewhere. Source: Bengio, Leonard, Courville, Estimating or
Propagating Gradients Through Stochastic Neurons, 2013; clipped as in Courbariaux et al., BinaryConnect, NeurIPS 2015.
"""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindspore_gs._cells import copy_network, forget_compilation
from mindspore_gs._mixin import has, mix_in, take_out
from mindspore_gs.quantization.slb.layers import chosen_layers
from mindspore_gs.quantization.slb.values import best_scales, candidates, nearest


class RoundedWeight(property):
    """A weight that reads as scale times the nearest candidate."""

    def __init__(self, dimensions, top):
        shape = (-1,) + (1,) * (dimensions - 1)

        def read(self):
            scale = self.ste_scale.reshape(shape)
            inside = ops.clip_by_value(self.ste_latent / scale, -1.0, 1.0)
            rounded = ops.round((inside + 1) * (top / 2)) * (2 / top) - 1
            return scale * (inside + ops.stop_gradient(rounded - inside))

        super().__init__(read)
        self.arguments = dimensions, top

    def __reduce__(self):
        return RoundedWeight, self.arguments


class StraightThrough:
    """Mixed into the class of a layer together with a :class:`RoundedWeight`."""


def round_weights(net: nn.Cell, config) -> nn.Cell:
    """Round the weights of the layers that SLB would search, in place. ``config``: that of SlbQuantAwareTraining."""
    for cell in chosen_layers(net, config).values():
        weight = cell.weight
        scale = np.maximum(best_scales(weight.asnumpy(), config.bits), np.finfo(np.float32).tiny)
        vars(cell)["ste_latent"] = weight
        vars(cell)["ste_bits"] = config.bits
        cell.ste_scale = ms.Tensor(scale)
        mix_in(cell, StraightThrough, weight=RoundedWeight(weight.ndim, 2 ** config.bits - 1))
    forget_compilation(net)
    return net


def plain_weights(net: nn.Cell) -> nn.Cell:
    """A copy of plain cells with the rounded weights."""
    twin = copy_network(net)
    for _, cell in twin.cells_and_names():
        if has(cell, StraightThrough):
            scale = cell.ste_scale.asnumpy().reshape(-1, *(1,) * (cell.ste_latent.ndim - 1))
            latent, bits = vars(cell).pop("ste_latent"), vars(cell).pop("ste_bits")
            chosen = candidates(bits)[nearest(latent.asnumpy() / scale, bits)]
            take_out(cell, StraightThrough)
            del cell.ste_scale
            latent.set_data(ms.Tensor((chosen * scale).astype(np.float32), latent.dtype))
    forget_compilation(twin)
    return twin
