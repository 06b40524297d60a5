"""What is mixed into a layer's class so that its weights are searched. Graph mode compiles this file.

A mixin and not a wrapper: the cell stays the object that it was, with its path, its options and its own ``construct``;
only ``weight`` reads as something else. So every convolution of MindSpore works, grouped or dilated, and classes that
users derive from them.
"""

import mindspore as ms
from mindspore import nn, ops

from mindspore_gs.masks.values import as_read
from mindspore_gs.quantization.slb.searched import SearchedValue, refuse_weight
from mindspore_gs.quantization.slb.slb_fake_quantizer import round_to, weights_of

LOGITS = "slb_logits"


class SearchedWeight(property):
    """A weight that reads as scale times what the quantizer makes of the logits.

    It takes the attribute's place in the class of a cell. The logits stay registered under the weight's name.

    Args:
        dimensions: how many axes the weight has; the scale lies along the first.
    """

    def __init__(self, dimensions):
        shape = (-1,) + (1,) * (dimensions - 1)

        def read(self):
            quantizer = self._weight_quantizer
            weight = weights_of(self.slb_logits, quantizer.values, quantizer.temperature,
                                quantizer.flag_temperature_end_changing, self.training)
            return weight * self.weight_scale.reshape(shape)

        super().__init__(read)
        self.dimensions = dimensions

    def __get__(self, cell, owner=None):
        """What Python reads; Graph mode compiles ``read``."""
        value = super().__get__(cell, owner)
        return value if cell is None else as_read(value, cell.__dict__[LOGITS], SearchedValue)

    def __reduce__(self):
        return SearchedWeight, (self.dimensions,)


class SlbLayer:
    """Mixed into the class of a layer together with a :class:`SearchedWeight` in the place of ``weight``.

    The parameter that carries the weight's name holds the logits, of the weight's shape and one more axis of size
    2^bits. ``weight_scale`` has one number for each output channel, and nothing trains it.
    """

    def __setattr__(self, name, value):
        """Refuse another weight; any other attribute is set."""
        if name == "weight" and LOGITS in self.__dict__:
            refuse_weight(self.__dict__[LOGITS].name, "a weight in its place")
        super().__setattr__(name, value)

    def weight_quantizer(self):
        """The cell that turns logits into weights."""
        return self._weight_quantizer


class Conv2dSlbQuant(SlbLayer):
    """Mixed into the class of a convolution whose weights are searched."""


class DenseSlbQuant(SlbLayer):
    """Mixed into the class of a dense layer whose weights are searched."""


class RoundingOperator(nn.Cell):
    """The operator of a layer behind a quantizer of its first input.

    It takes the operator's place in the layer and not that of the layer's ``construct``: where a mixin's ``construct``
    calls that of the layer, Graph mode takes the searched weight for a constant, and the logits get no gradient.

    Args:
        quantizer: the cell that rounds, an ``SlbActQuantizer`` or a :class:`FixedRounding`.
        operator: what the layer computes with.

    Inputs:
        - **x**: the layer's input.
        - **rest**: the weight, and whatever else the operator takes.

    Outputs:
        What the operator gives.
    """

    def __init__(self, quantizer, operator):
        super().__init__()
        self.quantizer = quantizer
        self.operator = operator

    def construct(self, x, *rest):
        """Round, then compute."""
        return self.operator(self.quantizer(x), *rest)


class FixedRounding(nn.Cell):
    """Round to fixed numbers.

    Args:
        low: lowest value.
        high: highest value.
        top: the largest integer; the numbers are ``top + 1`` evenly spaced ones, and 0 is one of them.

    Inputs:
        - **x**: any shape.

    Outputs:
        The same shape and type.
    """

    def __init__(self, low, high, top):
        super().__init__()
        self.bounds = float(low), float(high)
        self.low, self.high = ms.Tensor([low], ms.float32), ms.Tensor([high], ms.float32)
        self.top = top

    def construct(self, x):
        """Round."""
        return ops.cast(round_to(ops.cast(x, ms.float32), self.low, self.high, self.top), x.dtype)
