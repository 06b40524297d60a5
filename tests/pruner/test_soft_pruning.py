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


class Watch(ms.Callback):
    """Writes down which filters are zero, and after each epoch what would have gone."""

    def __init__(self, net):
        super().__init__()
        self.net, self.zero, self.norms = net, [], []

    def on_train_epoch_end(self, run_context):
        found = values(self.net)
        self.zero.append(zero(found, "b.weight"))

    def on_train_epoch_begin(self, run_context):
        self.norms.append(norms(values(self.net), ["b.weight"]))


@pytest.mark.parametrize("way", ["model", "loop"])
def test_channels_come_back(way, mode):
    """They get gradients in the next epoch, and where they have grown past others, those go."""
    net = residual()
    soft, watch = SoftPruning(net, pruner()), Watch(net)
    optimizer = nn.Momentum(net.trainable_params(), 0.3, 0.9)
    if way == "model":
        fit(net, optimizer, 4, [*soft.callbacks(), watch])
    else:
        loop(net, optimizer, 4, after_epoch=lambda: (soft.prune(), watch.on_train_epoch_end(None)))
    assert [len(found) for found in watch.zero] == [3] * 4
    assert len({tuple(sorted(found)) for found in watch.zero}) > 1
    stays = next(stays for group, stays in soft.chosen.items() if group.name == "stem")
    assert set(np.flatnonzero(~stays).tolist()) == watch.zero[-1] == zero(values(net), "stem.weight")
    masked = soft.finish()
    small = soft.pruner.convert(masked)
    assert small.b.weight.shape == (5, 4, 3, 3)
    x = image(2, 3, 8, 8)
    assert relative_difference(small.set_train(False)(x), masked.set_train(False)(x)) <= 1e-5


def test_a_filter_at_zero_learns(graph_mode):
    net = residual()
    soft = SoftPruning(net, pruner())
    soft.prune()
    gone = zero(values(net), "b.weight")
    fit(net, nn.SGD(net.trainable_params(), 0.1), 1, rows=dataset(count=8))
    assert len(gone) == 3 and zero(values(net), "b.weight") == set()


def test_only_every_second_epoch():
    net = residual()
    soft, watch = SoftPruning(net, pruner(), every=2), Watch(net)
    fit(net, nn.SGD(net.trainable_params(), 0.1), 4, [*soft.callbacks(), watch], dataset(count=8), amp_level="O2",
        loss_scale_manager=None)
    assert [len(found) for found in watch.zero] == [0, 3, 0, 3]


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
