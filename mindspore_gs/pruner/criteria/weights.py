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


@criterion("random")
def random(channels: Channels) -> np.ndarray:
    """A random number for each channel: the baseline that every criterion must beat."""
    return channels.generator.random(channels.size)
