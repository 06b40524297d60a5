"""Attributes that code only compares with a shape follow the channels."""

import mindspore as ms
import pytest
from mindspore import nn, ops

from mindspore_gs import ChannelPruner
from mindspore_gs.graph import trace
from tests.helpers import evaluate, image, randomise, relative_difference


class Down(nn.Cell):
    """Refuses any other number of channels; of the same number are the pixels of a tile, which code compares too."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels, self.tile = channels, channels
        self.conv = nn.Conv2d(channels, channels, 3, 2)

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        if x.shape[1] != self.channels:
            raise ValueError(f"{x.shape[1]} channels came, {self.channels} are allowed")
        return self.conv(x[:, :, :self.tile] if x.shape[2] > self.tile else x)


class Normed(nn.Cell):
    """A residual stream with a GroupNorm, whose groups make the tracer ask, and a layer that counts its channels."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm, self.inner = nn.Conv2d(3, 16, 3), nn.GroupNorm(4, 16), nn.Conv2d(16, 16, 3)
        self.down, self.head = Down(16), nn.Dense(16, 4)

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        x = self.stem(x)
        x = x + self.inner(ops.relu(self.norm(x)))
        return self.head(ops.relu(self.down(x)).mean((2, 3)))


class Plain(Normed):
    """Nothing in it makes the tracer ask."""

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        x = self.stem(x)
        return self.head(ops.relu(self.down(x + self.inner(ops.relu(x)))).mean((2, 3)))


def test_what_is_only_compared_follows_and_nothing_else():
    free = [group for group in trace(Normed(), (1, 3, 8, 8)).groups() if group.blocked_by is None]
    assert [(group.name, group.size) for group in free] == [("stem", 4), ("down.conv", 16)]


@pytest.mark.parametrize("kind", [Normed, Plain])
def test_the_slim_network_accepts_its_own_channels(kind, mode):
    net, x = randomise(kind()), image(2, 3, 8, 8)
    pruner = ChannelPruner(prune_rate=0.5, input_shape=(1, 3, 8, 8))
    masked = pruner.apply(net)
    small = pruner.convert(masked)
    assert (small.down.channels, small.down.tile, small.down.conv.weight.shape) == (8, 16, (8, 8, 3, 3))
    assert relative_difference(evaluate(small, x), evaluate(masked, x)) <= 1e-6


def test_what_is_kept_whole_keeps_its_number():
    pruner = ChannelPruner(prune_rate=0.5, residual="keep", input_shape=(1, 3, 8, 8))
    small = pruner.convert(pruner.apply(randomise(Normed())))
    assert small.down.channels == 16 and small.down.conv.weight.shape[1] == 16
