"""Whatever a network is made of, and whatever is removed: the slim network equals the masked one.

``RANDOM_NETWORKS=2000`` tries that many networks instead of 15.
"""

import os

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs.graph import trace
from mindspore_gs.slim import PrunePlan, mask, relative_difference, slim
from tests.helpers import evaluate, image, randomise
from tests.stages import STAGES, Choice, Plain, RandomNet, WithOutputs

SHAPE = (1, 3, 6, 6)
networks = st.lists(st.tuples(st.sampled_from(STAGES), st.integers(1, 5)), min_size=1, max_size=5)
policies = st.sampled_from(["keep", "couple"])
# SCOP refuses a layer that the data may leave out in the training step that it looks at
trained_networks = networks.filter(lambda stages: all(kind is not Choice for kind, _ in stages))
builders = st.sampled_from([RandomNet, RandomNet, WithOutputs])
few = settings(max_examples=int(os.environ.get("RANDOM_NETWORKS", "15")), deadline=None, derandomize=True,
               suppress_health_check=list(HealthCheck))


def check(build, stages, residual, seed):
    """A random network without random channels equals the masked one, and what only training runs is slim as well."""
    net, random = randomise(build(stages), seed), np.random.default_rng(seed)
    graph, keep = trace(net, SHAPE), {}
    for group in graph.groups(residual):
        if group.blocked_by is None and group.size > 1:
            stays = random.random(group.size) < random.random()
            stays[random.integers(group.size)] = True
            keep[group] = stays
    plan = PrunePlan.from_groups(graph, keep)
    x = image(2, *SHAPE[1:], seed=seed)
    small, full = slim(net, plan, check=False), mask(net, plan)
    assert relative_difference(evaluate(small, x), evaluate(full, x)) <= 1e-5
    small.set_train(True)
    small(x)


@few
@given(builders, networks, policies, st.integers(0, 99))
def test_a_random_network_without_random_channels(build, stages, residual, seed):
    check(build, stages, residual, seed)


@settings(few, max_examples=6)
@given(trained_networks, policies, st.sampled_from([0.3, 0.6]))
def test_the_pruner_on_a_random_network(stages, residual, rate):
    net = randomise(RandomNet([*stages, (Plain, 4)]))  # the last one may always be pruned
    net = PrunerKfCompressAlgo(input_shape=SHAPE, residual=residual).apply(net)
    net = PrunerFtCompressAlgo(prune_rate=rate, criterion="random").apply(net)
    x = image(2, *SHAPE[1:])
    assert relative_difference(evaluate(PrunerFtCompressAlgo().convert(net), x), evaluate(net, x)) <= 1e-5
