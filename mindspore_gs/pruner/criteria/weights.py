"""Criteria that look at weights alone: no data, no training."""

import numpy as np

from mindspore_gs.graph import Role
from mindspore_gs.pruner.channels import Channels
from mindspore_gs.pruner.criteria.registry import combine, criterion


@criterion("l1")
def l1(channels: Channels) -> np.ndarray:
    r"""Sum of the absolute weights of each filter: :math:`\sum |w_j|`; layers are combined by :func:`combine`.

    Source: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017.
    """
    return combine([np.abs(rows).sum(axis=1) for rows in channels.rows(Role.FILTER)])


@criterion("l2")
def l2(channels: Channels) -> np.ndarray:
    r"""Euclidean norm of each filter: :math:`\sqrt{\sum w_j^2}`; layers are combined by :func:`combine`.

    Source: He et al., Soft Filter Pruning for Accelerating Deep Convolutional Neural Networks, IJCAI 2018.
    """
    return combine([np.linalg.norm(rows, axis=1) for rows in channels.rows(Role.FILTER)])


@criterion("l1_greedy", greedy=True)
def l1_greedy(channels: Channels) -> np.ndarray:
    r"""``"l1"`` without the kernels that read channels which are gone already.

    The layers choose in order of execution. How many channels each keeps is settled before, by the scores of the whole
    network. In a stream that several layers make, only what is gone before the first of them counts.

    Source: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, section 3.3, "greedy pruning".
    """
    return l1(channels)


@criterion("l2_greedy", greedy=True)
def l2_greedy(channels: Channels) -> np.ndarray:
    r"""``"l2"`` without the kernels that read channels which are gone already, as :func:`l1_greedy`."""
    return l2(channels)


@criterion("bn_gamma")
def bn_gamma(channels: Channels) -> np.ndarray:
    r"""The scale of the BatchNorm behind: :math:`|\gamma_j|`; layers are combined by :func:`combine`.

    A layer without a BatchNorm has the norm of its filter over the layer's mean norm in the place of gamma, as if it
    were followed by one whose mean gamma is 1.

    Source: Liu et al., Learning Efficient Convolutional Networks through Network Slimming, ICCV 2017.
    """
    return combine([_gamma(layer) for layer in channels.layers()])


@criterion("fpgm")
def fpgm(channels: Channels) -> np.ndarray:
    r"""Sum of the distances to all other filters of the layer: :math:`\sum_k \|w_j - w_k\|_2`.

    A filter near the geometric median of its layer can be replaced by the others, however large it is. Layers are
    combined by :func:`combine`.

    Source: He et al., Filter Pruning via Geometric Median for Deep Convolutional Neural Networks Acceleration, CVPR
    2019.
    """
    return combine([_distances(rows).sum(axis=1) for rows in channels.rows(Role.FILTER)])


def _gamma(layer: Channels) -> np.ndarray:
    scales = layer.rows(Role.SCALE)
    if scales:
        gamma: np.ndarray = np.abs(scales[0]).mean(axis=1)
        return gamma
    norm = np.linalg.norm(layer.rows(Role.FILTER)[0], axis=1)
    return norm / max(float(norm.mean()), np.finfo(float).tiny)


def _distances(rows: np.ndarray) -> np.ndarray:
    """Euclidean distances of all pairs of rows, without a three-dimensional array."""
    squares = (rows ** 2).sum(axis=1)
    distances: np.ndarray = np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0))
    return distances


@criterion("random")
def random(channels: Channels) -> np.ndarray:
    """A random number for each channel: the baseline that every criterion must beat."""
    return channels.generator.random(channels.size)
