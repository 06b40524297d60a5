"""How important is a channel? One function per criterion, each giving one number per channel of a layer.

A criterion is called with the layer (a :class:`~mindspore_gs.pruner.scop.KfConv2d` with ``conv``, ``bn`` and
``kfscale``) and a NumPy generator; the channels with the lowest numbers are removed.
"""

from typing import Any

import numpy as np


def scop_score(layer: Any, generator: np.random.Generator) -> np.ndarray:
    r"""SCOP: :math:`|\gamma_j| (b_j - (1 - b_j))`, the real channel's share against its knockoff's.

    Source: Tang et al., SCOP: Scientific Control for Reliable Neural Network Pruning, NeurIPS 2020, equation 8.
    """
    scale = layer.scale()
    return np.abs(layer.bn.gamma.asnumpy().astype(np.float64)) * (scale - (1 - scale))


def l1_score(layer: Any, generator: np.random.Generator) -> np.ndarray:
    r"""Sum of absolute weights of each filter: :math:`\sum |w_j|`.

    Source: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017.
    """
    weight = layer.conv.weight.asnumpy().astype(np.float64)
    return np.abs(weight).reshape(len(weight), -1).sum(axis=1)


def random_score(layer: Any, generator: np.random.Generator) -> np.ndarray:
    """A random number for each channel: the baseline that every criterion must beat."""
    return generator.random(layer.conv.out_channels)


CRITERIA = {"scop": scop_score, "l1": l1_score, "random": random_score}
