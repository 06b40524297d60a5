"""Soft pruning: filters are set to zero together, come back, and the last choice is masked."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs.pruner.phases import SoftPruning
from tests.helpers import image, relative_difference
from tests.phases import FILTERS, dataset, fit, loop, norms, pruner, residual, values


def lowest(found, names, rate=0.4):
    """The L2 norms of the layers, each over its mean, averaged; the lowest go."""
    scores = [norms(found, [name]) for name in names]
    mean = np.mean([score / score.mean() for score in scores], axis=0)
    return set(np.argsort(mean)[:int(rate * len(mean))].tolist())


def zero(found, name):
    return set(np.flatnonzero(norms(found, [name]) == 0).tolist())


def test_filters_are_set_to_zero_by_hand():
    net = residual()
    before = values(net)
    soft = SoftPruning(net, pruner())
    chosen = soft.prune()
    after = values(net)
    for names in FILTERS.values():
        for name in names:
            assert zero(after, name) == lowest(before, names)
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert changed == {"stem.weight", "a.weight", "b.weight"}
    assert {group.name: int((~stays).sum()) for group, stays in chosen.items()} == {"stem": 3, "a": 2}


def test_a_channel_comes_back_and_another_goes():
    """By hand: where the gradients pull hardest at the filters that were set to zero, these are the largest then."""
    net = residual()
    soft = SoftPruning(net, pruner())
    soft.prune()
    gone = sorted(zero(values(net), "a.weight"))
    optimizer = nn.SGD(net.trainable_params(), 1.0)
    pull = np.where(np.isin(np.arange(6), gone), 5.0, 0.0).astype(np.float32).reshape(6, 1, 1, 1)
    optimizer(tuple(ms.Tensor(-pull * np.ones(p.shape, np.float32)) if p.name == "a.weight" else ms.ops.zeros_like(p)
                    for p in optimizer.parameters))
    assert (values(net)["a.weight"][gone] == 5).all()
    soft.prune()
    assert len(gone) == 2 and zero(values(net), "a.weight").isdisjoint(gone)
    assert len(zero(values(net), "a.weight")) == 2


class Watch(ms.Callback):
    """Writes down at the end of each epoch how many filters of a stream are zero."""

    def __init__(self, net):
        super().__init__()
        self.net, self.zero = net, []

    def on_train_epoch_end(self, run_context):
        self.zero.append(len(zero(values(self.net), "b.weight")))


def alive():
    """Every shift is above 0: a channel whose filter is zero still says something, so that a gradient arrives."""
    net = residual()
    for parameter in (net.bn0.beta, net.bn1.beta, net.bn2.beta):
        parameter.set_data(abs(parameter) + 0.1)
    return net


@pytest.mark.parametrize("way", ["model", "loop"])
def test_filters_learn_between_the_epochs(way, mode):
    net = alive()
    soft, before, after = SoftPruning(net, pruner()), Watch(net), Watch(net)
    optimizer = nn.Momentum(net.trainable_params(), 0.05, 0.9)
    if way == "model":
        fit(net, optimizer, 2, [before, *soft.callbacks(), after])
    else:
        loop(net, optimizer, 2, lambda: (before.on_train_epoch_end(0), soft.prune(), after.on_train_epoch_end(0)))
    assert (before.zero, after.zero) == ([0, 0], [3, 3])
    stays = next(stays for group, stays in soft.chosen.items() if group.name == "stem")
    gone = set(np.flatnonzero(~stays).tolist())
    assert gone == zero(values(net), "b.weight") == zero(values(net), "stem.weight")
    masked = soft.finish()
    small = soft.pruner.convert(masked)
    assert small.b.weight.shape == (5, 4, 3, 3)
    x = image(2, 3, 8, 8)
    assert relative_difference(small.set_train(False)(x), masked.set_train(False)(x)) <= 1e-5


def test_only_every_second_epoch_also_in_mixed_precision():
    net = alive()
    soft, watch = SoftPruning(net, pruner(), every=2), Watch(net)
    fit(net, nn.SGD(net.trainable_params(), 0.1), 4, [*soft.callbacks(), watch], dataset(count=8), amp_level="O2",
        loss_scale_manager=None)
    assert watch.zero == [0, 3, 0, 3]


def test_the_end_masks_the_last_choice():
    """Also where the criterion would choose others by now."""
    net = residual()
    soft = SoftPruning(net, pruner())
    chosen = soft.prune()
    for parameter in net.trainable_params():
        parameter.set_data(parameter + 1)
    plan = soft.pruner.plan(soft.finish())
    lost = {group.name: set(np.flatnonzero(~stays).tolist()) for group, stays in chosen.items()}
    for name, group in (("b.weight", "stem"), ("a.weight", "a")):
        assert set(range(8 if group == "stem" else 6)) - set(plan.kept(name, 0)) == lost[group]
