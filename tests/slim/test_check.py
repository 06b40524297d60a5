"""The self-check: outputs of every structure, and what chance and rounding do to them. Wrong networks must fail."""

import logging

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import ChannelPruner
from mindspore_gs._cells import copy_network
from mindspore_gs.errors import ParityError
from mindspore_gs.graph import trace
from mindspore_gs.slim import PrunePlan, mask, relative_difference, slim
from mindspore_gs.slim.check import check_equal
from mindspore_gs.slim.difference import differences
from tests import networks
from tests.helpers import image, randomise

SHAPE = (1, 3, 8, 8)
SPECIFICATION = ((SHAPE, "Float32"),)


def half_of(net, *shape):
    """A plan that takes every second channel of every free group."""
    graph = trace(net, shape or SHAPE)
    free = [group for group in graph.groups() if group.blocked_by is None]
    return PrunePlan.from_groups(graph, {group: [k % 2 == 0 for k in range(group.size)] for group in free})


def pair(net, *shape):
    """The masked network and the slim one, not compared."""
    plan = half_of(randomise(net), *shape)
    return mask(net, plan), slim(net, plan, check=False)


class Outputs(nn.Cell):
    """The same three tensors in any structure."""

    def __init__(self, structure):
        super().__init__()
        self.conv, self.bn, self.heat, self.box = (
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1), nn.Conv2d(8, 4, 1))
        self.structure = structure

    def construct(self, x):
        x = ops.relu(self.bn(self.conv(x)))
        heat, box = self.heat(x), self.box(x)
        if self.structure == "dict":
            return {"heat": heat, "box": box}
        if self.structure == "nested":
            return {"heat": [heat, (box, 3)], "none": None, "size": 7, "name": "head"}
        if self.structure == "list":
            return [heat, box]
        return heat, (box, (box + 1, 2), 1.5)


@pytest.mark.parametrize("structure", ["dict", "nested", "list", "tuple"])
def test_outputs_of_every_structure(structure):
    masked, small = pair(Outputs(structure))
    assert check_equal(masked, small, SPECIFICATION) <= 1e-5
    small.box.weight.set_data(small.box.weight * 1.01)
    with pytest.raises(ParityError, match=r"differs from the masked one by .*the first cell that differs is 'box'"):
        check_equal(masked, small, SPECIFICATION)


T = ms.Tensor
STRUCTURES = {
    "equal": ({"a": T([1.0]), "b": (2, None)}, {"a": T([1.0]), "b": (2, None)}, 0.0),
    "order of keys": ({"a": 1, "b": 2}, {"b": 2, "a": 1}, 0.0),
    "another key": ({"a": 1}, {"b": 1}, float("inf")),
    "one more": ((1, 2), (1, 2, 3), float("inf")),
    "nested in another way": ((1, [2]), (1, (2,)), 0.0),
    "a dict and a tuple": ({"a": 1}, (1,), float("inf")),
    "none and nothing": ((1, None), (1,), float("inf")),
    "number": ({"a": 3}, {"a": 4}, 0.25),
    "none and a number": (None, 0, float("inf")),
    "text": ("left", "right", float("inf")),
    "truth": (T([True, False]), T([True, True]), 1.0),
    "complex": (T(np.array([1 + 2j])), T(np.array([1 + 2.5j])), 0.2),
    "half": (T([1.0], ms.bfloat16), T([1.5], ms.bfloat16), 1 / 3),
    "large integers": (T([2 ** 31 + 1], ms.int64), T([2 ** 31], ms.int64), 2.0 ** -31),
    "empty": ((), (), 0.0),
}


@pytest.mark.parametrize("left, right, expected", STRUCTURES.values(), ids=STRUCTURES)
def test_differences_of_structures(left, right, expected):
    assert relative_difference(left, right) == pytest.approx(expected, rel=1e-6)


def test_differences_by_place():
    assert differences({"a": [1, 2.0], "b": None}, {"a": [1, 3.0], "c": None}) == {
        "[0]['a'][0]": 0.0, "[0]['a'][1]": pytest.approx(1 / 3), "[0]['b'][0]": float("inf"),
        "[0]['c'][0]": float("inf")}


