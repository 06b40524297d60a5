"""Criteria that read gradients: one pass over data with labels."""

import numpy as np

from mindspore_gs.pruner.channels import Channels
from mindspore_gs.pruner.criteria.registry import combine, criterion


@criterion("taylor", needs="gradient")
def taylor(channels: Channels) -> np.ndarray:
    r"""The squared change of the loss that removing the channel would bring, to first order: :math:`E[g_j^2]`.

    :math:`g_j` is the gradient of the loss with respect to a gate that multiplies the channel, and the mean is over
    batches; see :func:`~mindspore_gs.pruner.evidence.observe`. Behind a BatchNorm
    :math:`g_j = \gamma_j \partial L / \partial \gamma_j + \beta_j \partial L / \partial \beta_j`. All layers of a
    group share the gate. It compares channels of different layers as it stands.

    Source: Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019, equations 8 and 9.
    """
    return combine(channels.evidence("gradient"))
