"""How important is a channel? One function per criterion, each giving one number per channel of a layer.

A criterion is called with the layer (a :class:`~mindspore_gs.pruner.scop.KfConv2d` with ``conv``, ``bn`` and
``kfscale``) and a NumPy generator; the channels with the lowest numbers are removed.
"""

from typing import Any

import numpy as np

PRIOR = 0.25


def knockoff_score(layer: Any, generator: np.random.Generator) -> np.ndarray:
    r"""The paper's score: :math:`|\gamma_j| (b_j - (1 - b_j))`, the real channel's share against its knockoff's.

    Source: Tang et al., SCOP: Scientific Control for Reliable Neural Network Pruning, NeurIPS 2020, equation 8.
    """
    scale = layer.scale()
    score: np.ndarray = _gamma(layer) * (scale - (1 - scale))
    return score


def scop_score(layer: Any, generator: np.random.Generator) -> np.ndarray:
    r"""The default: the paper's score, with the filter's norm as what is believed of a channel beforehand.

    :math:`|\gamma_j| (2 b_j - 1 + z_j / 4)`, where :math:`z_j` is the L1 norm of the filter less the layer's mean, over
    its standard deviation, within [-2, 2]. What the data say of a channel and what its weights say are different
    evidence, and together they are better than each alone (docs/scop.md). Before the knockoff phase all
    :math:`b_j` are 1/2, and the norm decides.
    """
    norm = l1_score(layer, generator)
    prior = np.clip((norm - norm.mean()) / max(float(norm.std()), np.finfo(float).tiny), -2, 2)
    return knockoff_score(layer, generator) + PRIOR * _gamma(layer) * prior


def _gamma(layer: Any) -> np.ndarray:
    magnitude: np.ndarray = np.abs(layer.bn.gamma.asnumpy().astype(np.float64))
    return magnitude


def l1_score(layer: Any, generator: np.random.Generator) -> np.ndarray:
    r"""Sum of absolute weights of each filter: :math:`\sum |w_j|`.

    Source: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017.
    """
    weight = layer.conv.weight.asnumpy().astype(np.float64)
    return np.abs(weight).reshape(len(weight), -1).sum(axis=1)


def random_score(layer: Any, generator: np.random.Generator) -> np.ndarray:
    """A random number for each channel: the baseline that every criterion must beat."""
    return generator.random(layer.conv.out_channels)


CRITERIA = {"scop": scop_score, "knockoff": knockoff_score, "l1": l1_score, "random": random_score}
