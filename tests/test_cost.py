"""The cost model against the slim network itself: parameters and MACs must be equal, not near."""

import numpy as np
import pytest

from mindspore_gs.cost import CostModel, count_parameters, layer_macs
from mindspore_gs.graph import trace
from mindspore_gs.slim import PrunePlan
from mindspore_gs.slim.slimming import slice_network
from tests import networks
from tests.helpers import example_network

SHAPE = (1, 3, 8, 8)
NETWORKS = {
    "chain": (networks.Chain, SHAPE), "option a": (networks.OptionA, SHAPE), "depthwise": (networks.Depthwise, SHAPE),
    "multiplier": (lambda: networks.Depthwise(2), SHAPE), "grouped": (networks.Grouped, (3, 3, 8, 8)),
    "flattened": (networks.Flattened, SHAPE), "gate": (networks.Gate, SHAPE), "branches": (networks.Branches, SHAPE),
    "shuffle": (networks.Shuffle, SHAPE), "called twice": (networks.Twice, SHAPE),
    "shared weight": (networks.SharedWeight, SHAPE), "options": (networks.Options, SHAPE),
    "long": (networks.Long, SHAPE), "resnet20": (lambda: example_network("resnet20"), (1, 3, 32, 32)),
}


def random_masks(groups, seed):
    """For each group a random number of random channels that stay."""
    random = np.random.default_rng(seed)
    return {g: random.permutation(g.size) < random.integers(1, g.size) for g in groups}


@pytest.mark.parametrize("residual", ["keep", "couple"])
@pytest.mark.parametrize("build, shape", NETWORKS.values(), ids=NETWORKS)
def test_it_counts_what_the_slim_network_has(build, shape, residual):
    net = build()
    graph = trace(net, shape)
    groups = [g for g in graph.groups(residual) if g.blocked_by is None]
    assert groups
    model = CostModel(graph, groups)
    masks = random_masks(groups, seed=1)
    small = trace(slice_network(net, PrunePlan.from_groups(graph, masks)), shape).graph
    candidates = [model.sizes, [mask.sum() for mask in masks.values()]]
    assert model.params(candidates).tolist() == [count_parameters(graph.graph), count_parameters(small)]
    assert model.macs(candidates).tolist() == [sum(layer_macs(graph.graph).values()), sum(layer_macs(small).values())]
    assert model.macs(candidates[1]) == model.macs(candidates)[1] < model.macs(model.sizes)


def test_a_network_that_loses_nothing():
    graph = trace(networks.NoConvolution(), (1, 12))
    model = CostModel(graph, [])
    assert (int(model.params([])), int(model.macs([]))) == (12 * 8 + 8 + 8 * 2 + 2, 12 * 8 + 8 * 2)
