"""GReg: a penalty that grows on the channels that are to go."""

from typing import Any

import numpy as np
from mindspore import nn

from mindspore_gs._config import positive
from mindspore_gs.graph import Group
from mindspore_gs.pruner.channel import ChannelPruner
from mindspore_gs.pruner.phases.entries import entries_of, makes
from mindspore_gs.pruner.phases.penalty import GrowingSquares
from mindspore_gs.pruner.phases.stepwise import StepwisePhase, check_strength


class GrowingPenalty(StepwisePhase):
    r"""Press the channels that are to go towards zero, little by little: GReg-1.

    .. math:: \frac{\lambda(t)}{2} \sum_{j \in P} \|w_j\|^2, \quad
        \lambda(t) = \min(\lambda_{max}, \, \delta (1 + \lfloor t / k \rfloor))

    P are the channels with the lowest scores, chosen once when the phase begins. :math:`w_j` is everything that makes
    channel j, scales it or shifts it: filters, biases, gamma and beta, in all layers of its group. (The paper presses
    the filters alone, which a BatchNorm behind them would scale up again.) The others get no penalty, and learn to do
    without them. As a gradient: :math:`\lambda w_j`. As a proximal step: :math:`w_j / (1 + \eta \lambda)` with the
    learning rate :math:`\eta`, which is stable however large :math:`\lambda` gets; as a gradient,
    :math:`\eta \lambda_{max}` must be well below 1. After n steps :math:`\lambda` is at its end if
    :math:`\delta = \lambda_{max} k / n`.

    Source: Wang et al., Neural Pruning via Growing Regularization, ICLR 2021.

    Args:
        network: the trained network.
        pruner: says which channels go; the paper takes ``criterion="l1"``.
        growth: :math:`\delta`, above 0. Default: 1e-4.
        every: k, in steps, at least 1. Default: 10.
        ceiling: :math:`\lambda_{max}`, above 0. Default: 1.
        proximal: proximal step instead of gradient. Default: False.

    Attributes:
        penalty: a Cell that holds what the phase has: ``growing_step`` (t) and ``growing_chosen`` (P). A checkpoint of
            the training step, such as ``ModelCheckpoint`` writes, contains both, and
            ``load_param_into_net(phase.penalty, load_checkpoint(file))`` goes on from there.

    Raises:
        TypeError, ValueError: an argument has the wrong type or is out of range.
        PruningError: as :class:`Phase`, or the pruner chooses no channel.

    Examples:
        >>> import mindspore as ms
        >>> from mindspore import nn, ops
        >>> from mindspore_gs import ChannelPruner
        >>> from mindspore_gs.pruner.phases import GrowingPenalty
        >>> net = nn.SequentialCell(nn.Dense(4, 3, weight_init="ones"), nn.ReLU(), nn.Dense(3, 2))
        >>> phase = GrowingPenalty(net, ChannelPruner(prune_rate=0.4, input_shape=(1, 4)), growth=0.5, every=1)
        >>> optimizer = phase.add_to(nn.SGD(net.trainable_params(), 0.1))
        >>> for _ in range(2):
        ...     done = optimizer(tuple(ops.zeros_like(p) for p in optimizer.parameters))
        >>> [f"{w:.3f}" for w in net[0].weight.asnumpy()[:, 0]]          # 1 - 0.1 * 0.5, then times 1 - 0.1 * 1
        ['0.855', '1.000', '1.000']
    """

    penalty: GrowingSquares

    def __init__(self, network: nn.Cell, pruner: ChannelPruner, growth: float = 1e-4, every: int = 10,
                 ceiling: float = 1.0, proximal: bool = False):
        owner = type(self).__name__
        growth, ceiling = (check_strength(owner, name, value)
                           for name, value in (("growth", growth), ("ceiling", ceiling)))
        every = positive(owner, "every", every)
        super().__init__(network, pruner, proximal)
        self._entries = entries_of(self.groups, makes)
        chosen = self._flat(super()._choice())
        if not chosen.any():
            raise ValueError(f"For '{owner}', the pruner chooses no channel to go. Give it a 'prune_rate' or a "
                             "'target', such as ChannelPruner(prune_rate=0.5).")
        self.penalty = GrowingSquares(self._entries, proximal, chosen, growth, every, ceiling)

    @property
    def strength(self) -> float:
        r""":math:`\lambda` at the next step."""
        return float(self.penalty.strength().asnumpy())

    def _choice(self) -> dict[Group, np.ndarray]:
        """The channels that have been pressed, whatever the weights are now."""
        return self._entries.by_group(self.penalty.chosen.asnumpy()[:-1] == 0)

    def _flat(self, choice: dict[Group, Any]) -> np.ndarray:
        """Whether each channel goes, in the order of the entries. A group that is left out stays whole."""
        return np.concatenate([~choice.get(group, np.ones(group.size, bool)) for group, _ in self._entries.groups])
