"""Start the search from a float checkpoint after ``apply``."""

import os
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import parameters_by_name
from mindspore_gs.checkpoint import read_checkpoint
from mindspore_gs.errors import CheckpointError, PruningError
from mindspore_gs.quantization.slb.layers import slb_layers
from mindspore_gs.quantization.slb.slb_fake_quantizer import SlbFakeQuantizerPerLayer
from mindspore_gs.quantization.slb.slb_quant import LOGITS, RoundingOperator
from mindspore_gs.quantization.slb.values import best_scales, logits_for


def load_float(net: nn.Cell, path: str | os.PathLike) -> nn.Cell:
    """Load the checkpoint of the float network into the network that ``apply`` returned.

    Scales and logits of the searched layers are computed from the float weights, as ``apply`` does. A checkpoint of
    the searched network itself is loaded with ``mindspore.load_checkpoint`` as usual.

    Args:
        net: what ``SlbQuantAwareTraining.apply`` returned, changed in place.
        path: the file that ``mindspore.save_checkpoint`` wrote for the float network.

    Returns:
        The same network.

    Raises:
        PruningError: ``net`` has no searched layers.
        CheckpointError: the file cannot be read, or does not fit; the network stays as it is.
    """
    layers = slb_layers(net)
    if not layers:
        raise PruningError(f"{type(net).__name__} has no layers with searched weights; call "
                           "SlbQuantAwareTraining.apply() on it first.")
    values, own = read_checkpoint(path), parameters_by_name(net)
    names = {id(parameter): name for name, parameter in own.items()}
    logits = {names[id(vars(cell)[LOGITS])]: cell for cell in layers.values()}
    internal = {names[id(p)] for cell in layers.values() for p in _made_here(cell)}
    new: dict[str, np.ndarray] = {}
    for name, parameter in own.items():
        if name in internal:
            continue
        shape = parameter.shape[:-1] if name in logits else parameter.shape
        if name not in values or tuple(values[name].shape) != tuple(shape):
            got = f"the shape {tuple(values[name].shape)}" if name in values else "no entry"
            raise CheckpointError(f"{path} has {got} for {name!r}, where the float network has {tuple(shape)}; give "
                                  "the checkpoint of the float network.")
        new[name] = values[name].asnumpy()
    for name, value in new.items():
        if name in logits:
            _start(logits[name], value)
        else:
            own[name].set_data(ms.Tensor(value, own[name].dtype))
    return net


def _made_here(cell: Any) -> list[ms.Parameter]:
    """What ``apply`` added to a layer besides the logits."""
    inner = [child for child in cell.cells() if isinstance(child, (SlbFakeQuantizerPerLayer, RoundingOperator))]
    return [cell.weight_scale, *(p for child in inner for p in child.get_parameters())]


def _start(cell: Any, weight: np.ndarray) -> None:
    bits = cell.weight_quantizer().num_bits
    temperature = float(cell.weight_quantizer().temperature.asnumpy()[0])
    scale = best_scales(weight, bits)
    rows = np.where(scale > 0, scale, 1).reshape(-1, *(1,) * (weight.ndim - 1))
    logits = vars(cell)[LOGITS]
    logits.set_data(ms.Tensor(logits_for(weight / rows, bits, temperature), logits.dtype))
    cell.weight_scale.set_data(ms.Tensor(scale, cell.weight_scale.dtype))
