"""Whatever a network is made of, and whatever is removed: the slim network equals the masked one."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs.graph import trace
from mindspore_gs.slim import PrunePlan, mask, relative_difference, slim
from tests.helpers import evaluate, image, randomise
from tests.stages import STAGES, Plain, RandomNet

SHAPE = (1, 3, 6, 6)
networks = st.lists(st.tuples(st.sampled_from(STAGES), st.integers(1, 5)), min_size=1, max_size=5)
policies = st.sampled_from(["keep", "couple"])
few = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@few
@given(networks, policies, st.integers(0, 99))
def test_a_random_network_without_random_channels(stages, residual, seed):
    net, random = randomise(RandomNet(stages), seed), np.random.default_rng(seed)
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


@settings(few, max_examples=10)
@given(networks, policies, st.sampled_from([0.3, 0.6]))
def test_the_pruner_on_a_random_network(stages, residual, rate):
    net = randomise(RandomNet([*stages, (Plain, 4)]))  # the last one may always be pruned
    net = PrunerKfCompressAlgo(input_shape=SHAPE, residual=residual).apply(net)
    net = PrunerFtCompressAlgo(prune_rate=rate, criterion="random").apply(net)
    x = image(2, *SHAPE[1:])
    assert relative_difference(evaluate(PrunerFtCompressAlgo().convert(net), x), evaluate(net, x)) <= 1e-5
