"""Criteria that read what the knockoff phase has found out."""

import numpy as np

from mindspore_gs.graph import Role
from mindspore_gs.pruner.channels import Channels
from mindspore_gs.pruner.criteria.reconstruction import eliminate, in_order, readings
from mindspore_gs.pruner.criteria.registry import combine, criterion, known

PRIOR = 0.25
SMALLEST = 1e-3  # share of a channel that lost to its knockoff altogether


@criterion("knockoff", needs="kfscale", phase=True)
def knockoff(channels: Channels) -> np.ndarray:
    r"""The paper's score: :math:`|\gamma_j| (b_j - (1 - b_j))`, the real channel's share against its knockoff's.

    The layers that have knockoffs decide, combined by :func:`combine`. Where no layer of a group has, all its channels
    have the score 0. Without the knockoff phase it is refused. A layer without a BatchNorm has the norm of the filter
    in the place of gamma.

    Source: Tang et al., SCOP: Scientific Control for Reliable Neural Network Pruning, NeurIPS 2020, equation 8.
    """
    layers = _with_knockoffs(channels)
    if not layers:
        return np.zeros(channels.size) if channels.observed("kfscale") else known(channels, "kfscale")[0]
    return combine([_magnitude(layer) * _lead(layer) for layer in layers])


@criterion("scop", phase=True)
def scop(channels: Channels) -> np.ndarray:
    r"""The default: the paper's score, with the filter's norm as what is believed of a channel beforehand.

    :math:`|\gamma_j| (2 b_j - 1 + z_j / 4)`, where :math:`z_j` is the L1 norm of the filter less the layer's mean, over
    its standard deviation, within [-2, 2]. What the data say of a channel and what its weights say are different
    evidence, and together they are better than each alone (docs/scop.md). Before the knockoff phase all
    :math:`b_j` are 1/2, and the norm decides; so it does for layers that have no knockoffs.
    """
    layers = _with_knockoffs(channels) or channels.layers()
    return combine([_magnitude(layer) * (_lead(layer) + PRIOR * _prior(layer)) for layer in layers])


@criterion("knockoff*redundancy", needs=("kfscale", "covariance"), phase=True)
def knockoff_redundancy(channels: Channels) -> np.ndarray:
    r"""The channel's share against its knockoff times what the kept channels cannot reconstruct of it.

    :math:`b_c \|W_c\|^2 / (H^{-1})_{cc}`: one channel after the other goes, as in
    :func:`~mindspore_gs.pruner.criteria.reconstruction.redundancy`, and what each costs is multiplied by its scale
    :math:`b_c` (the mean over the layers of the group that have knockoffs, at least 0.001). So a channel goes that
    the data do not need, because it is no better than its knockoff, or that the others can stand in for. It takes
    both halves of SCOP and ``data``: ``PrunerFtCompressAlgo(criterion="knockoff*redundancy", data=...)``. Where a group
    has no knockoffs, redundancy decides.
    """
    scales = channels.evidence("kfscale")
    share = np.mean(scales, axis=0) if scales else np.full(channels.size, 0.5)
    return in_order(*eliminate(readings(channels), np.clip(share, SMALLEST, 1.0)))


def _with_knockoffs(channels: Channels) -> list[Channels]:
    return [layer for layer in channels.layers() if layer.evidence("kfscale")]


def _lead(layer: Channels) -> np.ndarray:
    """How far the channel is ahead of its knockoff, from -1 to 1; 0 without evidence."""
    scales = layer.evidence("kfscale")
    lead: np.ndarray = 2 * scales[0] - 1 if scales else np.zeros(layer.size)
    return lead


def _magnitude(layer: Channels) -> np.ndarray:
    """|gamma|, which is the size of the channel; without a BatchNorm the norm of its filter says that."""
    gammas = layer.rows(Role.SCALE)
    if gammas:
        magnitude: np.ndarray = np.abs(gammas[0]).mean(axis=1)
        return magnitude
    return np.linalg.norm(layer.rows(Role.FILTER)[0], axis=1)


def _prior(layer: Channels) -> np.ndarray:
    norm = np.abs(layer.rows(Role.FILTER)[0]).sum(axis=1)
    prior: np.ndarray = np.clip((norm - norm.mean()) / max(float(norm.std()), np.finfo(float).tiny), -2, 2)
    return prior
