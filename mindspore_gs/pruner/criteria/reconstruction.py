"""Criteria that ask how well the layers that read the channels could do without: one pass over data, without labels.

They look at all channels of a group together, and say in which order to remove them. Their scores rise in that order:
the score of a channel is what its removal costs, or the score of the channel before it if that is more.
"""

from collections.abc import Sequence

import numpy as np

from mindspore_gs.graph import Role
from mindspore_gs.pruner.channels import Channels
from mindspore_gs.pruner.criteria.registry import criterion, known

RIDGE = 1e-3  # of the mean variance of the channels
STEPS = 60  # strengths of the LASSO's path
LEAST = 1e-4  # the last one, over the first
SWEEPS = 100
BLOCK = 64  # removals that are carried out together


@criterion("redundancy", needs="covariance")
def redundancy(channels: Channels) -> np.ndarray:
    r"""What the channels that are kept cannot reconstruct of this one: :math:`\|W_c\|^2 / (H^{-1})_{cc}`.

    H is the covariance of the kept channels (plus a thousandth of its mean diagonal) at the layer that reads them, and
    :math:`1 / (H^{-1})_{cc}` what the best combination of the others, with an intercept, leaves of channel c. The
    weights :math:`W_c` that read it say how much that matters. The channel with the least goes; the weights of the
    others take over what they can, :math:`W_d \leftarrow W_d - W_c (H^{-1})_{cd} / (H^{-1})_{cc}`, and so on. Of two
    equal channels one goes and the other stays. This is the optimal brain surgeon for channels; a kernel reads each
    channel at several places, which count as independent. What several layers read is summed, each over the variance of
    what its inputs add. A stream that no layer of the group reads counts as read by a layer with the identity as its
    weight.

    Sources: Hassibi and Stork, Second order derivatives for network pruning: Optimal Brain Surgeon, NIPS 1992, equation
    5; Frantar and Alistarh, Optimal Brain Compression, NeurIPS 2022 (for groups of weights).
    """
    return in_order(*eliminate(readings(channels), np.ones(channels.size)))


@criterion("thinet", needs=("contributions", "gram"))
def thinet(channels: Channels) -> np.ndarray:
    r"""ThiNet's greedy choice: the channels T that go are those that add least together.

    .. math:: \min_T E[(\sum_{c \in T} y_c)^2]

    :math:`y_c` is what channel c adds to an output of the layer that reads it, and the mean is over positions and
    outputs. One channel after the other joins T, always that with which the sum is least. The sums of several layers
    are added, each over what its channels add by themselves. At a layer that is no plain convolution or dense layer of
    MindSpore's, such as a transposed convolution, the places of the kernel count as independent.

    Source: Luo et al., ThiNet: A Filter Level Pruning Method for Deep Neural Network Compression, ICCV 2017, equation 6
    and algorithm 1.
    """
    products = _contributions(channels)
    joint, left = products.diagonal().copy(), np.ones(channels.size, dtype=bool)
    order, costs = np.empty(channels.size, dtype=np.int64), np.empty(channels.size)
    for k in range(channels.size):
        chosen = int(np.argmin(np.where(left, joint, np.inf)))
        order[k], costs[k], left[chosen] = chosen, joint[chosen], False
        joint += 2 * products[chosen]
    return in_order(order, costs)


@criterion("lasso", needs=("contributions", "gram"))
def lasso(channels: Channels) -> np.ndarray:
    r"""Channel Pruning's LASSO: the largest :math:`\lambda` at which a channel is used.

    .. math:: \min_\beta \tfrac{1}{2} E|\sum_c (1 - \beta_c) y_c|^2 + \lambda |\beta|_1

    :math:`y_c` is what channel c adds to the outputs of the layer that reads it. The larger :math:`\lambda`, the fewer
    :math:`\beta_c` are not zero. It falls in 60 steps to a ten thousandth of the value at which all are zero; of
    channels that come in at the same step, that with the larger part is the better. The problems of several layers are
    added, each over what its channels add by themselves, and at a layer that is no plain convolution or dense layer of
    MindSpore's, the places of the kernel count as independent. Where :math:`\beta` would be used as a factor,
    compensation solves for all weights instead.

    Source: He et al., Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017, equation 2.
    """
    products = _contributions(channels)
    entered, part = lasso_path(products)
    order = np.lexsort((products.diagonal(), part, entered))
    return in_order(order, entered[order])


class Reading:
    r"""A layer that reads the channels, while they are removed one after the other.

    Of the matrices, each removal needs the diagonal and one row. So their updates wait until there are 64 of them, and
    are one product of matrices then.

    Args:
        weights: products of the layer's weights, :math:`W^T W`, shape (channels, channels).
        inverse: H inverse.
        ridge: what is on the diagonal of H beside the covariance.
    """

    def __init__(self, weights: np.ndarray, inverse: np.ndarray, ridge: float):
        self._weights, self._inverse, self._ridge = weights, inverse, ridge
        self._loads, self._rests = weights.diagonal().copy(), inverse.diagonal().copy()
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray, float]] = []

    def cost(self) -> np.ndarray:
        """What the other channels cannot make up for, for each channel; of no meaning for those that are gone."""
        rest = 1 / np.maximum(self._rests, np.finfo(float).tiny) - self._ridge
        cost: np.ndarray = np.maximum(self._loads, 0.0) * np.maximum(rest, 0.0)
        return cost

    def remove(self, channel: int) -> None:
        """The other channels' weights take over; the channel is gone."""
        row, own = self._inverse[channel].copy(), self._weights[channel].copy()
        for old, part, weight, load in self._waiting:
            row -= part[channel] * old
            own -= part[channel] * (weight - load * part) + weight[channel] * part
        share, load = row / row[channel], float(own[channel])
        self._waiting.append((row, share, own, load))
        self._rests -= row * share
        self._loads += share * (share * load - 2 * own)
        if len(self._waiting) == BLOCK:
            self._carry_out()

    def _carry_out(self) -> None:
        rows, shares, owns, loads = (np.stack(parts) for parts in zip(*self._waiting))
        self._inverse -= rows.T @ shares
        crossed = shares.T @ (owns - shares * loads[:, None] / 2)
        self._weights -= crossed + crossed.T
        self._waiting.clear()


