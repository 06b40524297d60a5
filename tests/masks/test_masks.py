"""The owner of masks: every kind of cell, set and read, copies, checkpoints, gradients."""

import copy

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs.errors import PlanError, PruningError
from mindspore_gs.graph import trace
from mindspore_gs.masks import MaskedConv2dbn, Masks, masked_groups
from mindspore_gs.slim import PrunePlan, mask, slim
from tests import couplings, networks, operators
from tests.helpers import evaluate, image, randomise, relative_difference, same_state, state


class OwnWeights(nn.Cell):
    """Two weights and a bias of the user's own in one cell, and one that belongs to the network itself."""

    def __init__(self):
        super().__init__()
        self.inner = Inner()
        self.scale = ms.Parameter(ops.ones((1, 6, 1, 1)), name="scale")
        self.shift = ms.Parameter(ops.ones((1, 6, 1, 1)), name="shift")
        self.head = nn.Conv2d(6, 4, 1)

    def construct(self, x):
        return self.head(ops.relu(self.inner(x) * self.scale + self.shift))


class Inner(nn.Cell):
    """Functional convolutions."""

    def __init__(self):
        super().__init__()
        self.first = ms.Parameter(ops.ones((8, 3, 3, 3)), name="first")
        self.second = ms.Parameter(ops.ones((6, 8, 1, 1)), name="second")
        self.bias = ms.Parameter(ops.ones((6,)), name="bias")

    def construct(self, x):
        y = ops.relu(ops.conv2d(x, self.first, pad_mode="same"))
        return ops.bias_add(ops.conv2d(y, self.second), self.bias)


class Volumes(nn.Cell):
    """3d convolution, BatchNorm3d, 1d and transposed convolution, BatchNorm1d, dense layers."""

    def __init__(self):
        super().__init__()
        self.three, self.norm3 = nn.Conv3d(2, 6, 3), nn.BatchNorm3d(6)
        self.up = nn.Conv2dTranspose(6, 8, 2, stride=2, has_bias=True)
        self.one = nn.Conv1d(8, 10, 3, has_bias=True)
        self.dense, self.norm1, self.out = nn.Dense(10, 12), nn.BatchNorm1d(12), nn.Dense(12, 4)

    def construct(self, x):
        x = ops.relu(self.norm3(self.three(x)))
        x = ops.relu(self.up(x.mean(2)))
        x = ops.relu(self.one(x.mean(3)))
        return self.out(ops.relu(self.norm1(self.dense(x.mean(2)))))