def rounded(net):
    """A copy with every weight moved to the next number: what a network that sums in another order is like."""
    twin = copy_network(net)
    for parameter in twin.get_parameters():
        parameter.set_data(ms.Tensor(np.nextafter(parameter.asnumpy(), np.float32(np.inf))))
    return twin


def test_a_ranking_that_rounding_changes(caplog):
    masked, small = pair(networks.Ranked())
    small = rounded(small)
    x = image(*SHAPE, seed=0)
    assert relative_difference(small.set_train(False)(x), masked.set_train(False)(x)) > 0.1
    with caplog.at_level(logging.WARNING, "mindspore_gs"):
        assert check_equal(masked, small, SPECIFICATION) <= 1e-5
    assert "does not show whether the slim network is equal. All its layers are." in caplog.text


@pytest.mark.parametrize("wrong", ["bn.gamma", "box.weight", "score.weight"])
def test_a_wrong_ranking_is_not_excused(wrong):
    masked, small = pair(networks.Ranked())
    cell, attribute = wrong.split(".")
    parameter = getattr(getattr(small, cell), attribute)
    parameter.set_data(parameter * 1.001)
    with pytest.raises(ParityError, match=f"(first cell that differs is|layer) '{cell}'"):
        check_equal(masked, small, SPECIFICATION)


class Step(nn.Cell):
    """A decision that one rounding does not change, and a few do."""

    def __init__(self):
        super().__init__()
        self.conv, self.shift = nn.Conv2d(3, 1, 1, weight_init="ones"), ms.Parameter(ms.Tensor([0.0], ms.float32))
        self.limit = 9 + 3e-6  # 9 is the output, and one rounding of it 1e-6

    def construct(self, x):
        return ops.cast(self.conv(x) + self.shift > self.limit, ms.float32)


@pytest.mark.parametrize("whole", [lambda step: step, nn.SequentialCell])
@pytest.mark.parametrize(("roundings", "same"), [(5, True), (500, False)])
def test_a_decision_that_some_roundings_change(whole, roundings, same):
    masked, step = whole(Step()), Step()
    small = whole(step)
    for _ in range(roundings):
        step.conv.weight.set_data(ms.Tensor(np.nextafter(step.conv.weight.asnumpy(), np.float32(np.inf))))
    x = ms.Tensor(np.full((1, 3, 2, 2), 3, np.float32))
    assert relative_difference(small(x), masked(x)) == 1
    if same:
        assert check_equal(masked, small, (x,)) == 0
    else:
        with pytest.raises(ParityError, match="differs"):
            check_equal(masked, small, (x,))


class Steep(nn.Cell):
    """An output that amplifies its input, as deep networks with small variances do."""

    def __init__(self, factor):
        super().__init__()
        self.conv, self.bn, self.last = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 4, 1)
        self.factor = factor

    def construct(self, x):
        return ops.sin(self.factor * self.last(ops.relu(self.bn(self.conv(x)))))


def test_what_rounding_does_is_allowed():
    masked, small = pair(Steep(100.0))
    small = rounded(small)
    x = image(*SHAPE, seed=0)
    assert 1e-5 < relative_difference(small.set_train(False)(x), masked.set_train(False)(x)) < 1e-3
    assert check_equal(masked, small, SPECIFICATION) < 1e-3
    small.last.weight.set_data(small.last.weight * 1.0001)
    with pytest.raises(ParityError, match="first cell that differs is 'last'"):
        check_equal(masked, small, SPECIFICATION)


def test_an_ordinary_network_gets_no_more_than_before():
    masked, small = pair(networks.Chain())
    small.conv3.weight.set_data(small.conv3.weight * 1.0001)
    with pytest.raises(ParityError, match="allowed 1e-05.; the first cell that differs is 'conv3'"):
        check_equal(masked, small, SPECIFICATION)