def eliminate(layers: Sequence[Reading], factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Remove one channel after the other, always that which costs least.

    Args:
        layers: the layers that read them; changed.
        factor: of the cost of each channel, shape (channels,).

    Returns:
        The channels in order, and what the removal of each cost.
    """
    left = np.ones(len(factor), dtype=bool)
    order, costs = np.empty(len(factor), dtype=np.int64), np.empty(len(factor))
    for k in range(len(factor)):
        cost = factor * np.sum([reading.cost() for reading in layers], axis=0)
        chosen = int(np.argmin(np.where(left, cost, np.inf)))
        order[k], costs[k], left[chosen] = chosen, cost[chosen], False
        for reading in layers:
            reading.remove(chosen)
    return order, costs


def in_order(order: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Scores that rise strictly along an order: each is the cost, or the score before it if that is more.

    >>> in_order(np.array([2, 0, 1]), np.array([1.0, 3.0, 2.0])).round(6).tolist()
    [3.0, 3.0, 1.0]
    """
    rising = np.maximum.accumulate(costs)
    scale = np.abs(rising).max() or 1.0
    scores = np.empty(len(order))
    scores[order] = rising + 1e-12 * scale * np.arange(len(order))
    return scores


def lasso_path(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""The largest :math:`\lambda` at which each :math:`\beta_c` is not zero, and how large its part is there.

    Args:
        products: M in :math:`\frac{1}{2} (1 - \beta)^T M (1 - \beta) + \lambda |\beta|_1`.

    Examples:
        >>> lasso_path(np.diag([1.0, 0.0, 4.0]))[0].round(2).tolist()
        [0.98, 0.0, 3.42]
    """
    beta, rest, size = np.zeros(len(products)), products.sum(axis=1), np.sqrt(np.maximum(products.diagonal(), 0.0))
    entered, part = np.zeros(len(products)), np.zeros(len(products))
    for strength in np.abs(rest).max(initial=0.0) * np.geomspace(1.0, LEAST, STEPS)[1:]:
        _descend(products, beta, rest, float(strength))
        new = (entered == 0.0) & (beta != 0.0)
        entered[new], part[new] = strength, (np.abs(beta) * size)[new]
    return entered, part


def _descend(products: np.ndarray, beta: np.ndarray, rest: np.ndarray, strength: float) -> None:
    """Coordinate descent: each beta in turn gets its best value; ``rest`` is M (1 - beta)."""
    for _ in range(SWEEPS):
        moved = 0.0
        for c in np.flatnonzero((beta != 0.0) | (np.abs(rest) > strength)):
            curvature = products[c, c]
            wanted = curvature * beta[c] + rest[c]
            new = np.sign(wanted) * max(abs(wanted) - strength, 0.0) / max(curvature, np.finfo(float).tiny)
            rest -= products[c] * (new - beta[c])
            moved = max(moved, abs(new - beta[c]) * curvature)
            beta[c] = new
        if moved <= 1e-3 * strength:
            return


def readings(channels: Channels) -> list[Reading]:
    """The layers that read the channels and are given something that varies."""
    found = []
    for covariance, weights in _seen(channels, "covariance"):
        energy = float((weights.diagonal() * covariance.diagonal()).sum())
        ridge = RIDGE * float(covariance.diagonal().mean())
        if energy > 0.0:
            inverse = np.linalg.inv(covariance + ridge * np.eye(len(covariance)))
            found.append(Reading(weights / energy, (inverse + inverse.T) / 2, ridge))
    return found


def _contributions(channels: Channels) -> np.ndarray:
    """The products of what the channels add to the layers that read them, each over what they add by themselves."""
    total = np.zeros((channels.size, channels.size))
    for each in _added(channels) or [gram * weights for gram, weights in _seen(channels, "gram")]:
        total += each / max(float(each.diagonal().sum()), np.finfo(float).tiny)
    return total


def _added(channels: Channels) -> list[np.ndarray]:
    """The same for each layer; one whose patches are unknown is taken to read every place by itself."""
    found = []
    for reader in channels.readers():
        if reader.evidence("contributions"):
            found += reader.evidence("contributions")
        elif reader.evidence("gram"):
            found.append(reader.evidence("gram")[0] * _products(reader))
    return found


def _seen(channels: Channels, kind: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """What each reading layer is given, with the products of its weights; else what the layers make."""
    readers = [reader for reader in channels.readers() if reader.evidence(kind)]
    if readers:
        return [(reader.evidence(kind)[0], _products(reader)) for reader in readers]
    made: np.ndarray = np.sum(known(channels, kind), axis=0)
    return [(made, _products(channels) if channels.rows(Role.INPUT) else np.eye(channels.size))]


def _products(channels: Channels) -> np.ndarray:
    rows = np.concatenate(channels.rows(Role.INPUT), axis=1)
    products: np.ndarray = rows @ rows.T
    return products
