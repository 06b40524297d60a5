"""Criteria that read gradients: one pass over data with labels."""

import numpy as np

from mindspore_gs.pruner.channels import Channels
from mindspore_gs.pruner.criteria.registry import combine, criterion, known


@criterion("taylor", needs="gradient")
def taylor(channels: Channels) -> np.ndarray:
    r"""The squared change of the loss that removing the channel would bring, to first order: :math:`E[g_j^2]`.

    :math:`g_j` is the gradient of the loss with respect to a gate that multiplies the channel, and the mean is over
    batches; see :func:`~mindspore_gs.pruner.evidence.observe`. Behind a BatchNorm
    :math:`g_j = \gamma_j \partial L / \partial \gamma_j + \beta_j \partial L / \partial \beta_j`. All layers of a
    group share the gate. It compares channels of different layers as it stands.

    Source: Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019, equations 8 and 9.
    """
    return combine(known(channels, "gradient"))


@criterion("fisher", needs="fisher")
def fisher(channels: Channels) -> np.ndarray:
    r"""Optimal brain damage for gates: :math:`\frac{1}{2} E_n[g_{jn}^2]`.

    At a minimum of the loss, removing channel j changes it by :math:`\frac{1}{2} h_{jj} z_j^2` to second order, with
    the gate :math:`z_j = 1` and the diagonal h of the Hessian, which is that of the Fisher information: the mean over
    samples of the squared gradient :math:`g_{jn}` of one sample's loss. All layers of a group share the gate. It
    compares channels of different layers as it stands.

    Sources: LeCun et al., Optimal Brain Damage, NIPS 1989; Theis et al., Faster gaze prediction with dense networks and
    Fisher pruning, 2018, equation 7.
    """
    return combine(known(channels, "fisher")) / 2
