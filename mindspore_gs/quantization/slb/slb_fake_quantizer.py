"""The cells that quantise while a network is trained: weights by SLB, activations to 8 bits. Graph mode compiles them.

Only operators that MindSpore has for CPU, GPU and Ascend are used.
"""

import mindspore as ms
import numpy as np
from mindspore import Parameter, nn, ops

from mindspore_gs.quantization.slb.values import BITS, candidates

_SHARPEST = 30000.0  # half precision holds it; logits that are 0.001 apart are one candidate by then
_LARGEST = 1e38  # of the temperatures that float32 holds


class SlbFakeQuantizerPerLayer(nn.Cell):
    r"""Turn the logits of a layer into its weights.

    In training a weight is the mean of the candidates :math:`v_i` under softmax(T x logits). In evaluation, and in
    training once :meth:`set_temperature_end_flag` was called, it is the likeliest candidate.

    Args:
        num_bits: 1, 2 or 4. Default: 1.

    Inputs:
        - **x**: logits of shape (..., 2^num_bits).

    Outputs:
        Weights in [-1, 1] of shape (...).

    Raises:
        ValueError: ``num_bits`` is another number.

    Examples:
        >>> import mindspore as ms
        >>> from mindspore_gs.quantization.slb.slb_fake_quantizer import SlbFakeQuantizerPerLayer
        >>> quantizer = SlbFakeQuantizerPerLayer(1)
        >>> logits = ms.Tensor([[-0.5, 0.5], [2.0, 0.0]])
        >>> [round(float(w), 4) for w in quantizer.set_train()(logits).asnumpy()]
        [0.4621, -0.7616]
        >>> quantizer.set_train(False)(logits).asnumpy().tolist()
        [1.0, -1.0]
    """

    def __init__(self, num_bits=1):
        super().__init__()
        if num_bits not in BITS:
            raise ValueError(f"For '{type(self).__name__}', the 'num_bits' must be one of {BITS}, but got "
                             f"{num_bits!r}.")
        self.num_bits = num_bits
        self.values = ms.Tensor(candidates(num_bits))
        self.temperature = Parameter(ms.Tensor([1.0], ms.float32), name="temperature", requires_grad=False)
        self.flag_temperature_end_changing = Parameter(ms.Tensor([0.0], ms.float32), requires_grad=False,
                                                       name="flag_temperature_end_changing")

    def set_temperature(self, t):
        """Set T, a positive number.

        Raises:
            ValueError: ``t`` is not positive.
        """
        if not t > 0:
            raise ValueError(f"For '{type(self).__name__}', the temperature must be > 0, but got {t!r}.")
        self.temperature.set_data(ms.Tensor([min(t, _LARGEST)], ms.float32))

    def set_temperature_end_flag(self, ended=True):
        """From now on training takes the likeliest candidates, too. With False it takes the mean again."""
        self.flag_temperature_end_changing.set_data(ms.Tensor([float(ended)], ms.float32))

    def construct(self, x):
        """(..., 2^num_bits) -> (...)."""
        return weights_of(x, self.values, self.temperature, self.flag_temperature_end_changing, self.training)

    def extend_repr(self):
        """Bits."""
        return f"bit_num={self.num_bits}"


def weights_of(logits, values, temperature, ended, training):
    """The likeliest of ``values``; in training their mean, until ``ended`` is 1.

    A function, because Graph mode crashes where a property calls a child cell and another mixin has a ``construct``.
    """
    values = ops.cast(values, logits.dtype)
    hard = ops.gather(values, ops.argmax(logits, -1), 0)
    if not training:
        return hard
    ended = ops.cast(ended, logits.dtype)
    below = logits - ops.stop_gradient(logits.max(-1, keepdims=True))  # the likeliest is 0, and stays so times any T
    sharp = ops.cast(ops.minimum(temperature, _SHARPEST), logits.dtype)
    soft = (ops.softmax(below * sharp, -1) * values).sum(-1)
    return hard * ended + soft * (1 - ended)


