"""scope="isomorphic": what is of one kind, from the graph and not from names, and the same rate for each kind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from mindspore import mint, nn

from mindspore_gs import ChannelPruner, summary
from mindspore_gs._cells import copy_network
from mindspore_gs.graph import trace
from mindspore_gs.pruner.kinds import kinds_of
from mindspore_gs.pruner.paths import global_path, isomorphic_path
from mindspore_gs.pruner.select import number_kept
from tests import networks
from tests.helpers import evaluate, example_network, image, randomise, relative_difference

SHAPE = (1, 3, 8, 8)


def kinds(net, residual="couple", shape=SHAPE):
    """Kinds of the free groups by name."""
    graph = trace(net, shape)
    groups = [group for group in graph.groups(residual) if group.blocked_by is None]
    return {group.name: kind for group, kind in zip(groups, kinds_of(graph, groups))}


def test_inner_channels_of_blocks_are_of_one_kind_and_a_stride_makes_another():
    found = kinds(example_network("resnet20"), "inner", (1, 3, 32, 32))
    strided = ["layer2.0.conv1", "layer3.0.conv1"]
    assert len(found) == 9 and len(set(found.values())) == 2
    assert found[strided[0]] == found[strided[1]] == (
        "BatchNorm scale, BatchNorm shift, 2 times BatchNorm statistic, Conv2D 3x3 input, Conv2D 3x3 stride 2x2 filter")
    assert {found[name] for name in found if name not in strided} == {
        "BatchNorm scale, BatchNorm shift, 2 times BatchNorm statistic, Conv2D 3x3 filter, Conv2D 3x3 input"}


def test_streams_with_other_numbers_of_blocks_are_other_kinds():
    found = kinds(networks.Long(width=4))
    assert found["stem"] != found["layer2.0.downsample.0"]
    assert all("2 times Conv2D 3x3 filter" in found[name] for name in ("stem", "layer2.0.downsample.0"))
    assert found["layer1.0.conv1"] == found["layer2.1.conv1"] != found["layer2.0.conv1"]


def test_depthwise_channels_are_a_kind_of_their_own():
    found = kinds(networks.Depthwise())
    assert "Conv2D 3x3 depthwise filter" in found["stem"]
    assert found["stem"] != found["pw"]
    assert "in 2 groups" in kinds(networks.Grouped())["stem"]


def layers(kind):
    """Three alike, one with another kernel, one with a stride, one dilated; all with 8 channels."""
    return nn.SequentialCell(
        kind(3, 8, 3), nn.ReLU(), kind(8, 8, 3), nn.ReLU(), kind(8, 8, 3), nn.ReLU(), kind(8, 8, 3), nn.ReLU(),
        kind(8, 8, 1), nn.ReLU(), kind(8, 8, 3, 2), nn.ReLU(), kind(8, 8, 3, dilation=2), nn.ReLU(), kind(8, 4, 1))


@pytest.mark.parametrize("kind", [nn.Conv2d, mint.nn.Conv2d], ids=["nn", "mint"])
def test_kernel_stride_and_dilation_count(kind):
    found = list(kinds(layers(kind), shape=(1, 3, 32, 32)).values())
    assert found[0] == found[1] == found[2] and len(set(found)) == 5
    assert "1x1 input" in found[3] and "3x3 stride 2x2 input" in found[4] and "dilation 2x2 filter" in found[6]


class Named(nn.Cell):
    """Layers that are alike under names that are not, and layers that are not under names that are."""

    def __init__(self):
        super().__init__()
        self.alpha, self.omega = networks.conv3(3, 8), networks.conv3(8, 8)
        self.layer = nn.SequentialCell(networks.conv3(8, 8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU())
        self.last, self.relu = nn.Conv2d(8, 4, 1), nn.ReLU()

    def construct(self, x):
        x = self.relu(self.omega(self.relu(self.alpha(x))))
        return self.last(self.layer(x))


def test_names_do_not_count():
    found = kinds(Named())
    assert found["alpha"] == found["omega"]
    assert found["layer.0"] != found["layer.2"]


# The path


@settings(deadline=None)
@given(some.lists(some.tuples(some.integers(0, 2), some.lists(some.floats(0.1, 9), min_size=1, max_size=12)),
                  min_size=1, max_size=6), some.integers(1, 4), some.integers(1, 4))
def test_every_kind_loses_the_same_share(parts, round_to, least):
    names, scores = [str(kind) for kind, _ in parts], [np.array(score) for _, score in parts]
    path = isomorphic_path(scores, np.arange(1.0, len(parts) + 1), names, [None] * len(parts), round_to, least)
    sizes = np.array([len(score) for score in scores])
    assert path.after(len(path.keys)).tolist() == [number_kept(n, 1 - 1e-9, round_to, least) for n in sizes]
    for rate in (0.2, 0.5, 0.8):
        kept = path.after(int(np.searchsorted(path.keys, rate, side="right")))
        for kind in set(names):
            own = np.array([name == kind for name in names])
            assert 1 - kept[own].sum() / sizes[own].sum() <= rate + 1e-12


def test_within_a_kind_the_order_is_the_global_one():
    random = np.random.default_rng(0)
    scores = [random.random(6) for _ in range(4)]
    costs = np.array([1.0, 2.0, 3.0, 1.0])
    path = isomorphic_path(scores, costs, ["a", "b", "a", "b"], [None] * 4, 1, 1)
    for own in ([0, 2], [1, 3]):
        alone = global_path([scores[k] for k in own], costs[own], [None, None], 1, 1)
        mine = np.isin(path.groups, own)
        assert path.groups[mine].tolist() == [own[k] for k in alone.groups]
        assert path.kept[mine].tolist() == alone.kept.tolist()
        np.testing.assert_allclose(path.keys[mine], np.arange(1, 11) / 12)


def test_a_group_with_a_rate_of_its_own_does_not_count():
    path = isomorphic_path([np.arange(1.0, 5), np.arange(1.0, 5)], np.ones(2), ["a", "a"], [None, 3], 1, 1)
    assert path.start.tolist() == [4, 3] and path.groups.tolist() == [0, 0, 0] and path.keys[0] == 0.25


# The whole way


@pytest.mark.parametrize("target, residual", [({"macs": 0.5}, "couple"), ({"params": 0.4}, "inner")])
def test_the_target_is_met_with_one_rate_for_each_kind(target, residual):
    net = randomise(networks.Long(width=4))
    pruner = ChannelPruner(target=target, scope="isomorphic", criterion="l2", residual=residual, input_shape=SHAPE,
                           round_to=1)
    masked = pruner.apply(copy_network(net))
    small = pruner.convert(masked)
    report = summary(net, small, SHAPE)
    share = report.macs_ratio if "macs" in target else report.params_ratio
    assert abs(share - next(iter(target.values()))) <= 0.01
    assert relative_difference(evaluate(small, image(*SHAPE)), evaluate(masked, image(*SHAPE))) < 1e-5
    found = kinds(net, residual)
    left = {row.layer: row.channels for row in report.rows}
    rates = {kind: 1 - sum(left[name][0] for name in found if found[name] == kind) /
             sum(left[name][1] for name in found if found[name] == kind) for kind in found.values()}
    assert len(rates) >= 2 and max(rates.values()) - min(rates.values()) < 0.07