class Opaque(nn.Cell):
    """Chaotic, and the last layer cannot be compared: its width differs and nothing in it is zero."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16)

    def construct(self, x):
        return ops.sin(1e7 * self.bn(self.conv(x)).sum(1))


def test_a_mask_is_not_rounded_into_another():
    """Any number but 0 brings a masked channel back, which would excuse whatever a wrong slim network does."""
    pruner = ChannelPruner(prune_rate=0.5, input_shape=SHAPE)
    net = pruner.apply(randomise(networks.Chain()))
    small = pruner.convert(net)
    last = small.trainable_params()[-2]
    last.set_data(last * 1.0005)
    with pytest.raises(ParityError, match="the slim network differs from the masked one"):
        check_equal(net, small, SPECIFICATION)


def test_when_nothing_can_be_said():
    masked = randomise(Opaque())
    small = copy_network(masked)
    small.bn = nn.SequentialCell(small.bn, small.bn)
    small.conv.weight.set_data(small.conv.weight * 1.3)
    message = r"unknown: one rounding of its inputs or weights moves the masked network's own output by .*layer 'conv'"
    with pytest.raises(ParityError, match=message):
        check_equal(masked, small, SPECIFICATION)


class Sampler(nn.Cell):
    """Two outputs that are what they are, and one that is drawn."""

    def __init__(self, ordinary=True):
        super().__init__()
        self.conv, self.bn, self.mean = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)
        self.decode, self.ordinary = nn.Conv2d(4, 3, 1), ordinary

    def construct(self, x):
        mean = self.mean(ops.relu(self.bn(self.conv(x))))
        drawn = self.decode(mean + ops.standard_normal(mean.shape))
        return (drawn, mean) if self.ordinary else drawn


@pytest.mark.parametrize("ordinary", [True, False])
def test_random_outputs_are_compared_with_the_same_seed(ordinary, mode):
    masked, small = pair(Sampler(ordinary))
    numpy_state, seed = np.random.get_state()[1].copy(), ms.get_seed()
    assert check_equal(masked, small, SPECIFICATION) <= 1e-5
    assert np.array_equal(np.random.get_state()[1], numpy_state) and ms.get_seed() == seed
    small.decode.weight.set_data(small.decode.weight * 1.01)
    with pytest.raises(ParityError, match="differs from the masked one by"):
        check_equal(masked, small, SPECIFICATION)


class Host(nn.Cell):
    """Random numbers that no seed of MindSpore reaches."""

    draw = np.random.default_rng(1)

    def __init__(self, ordinary):
        super().__init__()
        self.conv, self.bn, self.last = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)
        self.ordinary = ordinary

    def construct(self, x):
        y = self.last(ops.relu(self.bn(self.conv(x))))
        drawn = y + ms.Tensor(self.draw.standard_normal(1).astype(np.float32))
        return {"drawn": drawn, "mean": y} if self.ordinary else drawn


def other_than(net):
    """The same network with another weight."""
    twin = copy_network(net)
    twin.last.weight.set_data(twin.last.weight * 1.01)
    return twin


def test_what_no_seed_repeats_is_left_out():
    net = randomise(Host(True))
    assert check_equal(net, copy_network(net), SPECIFICATION) == 0
    with pytest.raises(ParityError, match="the first cell that differs is 'last'"):
        check_equal(net, other_than(net), SPECIFICATION)


def test_only_random_outputs_prove_nothing():
    net = randomise(Host(False))
    with pytest.raises(ParityError, match="every output is random and no seed makes it the same"):
        check_equal(net, copy_network(net), SPECIFICATION)


def test_inputs_of_the_users_own():
    net = randomise(nn.SequentialCell(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)))
    other = copy_network(net)
    other[0].weight.set_data(other[0].weight * 1.0001)
    assert check_equal(net, other, [ops.zeros(SHAPE)]) == 0
    with pytest.raises(ParityError, match="'0'"):
        check_equal(net, other, [image(*SHAPE)])


class Positive(nn.Cell):
    """A difference that normal numbers of one seed do not show: behind a threshold that few of them pass."""

    def __init__(self, threshold):
        super().__init__()
        self.conv, self.threshold = nn.Conv2d(1, 2, 1), threshold

    def construct(self, x):
        return self.conv(x) + ops.relu(self.threshold - ops.abs(x - 0.5).max())


def test_two_sets_of_inputs_are_tried():
    net, other = Positive(0.5), Positive(0.0)
    other.conv = net.conv
    assert relative_difference(net(image(1, 1, 9, 9)), other(image(1, 1, 9, 9))) == 0
    with pytest.raises(ParityError, match="the network itself"):
        check_equal(net, other, (((1, 1, 9, 9), "Float32"),))
