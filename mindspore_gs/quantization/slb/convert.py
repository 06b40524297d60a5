"""From searched weights to plain cells."""

from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, forget_compilation
from mindspore_gs._mixin import has, take_out
from mindspore_gs.errors import PruningError
from mindspore_gs.quantization.slb.layers import MARK, leave_input, round_input, slb_layers
from mindspore_gs.quantization.slb.slb_quant import LOGITS, Conv2dSlbQuant, DenseSlbQuant, FixedRounding
from mindspore_gs.quantization.slb.values import candidates
from mindspore_gs.record import drop_form, set_form
from mindspore_gs.slim.alongside import Alongside

GRID = "slb_grid"


@dataclass(frozen=True, eq=False)
class Grid(Alongside):
    """Where the weights of a converted layer lie: on scale times candidate.

    Attributes:
        bits: of a weight.
        scale: one number for each output channel.
    """

    bits: int
    scale: np.ndarray

    def kept(self, axis: int, indices: tuple[int, ...]) -> "Grid":
        """Without the scales of output channels that are gone."""
        return Grid(self.bits, self.scale[list(indices)]) if axis == 0 else self


def converted(net: nn.Cell) -> nn.Cell:
    """A copy with plain cells, whose weights are scale times candidate.

    Raises:
        PruningError: ``net`` has no searched layers.
    """
    if not slb_layers(net):
        raise PruningError(f"{type(net).__name__} has no layers with searched weights to convert; call "
                           "SlbQuantAwareTraining.apply() on it first.")
    twin = copy_network(net)
    weights: dict[int, tuple[np.ndarray, np.ndarray, int]] = {}
    for cell in slb_layers(twin).values():
        _plain(cell, weights)
    for cell in (cell for _, cell in twin.cells_and_names() if MARK in vars(cell)):
        delattr(cell, MARK)
    forget_compilation(twin)
    return twin


def _plain(cell: Any, weights: dict[int, tuple[np.ndarray, np.ndarray, int]]) -> None:
    """Take out what ``apply`` put in. ``weights`` has those of parameters that several cells share."""
    parameter = vars(cell).pop(LOGITS)
    if id(parameter) not in weights:
        bits, scale = cell.weight_quantizer().num_bits, cell.weight_scale.asnumpy()
        values = candidates(bits).astype(scale.dtype)[parameter.asnumpy().argmax(-1)]
        weights[id(parameter)] = values * scale.reshape(-1, *(1,) * (values.ndim - 1)), scale, bits
    values, scale, bits = weights[id(parameter)]
    quantizer: Any = leave_input(cell)
    take_out(cell, Conv2dSlbQuant if has(cell, Conv2dSlbQuant) else DenseSlbQuant)
    parameter.set_data(ms.Tensor(values, parameter.dtype), slice_shape=True)
    del cell._weight_quantizer, cell.weight_scale
    vars(cell)[GRID] = Grid(bits, scale)
    drop_form(cell)
    if quantizer is not None:
        low, high, _, _ = quantizer.range()
        round_input(cell, FixedRounding(low, high, quantizer.top))
        set_form(cell, "rounded")


def quantized_layers(net: nn.Cell) -> dict[str, Any]:
    """The cells of a converted network whose weights are quantised, by path."""
    return {path: cell for path, cell in net.cells_and_names() if GRID in vars(cell)}
