"""What is mixed into a layer's class so that its weights are searched. Graph mode compiles this file.

A mixin and not a wrapper: the cell stays the object that it was, with its path, its options and its own ``construct``;
only ``weight`` reads as something else. So every convolution of MindSpore works, grouped or dilated, and classes that
users derive from them.
"""

import mindspore as ms
from mindspore import ops

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

    def __reduce__(self):
        return SearchedWeight, (self.dimensions,)


class SlbLayer:
    """Mixed into the class of a layer together with a :class:`SearchedWeight` in the place of ``weight``.

    The parameter that carries the weight's name holds the logits, of the weight's shape and one more axis of size
    2^bits. ``weight_scale`` has one number for each output channel, and nothing trains it.
    """

    def weight_quantizer(self):
        """The cell that turns logits into weights."""
        return self._weight_quantizer


class Conv2dSlbQuant(SlbLayer):
    """Mixed into the class of a convolution whose weights are searched."""


class DenseSlbQuant(SlbLayer):
    """Mixed into the class of a dense layer whose weights are searched."""


class ObservedInput:
    """Mixed into the class of a layer whose input is rounded, by a quantizer that observes the range in training."""

    def construct(self, x):
        """What the layer computes from the rounded input."""
        return super(ObservedInput, self).construct(self._input_quantizer(x))


class RoundedInput:
    """Mixed into the class of a converted layer whose input is rounded; the numbers do not change any more.

    The cell holds ``input_low`` and ``input_high``, tensors of one number, and ``input_top``, the largest integer.
    """

    def construct(self, x):
        """What the layer computes from the rounded input."""
        value = ops.cast(x, ms.float32)
        value = round_to(value, self.input_low, self.input_high, self.input_top)
        return super(RoundedInput, self).construct(ops.cast(value, x.dtype))
