"""Penalties on channels against plain NumPy: one step each, as a gradient and as a proximal step, in any optimizer."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops
from mindspore.experimental import optim

from mindspore_gs.pruner.phases import GroupLasso, GrowingPenalty, Slimming
from tests import networks
from tests.helpers import randomise
from tests.phases import FILTERS, GAMMAS, MADE, gradients, norms, pruner, residual, spread, values

RATE, STRENGTH = 0.1, 0.7


def slimming(net, proximal):
    return Slimming(net, pruner("bn_gamma"), STRENGTH, proximal)


def group_lasso(net, proximal):
    return GroupLasso(net, pruner(), STRENGTH, proximal)


def growing(net, proximal):
    return GrowingPenalty(net, pruner("l1"), growth=0.2, every=2, ceiling=STRENGTH, proximal=proximal)


PHASES = {"slimming": (slimming, GAMMAS), "group_lasso": (group_lasso, FILTERS), "growing": (growing, MADE)}


def factors(kind, found, start, step=0):
    """By parameter: the penalty's gradient is this times the parameter."""
    result = {}
    for names in PHASES[kind][1].values():
        if kind == "growing":
            score = sum(np.abs(start[name]).reshape(len(start[name]), -1).sum(axis=1) /
                        np.abs(start[name]).reshape(len(start[name]), -1).sum(axis=1).mean()
                        for name in names if name.endswith("weight"))
            lost = np.argsort(score, kind="stable")[:int(0.4 * len(score))]
            vector = np.isin(np.arange(len(score)), lost) * min(STRENGTH, 0.2 * (1 + step // 2))
        else:
            many = len(names) if kind == "slimming" else 1
            vector = STRENGTH * np.sqrt(many) / norms(found, names)
        result.update({name: spread(vector, found[name]) for name in names})
    return result


def by_hand(kind, proximal, found, grads, start, rate=RATE, step=0):
    """The weights after a step of gradient descent."""
    if not proximal:
        more = factors(kind, found, start, step)
        return {name: value - rate * (grads.get(name, 0) + more.get(name, 0) * value) for name, value in found.items()}
    found = {name: value - rate * grads.get(name, 0) for name, value in found.items()}
    more = {name: rate * factor for name, factor in factors(kind, found, start, step).items()}
    kept = {name: 1 / (1 + x) if kind == "growing" else np.maximum(0, 1 - x) for name, x in more.items()}
    return {name: value * kept.get(name, 1) for name, value in found.items()}


def assert_close(net, expected):
    for name, value in values(net).items():
        np.testing.assert_allclose(value, expected[name], rtol=2e-5, atol=2e-6, err_msg=name)


def named(optimizer, grads):
    return {p.name: g.asnumpy().astype(np.float64) for p, g in zip(optimizer.parameters, grads)}


@pytest.mark.parametrize("proximal", [False, True], ids=["gradient", "proximal"])
@pytest.mark.parametrize("kind", PHASES)
def test_steps_by_hand(kind, proximal, mode):
    """Three steps; what no penalty acts on learns as always."""
    net = residual()
    start = expected = values(net)
    phase = PHASES[kind][0](net, proximal)
    optimizer = phase.add_to(nn.SGD(net.trainable_params(), RATE))
    for step in range(3):
        grads = gradients(optimizer, step)
        optimizer(grads)
        expected = by_hand(kind, proximal, expected, named(optimizer, grads), start, step=step)
    assert_close(net, expected)


def test_norms_are_those_of_the_parts_together():
    net = residual()
    phase = slimming(net, False)
    found = {group.name: norm for group, norm in phase.norms().items()}
    np.testing.assert_allclose(found["a"], norms(values(net), GAMMAS["alone"]), rtol=1e-6)
    np.testing.assert_allclose(found["stem"], norms(values(net), GAMMAS["stream"]), rtol=1e-6)


def test_the_loss_scale_of_the_optimizer_does_not_scale_the_penalty():
    net = residual()
    start = values(net)
    optimizer = slimming(net, False).add_to(nn.SGD(net.trainable_params(), RATE, loss_scale=8.0))
    grads = gradients(optimizer)
    optimizer(tuple(8 * g for g in grads))
    assert_close(net, by_hand("slimming", False, start, named(optimizer, grads), start))


def test_adam_sees_the_penalty_in_its_moments():
    net = residual()
    start = values(net)
    optimizer = group_lasso(net, False).add_to(nn.Adam(net.trainable_params(), RATE, beta1=0.9))
    grads = gradients(optimizer)
    optimizer(grads)
    more = factors("group_lasso", start, start)
    for parameter, moment, g in zip(optimizer.parameters, optimizer.moment1, grads):
        name = parameter.name
        np.testing.assert_allclose(moment.asnumpy(), 0.1 * (g.asnumpy() + more.get(name, 0) * start[name]), rtol=1e-4,
                                   atol=1e-6)


@pytest.mark.parametrize("way", ["each epoch another rate", "each layer another rate"])
def test_the_proximal_step_takes_the_rate_of_the_step(way):
    net = residual()
    start = values(net)
    phase = growing(net, True)
    stream = [p for p in net.trainable_params() if p.name in MADE["stream"]]
    rest = [p for p in net.trainable_params() if p.name not in MADE["stream"]]
    rates = {"stream": 0.3, "rest": RATE} if way == "each layer another rate" else {}
    optimizer = nn.SGD([{"params": stream, "lr": 0.3}, {"params": rest}] if rates else net.trainable_params(),
                       RATE if rates else [0.2, 0.05])
    phase.add_to(optimizer)
    expected = values(net)
    for step in range(2):
        grads = gradients(optimizer, step)
        optimizer(grads)
        all_at = {rate: by_hand("growing", True, expected, named(optimizer, grads), start, rate, step)
                  for rate in ([0.3, RATE] if rates else [[0.2, 0.05][step]])}
        expected = {name: all_at[0.3 if rates and name in MADE["stream"] else list(all_at)[-1]][name]
                    for name in expected}
    assert_close(net, expected)


@pytest.mark.parametrize("proximal", [False, True], ids=["gradient", "proximal"])
def test_an_optimizer_with_groups_of_parameters(proximal):
    """Those of mindspore.experimental, on which those of mindspore.mint are built."""
    net = residual()
    start = values(net)
    stream = [p for p in net.trainable_params() if p.name in FILTERS["stream"]]
    rest = [p for p in net.trainable_params() if p.name not in FILTERS["stream"]]
    optimizer = optim.SGD([{"params": stream, "lr": 0.3}, {"params": rest}], lr=RATE)
    group_lasso(net, proximal).add_to(optimizer)
    grads = gradients(optimizer)
    optimizer(grads)
    fast, slow = (by_hand("group_lasso", proximal, start, named(optimizer, grads), start, rate) for rate in (0.3, RATE))
    assert_close(net, {name: (fast if name in FILTERS["stream"] else slow)[name] for name in start})


class Plain(nn.Optimizer):
    """An optimizer that somebody wrote."""

    def __init__(self, parameters):
        super().__init__(RATE, parameters)

    def construct(self, gradients):
        rate = self.get_lr()
        for k in range(len(self.parameters)):
            ops.assign(self.parameters[k], self.parameters[k] - rate * gradients[k])
        return True


def test_an_optimizer_of_ones_own(mode):
    net = residual()
    start = values(net)
    optimizer = slimming(net, True).add_to(Plain(net.trainable_params()))
    grads = gradients(optimizer)
    optimizer(grads)
    assert_close(net, by_hand("slimming", True, start, named(optimizer, grads), start))


@pytest.mark.parametrize("build, members", [(networks.Depthwise, {"stem", "dw"}), (networks.Branches, None),
                                            (networks.Shuffle, None)], ids=["depthwise", "concat", "shuffle"])
def test_filters_of_a_group_are_one_vector(build, members):
    """Whatever couples layers: the proximal step takes the same share off every filter of a channel."""
    net = randomise(build())
    phase = GroupLasso(net, pruner(), STRENGTH, True)
    before, found = values(net), phase.norms()
    optimizer = phase.add_to(nn.SGD(net.trainable_params(), 1.0))
    optimizer(tuple(ops.zeros_like(p) for p in optimizer.parameters))
    assert members is None or members in [set(group.members) for group in phase.groups]
    after = values(net)
    for group, norm in found.items():
        for part in (part for part in group.slices if part.parameter in group.weights):
            old, new = (np.moveaxis(value[part.parameter], part.axis, 0)[part.indices] for value in (before, after))
            share = np.maximum(0, 1 - STRENGTH / norm).reshape((-1,) + (1,) * (old.ndim - 1))
            np.testing.assert_allclose(new, old * share, rtol=1e-4, atol=1e-6)


def test_a_channel_that_is_zero_stays_without_a_gradient():
    net = residual()
    gamma = values(net)["bn1.gamma"]
    gamma[2] = 0
    net.bn1.gamma.set_data(ms.Tensor(gamma.astype(np.float32)))
    optimizer = slimming(net, False).add_to(nn.SGD(net.trainable_params(), RATE))
    optimizer(tuple(ops.zeros_like(p) for p in optimizer.parameters))
    found = values(net)["bn1.gamma"]
    assert found[2] == 0
    np.testing.assert_allclose(np.abs(found), np.maximum(np.abs(gamma) - RATE * STRENGTH * (gamma != 0), 0), rtol=1e-5)
