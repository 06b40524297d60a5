r"""The mathematics of SLB in NumPy: candidates, scales, and logits that reproduce given weights.

A weight of b bits is one of :math:`L = 2^b` candidates, evenly spaced from -1 to 1 with the distance
:math:`\Delta = 2 / (L - 1)`, times the scale of its output channel. Source: Yang et al., Searching for Low-Bit Weights
in Quantized Neural Networks, NeurIPS 2020. The paper has neither scales nor a start from trained weights; these are
ours.
"""

import numpy as np

BITS = (1, 2, 4)
_SHARPNESS = 2.0  # the logit of a candidate falls by this much one distance away from the preferred value
_MARGIN = 0.05  # how near to the outermost candidates a soft weight may start, in distances of candidates
_FACTORS = np.linspace(0.25, 1.0, 24)  # shares of the largest weight that are tried as scales
_POINTS = 20001


def candidates(bits: int) -> np.ndarray:
    """The values that a weight of ``bits`` bits takes, in rising order, as float32.

    >>> candidates(1).tolist(), candidates(2).round(2).tolist()
    ([-1.0, 1.0], [-1.0, -0.33000001311302185, 0.33000001311302185, 1.0])
    """
    return np.linspace(-1, 1, 2 ** bits).astype(np.float32)


def nearest(values: np.ndarray, bits: int) -> np.ndarray:
    """Number of the nearest candidate for values in units of the scale; those outside of [-1, 1] get the ends.

    >>> nearest(np.array([-3.0, -0.2, 0.2, 0.9]), 2).tolist()
    [0, 1, 2, 3]
    """
    top = 2 ** bits - 1
    return np.clip(np.rint((values + 1) * (top / 2)), 0, top).astype(np.uint8)


def best_scales(weight: np.ndarray, bits: int) -> np.ndarray:
    r"""A scale for each output channel, with which the quantised weights have the least squared error.

    For given candidates :math:`v_i` of the weights :math:`w_i` of a channel, :math:`s = \sum w_i v_i / \sum v_i^2`
    minimises :math:`\sum (w_i - s v_i)^2`. The candidates are the nearest ones for 24 shares of the largest weight, and
    once more for the scale that comes out. The best of the 24 results is taken. With 1 bit all shares give the signs,
    and s is the mean magnitude.

    Args:
        weight: (out, ...) float weights.
        bits: 1, 2 or 4.

    Returns:
        (out,) float32. A channel of zeros gets 0 and stays zero.

    >>> best_scales(np.array([[0.5, -1.5, 1.0], [0.0, 0.0, 0.0]]), 1).tolist()
    [1.0, 0.0]
    """
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    largest = np.abs(rows).max(axis=1)
    safe = np.where(largest > 0, largest, 1)
    values = candidates(bits).astype(np.float64)
    best, least = np.zeros(len(rows)), np.full(len(rows), np.inf)
    for factor in _FACTORS if bits > 1 else _FACTORS[-1:]:
        chosen = values[nearest(rows / (factor * safe)[:, None], bits)]
        scale = (rows * chosen).sum(axis=1) / (chosen ** 2).sum(axis=1)
        if bits > 1:
            chosen = values[nearest(rows / np.where(scale > 0, scale, 1)[:, None], bits)]
            scale = (rows * chosen).sum(axis=1) / (chosen ** 2).sum(axis=1)
        error = ((rows - scale[:, None] * chosen) ** 2).sum(axis=1)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    return np.where(largest > 0, best, 0).astype(np.float32)


def logits_for(soft: np.ndarray, bits: int, temperature: float = 1.0) -> np.ndarray:
    r"""Logits whose soft weight at the given temperature is ``soft``, as nearly as the candidates allow.

    Many distributions over the candidates :math:`v_i` have the mean m. This one is

    .. math:: p_i \propto \exp(-\beta v_i^2 + \lambda v_i), \qquad \beta = 2 / \Delta^2,

    a normal distribution on the candidates. It is concentrated on the neighbours of m and leaves the others a
    probability that gradients can work with. The mean rises strictly with :math:`\lambda` (its derivative is the
    variance), so :math:`\lambda` is unique; with 1 bit it is artanh(m). The logits are the exponents, less their
    mean, over the temperature T, because training takes softmax(T x logits). They are finite, so m is first clipped to
    0.05 distances inside of the outermost candidates.

    Args:
        soft: weights over their scales, any shape.
        bits: 1, 2 or 4.
        temperature: T at the start of training.

    Returns:
        float32 of the shape of ``soft`` and one more axis of size 2^bits.

    >>> (logits_for(np.array([0.0, 0.5]), 1) * 1000).round().astype(int).tolist()
    [[0, 0], [-549, 549]]
    """
    v = candidates(bits).astype(np.float64)
    distance = v[1] - v[0]
    beta = _SHARPNESS / distance ** 2
    limit = 1 - _MARGIN * distance
    top = (np.log(1 / _MARGIN) + 1 + beta * (1 - v[-2] ** 2)) / distance
    grid = np.linspace(-top, top, _POINTS)
    exponents = grid[:, None] * v - beta * v ** 2
    weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    means = (weights * v).sum(axis=1) / weights.sum(axis=1)
    slope = np.interp(np.clip(soft, -limit, limit), means, grid)
    return ((slope[..., None] * v - beta * (v ** 2 - (v ** 2).mean())) / temperature).astype(np.float32)


def soft_weight(logits: np.ndarray, bits: int, temperature: float = 1.0) -> np.ndarray:
    """The mean of softmax(temperature x logits) over the candidates; the last axis of the logits goes away."""
    powers = np.exp(temperature * (logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
    return (powers * candidates(bits)).sum(axis=-1) / powers.sum(axis=-1)
