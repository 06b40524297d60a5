"""Network Slimming: an L1 penalty on BatchNorm's gamma."""

import numpy as np
from mindspore import nn

from mindspore_gs.errors import PruningError
from mindspore_gs.pruner.channel import ChannelPruner
from mindspore_gs.pruner.phases.entries import entries_of, gammas
from mindspore_gs.pruner.phases.penalty import NormPenalty
from mindspore_gs.pruner.phases.stepwise import StepwisePhase, check_strength


class Slimming(StepwisePhase):
    r"""Make the gammas of channels that do not matter small: Network Slimming.

    .. math:: \lambda \sum_j \sqrt{m_j} \, \|\gamma_j\|_2

    :math:`\gamma_j` are the :math:`m_j` gammas of channel j in the BatchNorms that it goes through in its group. With
    one BatchNorm that is the paper's :math:`\lambda \sum |\gamma_j|`. With several, as in a residual stream, the
    channel can only go as a whole, so all its gammas become small together. As a gradient:
    :math:`\lambda \sqrt{m_j} \gamma_j / \|\gamma_j\|`, which is :math:`\lambda \, \mathrm{sign}(\gamma_j)` for one.
    As a proximal step: :math:`\gamma_j \max(0, 1 - \eta \lambda \sqrt{m_j} / \|\gamma_j\|)` with the learning rate
    :math:`\eta`, which makes gammas exactly zero.

    Source: Liu et al., Learning Efficient Convolutional Networks through Network Slimming, ICCV 2017.

    Args:
        network: the network, trained or not.
        pruner: says which channels may go; ``criterion="bn_gamma"`` is the paper's.
        strength: :math:`\lambda`, above 0. Default: 1e-4, the paper's.
        proximal: proximal step instead of gradient. Default: False.

    Groups without a BatchNorm are left alone.

    Raises:
        TypeError, ValueError: an argument has the wrong type or is out of range.
        PruningError: as :class:`Phase`, or no group has a BatchNorm.

    Examples:
        >>> import mindspore as ms
        >>> from mindspore import nn, ops
        >>> from mindspore_gs import ChannelPruner
        >>> from mindspore_gs.pruner.phases import Slimming
        >>> net = nn.SequentialCell(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
        >>> phase = Slimming(net, ChannelPruner(criterion="bn_gamma", prune_rate=0.5, input_shape=(1, 3, 8, 8)), 0.5)
        >>> optimizer = phase.add_to(nn.SGD(net.trainable_params(), 0.1))
        >>> done = optimizer(tuple(ops.zeros_like(p) for p in optimizer.parameters))
        >>> print(f"{float(net[1].gamma.asnumpy()[0]):.2f}")     # 1 - 0.1 * 0.5
        0.95
        >>> small = phase.pruner.convert(phase.finish())
        >>> small[0].weight.shape
        (2, 3, 3, 3)
    """

    def __init__(self, network: nn.Cell, pruner: ChannelPruner, strength: float = 1e-4, proximal: bool = False):
        strength = check_strength(type(self).__name__, "strength", strength)
        super().__init__(network, pruner, proximal)
        scales = gammas(self.graph)
        self._entries = entries_of(self.groups, lambda part: part.parameter in scales)
        if not self._entries.groups:
            raise PruningError(f"{type(self).__name__} finds no BatchNorm with a gamma in the groups that may lose "
                               "channels. GroupLasso acts on filters instead.")
        self.penalty = NormPenalty(self._entries, proximal, strength * np.sqrt(self._entries.positions()))
