"""Networks of other tasks, after their papers: masked = slim = reloaded MindIR; SCOP where there is a layer for it."""

import numpy as np
import pytest

from benchmarks import zoo
from benchmarks.randomise import calibrate, randomise, samples
from mindspore_gs._cells import tensors_in
from mindspore_gs.graph import trace
from mindspore_gs.slim import PrunePlan, mask, relative_difference, slim
from tests.zoo.tasks import TASKS

QUICK = ("dcgan", "tcn", "c3d", "dense_siamese")
# What no channel of these may lose, and why.
STAYS = {"siamese": {"branch.6": "COMPUTED_WEIGHT"}}
# Layers that are computed for nothing: no output reads what the last stack's merge gives, so its scale cannot move. It
# ends in the residual stream, so with "keep" it has no scale.
UNREAD = {("hourglass", "couple"): 1}


def run(net, inputs):
    return [tensor.asnumpy() for tensor in tensors_in(net(*inputs))]


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
                                  for name in TASKS])
def test_half_of_every_free_group_goes(name):
    _, build, shapes = TASKS[name]
    inputs, net = samples(shapes, seed=1), randomise(build().set_train(False))
    calibrate(net, *inputs)
    graph = trace(net, *[(1, *shape) for shape in shapes])
    groups = graph.groups()
    blocked = {g.name: g.blocked_by.reason.name for g in groups if g.blocked_by is not None}
    assert STAYS.get(name, {}).items() <= blocked.items()
    plan = PrunePlan.from_groups(graph, zoo.half(groups, seed=0))
    full, small = mask(net, plan), slim(net, plan, check=False)
    expected, found, dense = (run(each.set_train(False), inputs) for each in (full, small, net))
    assert len(found) == len(expected) and all(np.isfinite(output).all() for output in expected)
    assert max(relative_difference(a, b) for a, b in zip(found, expected)) <= 1e-5
    assert max(relative_difference(a, b) for a, b in zip(dense, expected)) > 1e-2
    assert sum(p.size for p in small.get_parameters()) < 0.75 * sum(p.size for p in net.get_parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_the_whole_way(name):
    record = zoo.measure(f"papers/{name}", scop=True)
    assert (record["status"], record["error"]) == ("equal", "")
    for policy, found in record["scop"].items():
        assert found["status"] in ("equal", "refused"), (policy, found["error"])
        assert found["status"] == "refused" or found["moved"] == found["layers"] - UNREAD.get((name, policy), 0) > 0
