"""Random values for every parameter of a network, so that a wrong slice cannot hide behind zeros and ones."""

from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import NORMS, evaluating


def images(shape: tuple[int, int, int, int], seed: int = 0) -> ms.Tensor:
    """Random images with large patches and fine noise; two of them differ even behind a global average."""
    random = np.random.default_rng(seed)
    number, channels, height, width = shape
    patch = -(-max(height, width) // 4)
    patches = np.kron(random.standard_normal((number, channels, 4, 4)), np.ones((patch, patch)))
    values = patches[..., :height, :width] + 0.5 * random.standard_normal(shape)
    return ms.Tensor(values.astype(np.float32))


def samples(shapes: Sequence[tuple[int, ...]], seed: int = 0, batch: int = 2) -> list[ms.Tensor]:
    """A batch for each input: images where it has height and width, random numbers otherwise."""
    found = []
    for k, shape in enumerate(shapes):
        if len(shape) == 3:
            found.append(images((batch, *shape), seed + 10 * k))
        else:
            values = np.random.default_rng(seed + 10 * k).standard_normal((batch, *shape))
            found.append(ms.Tensor(values.astype(np.float32)))
    return found


def randomise(net: nn.Cell, seed: int = 0) -> nn.Cell:
    """Fill ``net``, in place, with random values; parameters of integer type stay.

    Weights of convolutions and dense layers are normal with variance 2 / fan-in (4 / fan-in in a network without
    normalisation, where half of the channels have to carry the signal; 1/2 / fan-in for dense layers beside a
    LayerNorm, or the logits of attention become so large that one rounding decides what its softmax picks). Scales
    (gamma, variances, layer scales) are uniform in [0.5, 1.5]. The beta of a BatchNorm is normal around 0.5 with 0.2:
    around 0 the ReLU behind it cuts every channel in half, and a hundred of these blow up a rounding a thousand times.
    Everything else (biases, means, tables, tokens) is normal with 0.2.
    """
    random = np.random.default_rng(seed)
    kinds = {type(cell) for _, cell in net.cells_and_names()}
    gain = 2.0 if any(issubclass(kind, (*NORMS, nn.LayerNorm, nn.GroupNorm)) for kind in kinds) else 4.0
    dense_gain = 0.5 if any(issubclass(kind, nn.LayerNorm) for kind in kinds) else gain
    shifts = {cell.beta.name for _, cell in net.cells_and_names() if isinstance(cell, NORMS)}
    for parameter in net.get_parameters():
        if "Float" in str(parameter.dtype):
            kind, shape = parameter.name.rsplit(".", 1)[-1], tuple(parameter.shape)
            values = _values(kind, shape, random, dense_gain if len(shape) == 2 else gain)
            values = values + 0.5 if parameter.name in shifts else values
            parameter.set_data(ms.Tensor(values.astype(np.float32), parameter.dtype))
    return net


def _values(kind: str, shape: tuple[int, ...], random: np.random.Generator, gain: float) -> np.ndarray:
    if kind.endswith("weight") and len(shape) > 1:
        return random.normal(0, np.sqrt(gain / np.prod(shape[1:])), shape)
    if kind.endswith(("variance", "weight")) or "gamma" in kind or "scale" in kind:
        return random.uniform(0.5, 1.5, shape)
    return random.normal(0, 0.2, shape)


def calibrate(net: nn.Cell, *inputs: ms.Tensor, seed: int = 0) -> nn.Cell:
    """Give each BatchNorm of ``net``, in place, moving statistics under which the signal for ``inputs`` keeps its size.

    The variance of a channel is that of the BatchNorm's input plus its mean over the channels, stretched by
    [0.5, 1.5]: a channel that hardly varies for them would otherwise blow up rounding errors and other inputs. The
    mean is that of the input, moved by 0.2 of these deviations. Channels that are constant keep what they have.
    ``net`` runs once in PyNative mode.
    """
    random = np.random.default_rng(seed)
    norms = [cell for _, cell in net.cells_and_names() if isinstance(cell, NORMS)]
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    hooks = [norm.register_forward_pre_hook(lambda norm, inputs: _set_statistics(norm, inputs[0], random))
             for norm in norms]
    try:
        with evaluating(net):
            net(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
        ms.set_context(mode=mode)
    return net


def _set_statistics(norm: nn.Cell, x: ms.Tensor, random: np.random.Generator) -> None:
    values = x.asnumpy()
    axes = tuple(k for k in range(values.ndim) if k != 1)
    spread = values.var(axes)
    alive = spread > 0
    if not alive.any():
        return
    deviation = np.sqrt(spread + spread[alive].mean())
    mean = values.mean(axes) + 0.2 * deviation * random.standard_normal(spread.shape)
    variance = deviation ** 2 * random.uniform(0.5, 1.5, mean.shape)
    for parameter, found in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        kept = np.where(alive, found, parameter.asnumpy()).astype(np.float32)
        parameter.set_data(ms.Tensor(kept, parameter.dtype))
