"""Structured sparsity learning: group lasso on filters."""

import numpy as np
from mindspore import nn

from mindspore_gs.graph import Role
from mindspore_gs.pruner.channel import ChannelPruner
from mindspore_gs.pruner.phases.entries import entries_of
from mindspore_gs.pruner.phases.penalty import NormPenalty
from mindspore_gs.pruner.phases.stepwise import StepwisePhase, check_strength


class GroupLasso(StepwisePhase):
    r"""Make filters that do not matter small: structured sparsity learning.

    .. math:: \lambda \sum_j \|w_j\|_2

    :math:`w_j` are all weights that make channel j: its filter, and where several layers make the channel, their
    filters as one vector, so that they become small together. As a gradient: :math:`\lambda w_j / \|w_j\|`. As a
    proximal step: :math:`w_j \max(0, 1 - \eta \lambda / \|w_j\|)` with the learning rate :math:`\eta`, which makes
    filters exactly zero. In front of a BatchNorm the size of a filter does not matter for the output. There the penalty
    shows which filters the loss holds least.

    Source: Wen et al., Learning Structured Sparsity in Deep Neural Networks, NeurIPS 2016, equation 3 for filters. The
    paper's second term, for the input channels of the layers behind, is not part of it.

    Args:
        network: the network, trained or not.
        pruner: says which channels may go; ``criterion="l2"`` goes by the same norm.
        strength: :math:`\lambda`, above 0. Default: 1e-4.
        proximal: proximal step instead of gradient. Default: False.

    Raises:
        TypeError, ValueError: an argument has the wrong type or is out of range.
        PruningError: as :class:`Phase`.

    Examples:
        >>> import mindspore as ms
        >>> from mindspore import nn, ops
        >>> from mindspore_gs import ChannelPruner
        >>> from mindspore_gs.pruner.phases import GroupLasso
        >>> net = nn.SequentialCell(nn.Dense(4, 3, weight_init="ones"), nn.ReLU(), nn.Dense(3, 2))
        >>> phase = GroupLasso(net, ChannelPruner(prune_rate=0.4, input_shape=(1, 4)), strength=0.5, proximal=True)
        >>> optimizer = phase.add_to(nn.SGD(net.trainable_params(), 0.1))
        >>> done = optimizer(tuple(ops.zeros_like(p) for p in optimizer.parameters))
        >>> [f"{norm:.2f}" for norm in phase.norms()[phase.groups[0]]]   # 2 - 0.1 * 0.5
        ['1.95', '1.95', '1.95']
    """

    def __init__(self, network: nn.Cell, pruner: ChannelPruner, strength: float = 1e-4, proximal: bool = False):
        strength = check_strength(type(self).__name__, "strength", strength)
        super().__init__(network, pruner, proximal)
        self._entries = entries_of(self.groups, lambda part: part.role is Role.FILTER)
        self.penalty = NormPenalty(self._entries, proximal, np.full(self._entries.count, strength))
