"""Criteria: which channels have the lowest scores."""

import mindspore as ms
import numpy as np
import pytest

from mindspore_gs import PrunerFtCompressAlgo
from mindspore_gs.pruner.criteria import CRITERIA
from mindspore_gs.pruner.criteria.reconstruction import eliminate, readings
from mindspore_gs.pruner.scop.scop_pruner import MaskedConv2dbn
from tests import networks
from tests.helpers import image, randomise
from tests.long import knockoff, layers


def test_the_papers_score_is_gamma_times_the_lead_over_the_knockoff():
    net = knockoff(randomise(networks.Chain()))
    layer = net.conv2
    layer.bn.gamma.set_data(ms.Tensor([1, -2, 0.5, 3, -1, 1, 0.1, 2], ms.float32))
    scale = np.array([0.6, 0.9, 1.0, 0.4, 0.8, 0.5, 1.0, 0.55], np.float32)
    layer.kfscale.set_data(ms.Tensor(scale.reshape(1, 8, 1, 1)))
    # |gamma| (2 b - 1):   0.2  1.6  0.5 -0.6  0.6  0.0  0.1  0.2
    net = PrunerFtCompressAlgo(prune_rate=0.5, criterion="knockoff").apply(net)
    order = np.argsort(np.array([1, 2, 0.5, 3, 1, 1, 0.1, 2]) * (2 * scale.astype(np.float64) - 1))
    np.testing.assert_array_equal(np.flatnonzero(net.conv2.stays), np.sort(order[4:]))
    assert set(np.flatnonzero(net.conv2.stays)) >= {1, 2, 4} and not net.conv2.stays[[3, 5, 6]].any()


def test_a_scale_outside_its_range_counts_as_its_bound():
    net = knockoff(randomise(networks.Chain()))
    net.conv2.bn.gamma.set_data(ms.Tensor(np.arange(1, 9), ms.float32))
    net.conv2.kfscale.set_data(ms.Tensor(np.linspace(9, 2, 8, dtype=np.float32).reshape(1, 8, 1, 1)))
    net = PrunerFtCompressAlgo(prune_rate=0.5, criterion="knockoff").apply(net)
    np.testing.assert_array_equal(np.flatnonzero(net.conv2.stays), [4, 5, 6, 7])


def test_the_default_adds_the_norm_of_the_filter_to_the_papers_score():
    net = knockoff(randomise(networks.Chain()))
    layer, random = net.conv2, np.random.default_rng(0)
    layer.kfscale.set_data(ms.Tensor(random.uniform(0.3, 0.7, (1, 8, 1, 1)).astype(np.float32)))
    norm = np.abs(layer.conv.weight.asnumpy()).sum(axis=(1, 2, 3))
    gamma, scale = np.abs(layer.bn.gamma.asnumpy()), layer.kfscale.asnumpy().reshape(-1)
    score = gamma * (2 * scale - 1 + (norm - norm.mean()) / norm.std() / 4)
    net = PrunerFtCompressAlgo(prune_rate=0.5).apply(net)
    np.testing.assert_array_equal(np.flatnonzero(net.conv2.stays), np.sort(np.argsort(score)[4:]))


def test_a_clear_verdict_of_the_knockoffs_is_not_overruled_by_the_norm():
    net = knockoff(randomise(networks.Chain()))
    net.conv2.conv.weight.set_data(net.conv2.conv.weight * ms.Tensor(np.r_[[9.0] * 4, [1.0] * 4].reshape(8, 1, 1, 1)
                                                                     .astype(np.float32)))
    net.conv2.kfscale.set_data(ms.Tensor(np.r_[[0.0] * 4, [1.0] * 4].reshape(1, 8, 1, 1).astype(np.float32)))
    net = PrunerFtCompressAlgo(prune_rate=0.5).apply(net)
    np.testing.assert_array_equal(np.flatnonzero(net.conv2.stays), [4, 5, 6, 7])


def test_l1_keeps_the_largest_filters():
    net = knockoff(randomise(networks.Chain()))
    norms = np.abs(net.conv2.conv.weight.asnumpy()).sum(axis=(1, 2, 3))
    net = PrunerFtCompressAlgo(prune_rate=0.5, criterion="l1").apply(net)
    np.testing.assert_array_equal(np.flatnonzero(net.conv2.stays), np.sort(np.argsort(norms)[4:]))


def test_random_follows_the_seed():
    def masks(seed):
        net = PrunerFtCompressAlgo(prune_rate=0.5, criterion="random", seed=seed).apply(knockoff())
        return np.concatenate([cell.stays for cell in layers(net, MaskedConv2dbn).values()])

    np.testing.assert_array_equal(masks(1), masks(1))
    assert (masks(1) != masks(2)).any()


def test_a_criterion_of_ones_own():
    net = knockoff(randomise(networks.Chain()))
    ft = PrunerFtCompressAlgo(prune_rate=0.5, criterion=lambda channels: -np.arange(channels.size))
    net = ft.apply(net)
    np.testing.assert_array_equal(np.flatnonzero(net.conv2.stays), [0, 1, 2, 3])


def test_the_share_against_the_knockoff_times_what_the_others_cannot_reconstruct():
    """The cost of each step is multiplied; a channel that lost to its knockoff goes before one that is as redundant."""
    net = knockoff(randomise(networks.Chain()))
    share = np.array([0.9, 0.02, 0.8, 0.7, 0.01, 0.6, 0.9, 0.8], np.float32)
    net.conv2.kfscale.set_data(ms.Tensor(share.reshape(1, 8, 1, 1)))
    seen = {}

    def both(channels):
        if channels.name == "conv2":
            layers = readings(channels)
            seen["first"] = layers[0].cost()
            seen["order"], seen["costs"] = eliminate(layers, share.astype(np.float64))
        return CRITERIA["knockoff*redundancy"](channels)

    both.needs = "covariance"
    data = [image(8, 3, 8, 8)]
    net = PrunerFtCompressAlgo(prune_rate=0.5, criterion=both, data=data).apply(net)
    assert seen["order"][0] == np.argmin(seen["first"] * share)
    np.testing.assert_allclose(seen["costs"][0], (seen["first"] * share).min())
    assert {1, 4} <= set(seen["order"][:4])
    np.testing.assert_array_equal(np.flatnonzero(net.conv2.stays), np.sort(seen["order"][4:]))


def test_knockoffs_and_redundancy_by_name():
    with pytest.raises(ValueError, match=r"'knockoff\*redundancy' looks at data, so it needs 'data'"):
        PrunerFtCompressAlgo(criterion="knockoff*redundancy", prune_rate=0.5)
    ft = PrunerFtCompressAlgo(criterion="knockoff*redundancy", prune_rate=0.5, data=[image(4, 3, 8, 8)])
    small = ft.convert(ft.apply(knockoff(randomise(networks.Chain()))))
    assert small.conv2.weight.shape[0] == 4