class SlbActQuantizer(nn.Cell):
    r"""Round activations to integers of few bits, with a range that is observed in training.

    With the range [lo, hi], which always contains 0, the step is (hi - lo) / (2^num_bits - 1) and the zero point is
    round(-lo / step). The output is step x (clip(round(x / step) + zero point) - zero point). Gradients pass where x is
    inside of the range, and are zero elsewhere.

    Args:
        ema: how the range follows the batches. False: it is that of the last batch. True: it is the mean over the
            batches, and after 1 / (1 - ema_decay) of them an exponential average. Default: False.
        ema_decay: share of the old range in an exponential average. Default: 0.999.
        symmetric: lo = -hi, and the zero point is in the middle. Default: False.
        narrow_range: one integer fewer. Default: False.
        num_bits: bits of an activation. Default: 8.
        quant_delay: training steps in which the range is observed but nothing is rounded. Default: 900.
            Evaluation always rounds.

    Inputs:
        - **x**: any shape.

    Outputs:
        The same shape and type.
    """

    def __init__(self, ema=False, ema_decay=0.999, symmetric=False, narrow_range=False, num_bits=8, quant_delay=900):
        super().__init__()
        self.ema, self.ema_decay, self.symmetric, self.narrow_range = ema, ema_decay, symmetric, narrow_range
        self.num_bits, self.quant_delay = num_bits, quant_delay
        self.top = 2 ** num_bits - (2 if narrow_range else 1)
        self.longest = 1.0 / (1.0 - ema_decay) if ema else 1.0
        self.float_min = Parameter(ms.Tensor([-6.0], ms.float32), name="float_min", requires_grad=False)
        self.float_max = Parameter(ms.Tensor([6.0], ms.float32), name="float_max", requires_grad=False)
        self.steps = Parameter(ms.Tensor([0.0], ms.float32), name="steps", requires_grad=False)

    def construct(self, x):
        """Round, and observe the range in training mode."""
        value = ops.cast(x, ms.float32)
        if not self.training:
            return ops.cast(self._rounded(value, self.float_min, self.float_max), x.dtype)
        steps = self.steps + 1
        low, high = self._observed(ops.stop_gradient(value), steps)
        rounded = self._rounded(value, low, high)
        inside = ops.minimum(ops.maximum(value, low), high)
        begun = ops.cast(steps > self.quant_delay, ms.float32)
        straight = inside + ops.stop_gradient(rounded - inside)
        ops.assign(self.float_min, low)
        ops.assign(self.float_max, high)
        ops.assign(self.steps, steps)
        return ops.cast(straight * begun + value * (1 - begun), x.dtype)

    def _observed(self, value, steps):
        """The range with this batch in it."""
        low = ops.minimum(value.min(), 0.0)
        high = ops.maximum(value.max(), 0.0)
        if self.symmetric:
            high = ops.maximum(high, -low)
            low = -high
        share = 1.0 / ops.minimum(steps, self.longest)
        return self.float_min + (low - self.float_min) * share, self.float_max + (high - self.float_max) * share

    def _rounded(self, value, low, high):
        return round_to(value, low, high, self.top)

    def range(self):
        """Lowest and highest value, step, and zero point, as Python numbers.

        Returns:
            (lo, hi, step, zero point); the zero point is an int.
        """
        low, high = (np.float32(p.asnumpy()[0]) for p in (self.float_min, self.float_max))
        step = max(np.float32((high - low) / np.float32(self.top)), np.float32(1e-12))
        return float(low), float(high), float(step), int(np.rint(-low / step))

    def extend_repr(self):
        """Options."""
        return (f"bit_num={self.num_bits}, symmetric={self.symmetric}, narrow_range={self.narrow_range}, "
                f"ema={self.ema}({self.ema_decay}), per_channel=False, quant_delay={self.quant_delay}")


def round_to(value, low, high, top):
    """``value`` on the grid of the integers from 0 to ``top`` that lie on [low, high]; float32."""
    step = ops.maximum((high - low) / top, 1e-12)
    zero = ops.round(-low / step)
    number = ops.minimum(ops.maximum(ops.round(value / step) + zero, 0.0), float(top))
    return (number - zero) * step
