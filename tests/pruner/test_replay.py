"""Passes of compensation leave out what has not changed, and compute the same."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import ChannelPruner
from mindspore_gs._cells import copy_network, in_mode
from mindspore_gs.pruner.compensation import compensate, repair
from mindspore_gs.pruner.compensation.replay import Replay, called_once
from tests.helpers import image, randomise, same_state, state

BATCHES = [(image(4, 3, 8, 8, seed=k),) for k in range(2)]


class Block(nn.Cell):
    """A convolution with its BatchNorm."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(inputs, outputs, 3), nn.BatchNorm2d(outputs)

    def construct(self, x):
        return self.norm(self.conv(x))


class Counted(Block):
    """The same, and it counts how often it computes, which only Python can."""

    computed = 0

    def construct(self, x):
        self.computed += 1
        return super().construct(x)


class Chain(nn.Cell):
    """Layers in a row with one activation for all of them, and sums that are written in place."""

    def __init__(self, block=Block):
        super().__init__()
        self.relu, self.stem = nn.ReLU(), block(3, 8)
        self.layers = nn.CellList([block(8, 8) for _ in range(5)])
        self.head = nn.Dense(8, 4)

    def construct(self, x):
        x = self.relu(self.stem(x))
        for layer in self.layers:
            y = layer(x)
            y += x
            x = self.relu(y)
        return self.head(x.mean((2, 3)))


class SecondFirst(nn.Cell):
    """Two branches; Python runs the second one first."""

    def __init__(self):
        super().__init__()
        self.one = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))
        self.two = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))
        self.last = nn.Conv2d(16, 4, 3)

    def construct(self, x):
        two = self.two(x)
        return self.last(ops.concat((self.one(x), two), 1))


@pytest.mark.parametrize("build", [Chain, SecondFirst])
def test_compensation_is_the_same_with_and_without(build, monkeypatch):
    net, found = randomise(build().set_train(False)), []
    for held in (repair.HELD, 0):
        monkeypatch.setattr(repair, "HELD", held)
        masked = ChannelPruner(prune_rate=0.4, residual="couple", input_shape=(1, 3, 8, 8)).apply(copy_network(net))
        layers = compensate(masked, BATCHES).layers
        assert layers
        found.append(state(masked))
    same_state(*found)


def outputs(net, batches):
    return [net(*batch).asnumpy() for batch in batches]


def test_what_has_been_kept_is_not_computed_again():
    net = randomise(Chain(Counted).set_train(False))
    with in_mode(ms.PYNATIVE_MODE):
        expected = outputs(net, BATCHES)
        replay = Replay(net, BATCHES, BATCHES[0])
        outputs(net, replay.recording([net.layers[3].conv], [net.layers[1].norm]))
        before = [cell.computed for cell in (net.stem, *net.layers)]
        again = outputs(net, replay.passes())
    more = [cell.computed - old for cell, old in zip((net.stem, *net.layers), before)]
    assert more == [0, 0, 2, 0, 2, 2]  # the second layer is watched, the fourth one will change
    for a, b in zip(expected, again):
        np.testing.assert_array_equal(a, b)


def test_what_does_not_fit_is_computed_again():
    net = randomise(Chain(Counted).set_train(False))
    with in_mode(ms.PYNATIVE_MODE):
        replay = Replay(net, BATCHES, BATCHES[0], held=2 * 4 * 8 * 8 * 8 * 2)  # outputs of two layers
        outputs(net, replay.recording([net.head], []))
        before = [cell.computed for cell in (net.stem, *net.layers)]
        outputs(net, replay.passes())
    more = [cell.computed - old for cell, old in zip((net.stem, *net.layers), before)]
    assert sorted(more) == [0, 0, 2, 2, 2, 2]


def test_cells_that_are_called_twice_or_share_an_inner_one_are_left_out():
    shared = nn.Conv2d(3, 3, 1)
    first, second, twice, alone = nn.SequentialCell(shared), nn.SequentialCell(shared), nn.Conv2d(3, 3, 1), Block(3, 3)
    net = nn.SequentialCell(first, twice, second, twice, alone, nn.ReLU())
    with in_mode(ms.PYNATIVE_MODE):
        found = called_once(net, BATCHES[0])
    assert set(found) == {alone, alone.conv}
