"""Criteria that look at feature maps: one pass over data, labels are not needed."""

import numpy as np

from mindspore_gs.pruner.channels import Channels
from mindspore_gs.pruner.criteria.registry import combine, criterion, known


@criterion("apoz", needs="zeros")
def apoz(channels: Channels) -> np.ndarray:
    r"""One less the average percentage of zeros: :math:`1 - \frac{1}{NM} \sum_{n,m} [x_{jnm} \le 0]`.

    The sum goes over samples n and positions m. Behind a ReLU a value is zero or above; where none follows before
    another layer reads the channel, a value that is not above zero counts as one. Layers are combined by
    :func:`combine`.

    Source: Hu et al., Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient Deep Architectures,
    2016, equation 1.
    """
    return combine([1.0 - zeros for zeros in known(channels, "zeros")])


@criterion("hrank", needs="rank")
def hrank(channels: Channels) -> np.ndarray:
    r"""The average rank of the feature map: :math:`E_n[\mathrm{rank}(X_{jn})]`.

    :math:`X_{jn}` is the map of sample n as a matrix; values below zero count as zero, as they are behind a ReLU.
    Behind a dense layer it is a single number, whose rank is 0 or 1.
    Layers are combined by :func:`combine`.

    Source: Lin et al., HRank: Filter Pruning using High-Rank Feature Map, CVPR 2020, equation 5.
    """
    return combine(known(channels, "rank"))


@criterion("chip", needs="independence")
def chip(channels: Channels) -> np.ndarray:
    r"""Channel independence: :math:`E_n[\|A_n\|_* - \|A_n^{(-j)}\|_*]`.

    :math:`A_n` holds the maps of sample n, one in each row, :math:`A_n^{(-j)}` the same without row j, and the nuclear
    norm is the sum of the singular values. A map that the others can be combined to adds little. Layers are combined by
    :func:`combine`.

    Source: Sui et al., CHIP: CHannel Independence-based Pruning for Compact Neural Networks, NeurIPS 2021, equation 3.
    """
    return combine(known(channels, "independence"))