class Plain(nn.Cell):
    """No BatchNorm at all."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, has_bias=True), nn.Conv2d(8, 6, 3)
        self.fc, self.out = nn.Dense(6, 10), nn.Dense(10, 4)

    def construct(self, x):
        x = ops.relu(self.b(ops.relu(self.a(x)))).mean((2, 3))
        return self.out(ops.relu(self.fc(x)))


S = (1, 3, 8, 8)
NETWORKS = {
    "chain": (networks.Chain, S), "identity": (networks.Identity, S), "gate": (networks.Gate, S),
    "second_norm": (networks.SecondNorm, S), "called_twice": (networks.Twice, S), "shared": (networks.SharedWeight, S),
    "depthwise": (networks.Depthwise, S), "dense_block": (couplings.DenseBlock, S), "no_norm": (Plain, S),
    "own_weights": (OwnWeights, S), "volumes": (Volumes, (1, 2, 4, 8, 8)), "long": (networks.Long, S),
    "tuple_of_weights": (operators.TupleOfWeights, S),
}


def attached(build, shape, seed=0):
    net = randomise(build(), seed)
    graph = trace(net, shape)
    groups = [g for g in graph.groups() if g.blocked_by is None]
    return net, graph, groups


def halves(groups, seed=1):
    random = np.random.default_rng(seed)
    choice = {}
    for group in groups:
        stays = np.ones(group.size, bool)
        stays[random.permutation(group.size)[:group.size // 2]] = False
        choice[group] = stays
    return choice


@pytest.mark.parametrize(("build", "shape"), NETWORKS.values(), ids=NETWORKS)
def test_masks_compute_what_zeroed_parameters_and_the_slim_network_compute(build, shape, mode):
    net, graph, groups = attached(build, shape)
    plain, x = copy.deepcopy(net), image(3, *shape[1:], seed=7)
    dense = evaluate(plain, x)
    masks = Masks.attach(net, graph, groups)
    assert relative_difference(evaluate(net, x), dense) == 0
    for seed in (1, 2):  # set again: nothing but the parameters changes
        choice = halves(groups, seed)
        masks.set(choice)
        plan = PrunePlan.from_groups(graph, choice)
        expected = evaluate(mask(plain, plan), x)
        assert relative_difference(evaluate(net, x), expected) <= 1e-6
        assert relative_difference(evaluate(slim(plain, plan, check=False), x), expected) <= 1e-5
        assert relative_difference(evaluate(net, x), dense) > 1e-3  # the masks do something
        assert all((masks.read()[group] == stays).all() for group, stays in choice.items())


@pytest.mark.parametrize(("build", "shape"), NETWORKS.values(), ids=NETWORKS)
def test_detached_is_the_network_as_it_was(build, shape):
    net, graph, groups = attached(build, shape)
    before = state(net)
    masks = Masks.attach(net, graph, groups)
    masks.set(halves(groups))
    assert same_state(before, state(masks.detached()))
    assert masked_groups(net) == tuple(groups) and masked_groups(masks.detached()) == ()


@pytest.mark.parametrize("build", [networks.Chain, Plain, networks.SecondNorm, operators.TupleOfWeights],
                         ids=["chain", "no_norm", "second_norm", "tuple_of_weights"])
def test_a_masked_channel_gets_no_gradient(build, mode):
    net, graph, groups = attached(build, S)
    masks = Masks.attach(net, graph, groups)
    choice = halves(groups)
    masks.set(choice)
    weights = net.trainable_params()

    def forward(x):
        return (net(x) ** 2).mean()

    net.set_train(True)
    gradients = {p.name: g.asnumpy() for p, g in zip(weights, ms.grad(forward, None, weights)(image(4, 3, 8, 8)))}
    for group, stays in choice.items():
        for part in group.slices:
            if part.parameter in gradients:
                rows = np.moveaxis(gradients[part.parameter], part.axis, 0)[part.indices]
                assert (rows[~stays] == 0).all() and (rows[stays] != 0).any(), part.parameter


def test_setting_masks_compiles_nothing_again(graph_mode):
    net, graph, groups = attached(networks.Long, S)
    masks = Masks.attach(net, graph, groups)
    x = image(2, 3, 8, 8)
    evaluate(net, x)
    compiled = set(net.compile_cache)
    outputs = []
    for seed in range(3):
        masks.set(halves(groups, seed))
        outputs.append(net(x).asnumpy())
    assert set(net.compile_cache) == compiled and compiled
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-4


def test_a_pair_is_what_golden_stick_calls_it():
    net, graph, groups = attached(networks.Chain, S)
    conv, norm = net.conv2, net.bn2
    Masks.attach(net, graph, groups)
    assert net.conv2 is conv and net.bn2 is norm and isinstance(conv, (MaskedConv2dbn, nn.Conv2d))
    assert conv.conv is conv and conv.bn is norm and conv.stays.all()
    assert [p.name for p in net.get_parameters() if p.name.endswith("out_index")] == ["conv1.out_index",
                                                                                      "conv2.out_index"]


def test_copies_have_masks_of_their_own():
    net, graph, groups = attached(networks.Long, S)
    masks = Masks.attach(net, graph, groups)
    twin = copy.deepcopy(net)
    Masks(twin).set(halves(groups))
    assert all(stays.all() for stays in masks.read().values())
    assert not all(stays.all() for stays in Masks(twin).read().values())


def test_a_checkpoint_carries_the_masks(tmp_path):
    net, graph, groups = attached(networks.Gate, S)
    Masks.attach(net, graph, groups).set(halves(groups))
    ms.save_checkpoint(net, str(tmp_path / "masked.ckpt"))
    other, other_graph, other_groups = attached(networks.Gate, S, seed=5)
    masks = Masks.attach(other, other_graph, other_groups)
    assert ms.load_param_into_net(other, ms.load_checkpoint(str(tmp_path / "masked.ckpt"))) == ([], [])
    x = image(2, 3, 8, 8)
    assert relative_difference(evaluate(other, x), evaluate(net, x)) == 0
    for (_, mine), (_, theirs) in zip(masks.read().items(), Masks(net).read().items()):
        np.testing.assert_array_equal(mine, theirs)


def test_wrong_use_is_refused_and_changes_nothing():
    net, graph, groups = attached(networks.Chain, S)
    blocked = next(g for g in graph.groups() if g.blocked_by is not None)
    before = state(net)
    with pytest.raises(PlanError, match="group 'conv3' may not lose channels: REACHES_OUTPUT"):
        Masks.attach(net, graph, [blocked])
    assert same_state(before, state(net))
    masks = Masks.attach(net, graph, groups[:1])
    with pytest.raises(PruningError, match="Chain has masks already"):
        Masks.attach(net, graph, groups)
    for choice in ({groups[0]: [True] * 3}, {groups[0]: [False] * 6}, {groups[1]: [True] * 8}):
        with pytest.raises(PlanError, match=r"takes \d truth values of which at least one is true"):
            masks.set(choice)
    assert masks.read()[groups[0]].all()
