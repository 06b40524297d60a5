"""norms="recompute": a stream behind layer normalisations loses channels, and the masked network computes the same."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import (
    ChannelPruner,
    PrunerFtCompressAlgo,
    export_mindir,
    load_mindir,
    load_pruned,
    prune,
    save_pruned,
)
from mindspore_gs.graph import trace
from mindspore_gs.masks import Masks
from tests.helpers import evaluate, image, randomise, relative_difference, same_state, state, train_steps

SHAPE = (2, 3, 8, 8)


class FirstNorm(nn.LayerNorm):
    """As ConvNeXt has it: over the channels of (N, C, H, W)."""

    def construct(self, x):
        y, _, _ = self.layer_norm(x.transpose(0, 2, 3, 1), self.gamma, self.beta)
        return y.transpose(0, 3, 1, 2)


class Scaled(nn.Cell):
    """A block of ConvNeXt."""

    def __init__(self, width):
        super().__init__()
        self.spatial, self.norm = nn.Conv2d(width, width, 3, group=width, has_bias=True), nn.LayerNorm([width])
        self.up, self.down = nn.Dense(width, 2 * width), nn.Dense(2 * width, width)
        self.scale = ms.Parameter(ms.Tensor(np.linspace(0.2, 1, width), ms.float32))

    def construct(self, x):
        y = self.norm(self.spatial(x).transpose(0, 2, 3, 1))
        return x + (self.down(ops.gelu(self.up(y))) * self.scale).transpose(0, 3, 1, 2)


class Next(nn.Cell):
    def __init__(self):
        super().__init__()
        self.stem, self.first = nn.Conv2d(3, 8, 2, 2), FirstNorm([8], epsilon=1e-6)
        self.blocks = nn.SequentialCell(Scaled(8), Scaled(8))
        self.norm, self.head = nn.LayerNorm([8]), nn.Dense(8, 4)

    def construct(self, x):
        return self.head(self.norm(self.blocks(self.first(self.stem(x))).mean((2, 3))))


class Attention(nn.Cell):
    def __init__(self, width, heads, length):
        super().__init__()
        self.heads, self.length = heads, length
        self.qkv, self.out = nn.Dense(width, 3 * heads * length), nn.Dense(heads * length, width)

    def construct(self, x):
        b, n, _ = x.shape
        q, k, v = ops.unstack(self.qkv(x).reshape(b, n, 3, self.heads, self.length).transpose(2, 0, 3, 1, 4))
        weights = ops.softmax(ops.matmul(q, k.swapaxes(-1, -2)) * 0.6)
        return self.out(ops.matmul(weights, v).transpose(0, 2, 1, 3).reshape(b, n, -1))


class Tokens(nn.Cell):
    """A transformer on patches, with a class token and an embedding of the places."""

    def __init__(self, width=8):
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4, pad_mode="valid")
        self.token = ms.Parameter(image(1, 1, width, seed=1))
        self.places = ms.Parameter(image(1, 5, width, seed=2))
        self.norm1, self.attention = nn.LayerNorm([width]), Attention(width, 2, 3)
        self.norm2, self.up, self.down = nn.LayerNorm([width]), nn.Dense(width, 12), nn.Dense(12, width)
        self.norm3, self.head = nn.LayerNorm((width,)), nn.Dense(width, 4)

    def construct(self, x):
        x = self.patch(x)
        b, c = x.shape[:2]
        x = ops.concat((ops.tile(self.token, (b, 1, 1)), x.reshape(b, c, -1).transpose(0, 2, 1)), 1) + self.places
        x = x + self.attention(self.norm1(x))
        x = x + self.down(ops.gelu(self.up(self.norm2(x))))
        return self.head(self.norm3(x)[:, 0])


@pytest.mark.parametrize(("make", "mode"), [(Next, ms.PYNATIVE_MODE), (Tokens, ms.GRAPH_MODE)],
                         ids=["next-pynative", "tokens-graph"])
def test_masked_slim_and_every_file_are_equal(make, mode, tmp_path):
    ms.set_context(mode=mode)
    net = randomise(make())
    before, x = evaluate(net, image(*SHAPE)).asnumpy(), image(*SHAPE)
    pruner = ChannelPruner(prune_rate=0.5, criterion="random", norms="recompute", input_shape=SHAPE)
    masked = pruner.apply(net)
    want = evaluate(masked, x).asnumpy()
    assert relative_difference(want, before) > 1e-2
    small = pruner.convert(masked)
    assert small.head.weight.shape == (4, 4)
    for cell in (cell for _, cell in small.cells_and_names() if isinstance(cell, nn.LayerNorm)):
        assert cell.normalized_shape == cell.gamma.shape == (4,)
    assert relative_difference(evaluate(small, x).asnumpy(), want) <= 1e-5
    save_pruned(small, str(tmp_path / "small.ckpt"))
    again = load_pruned(make, str(tmp_path / "small.ckpt"))
    assert relative_difference(evaluate(again, x).asnumpy(), want) <= 1e-5
    file = export_mindir(small, x, tmp_path / "small")
    assert relative_difference(load_mindir(file)(x).asnumpy(), want) <= 1e-5


def test_the_slim_network_trains_on_as_the_masked_one_does():
    pruner = ChannelPruner(prune_rate=0.5, criterion="random", norms="recompute", input_shape=SHAPE)
    masked = pruner.apply(randomise(Tokens()))
    small = pruner.convert(masked)
    losses = [train_steps(net, 3, shape=SHAPE) for net in (masked, small)]
    assert np.allclose(*losses, rtol=1e-4)
    x = image(*SHAPE, seed=3)
    assert relative_difference(evaluate(small, x).asnumpy(), evaluate(masked, x).asnumpy()) <= 1e-4
    assert relative_difference(evaluate(pruner.convert(masked), x).asnumpy(), evaluate(masked, x).asnumpy()) <= 1e-5


def test_masks_are_taken_off_again():
    net = randomise(Next())
    before, x = state(net), image(*SHAPE)
    want = evaluate(net, x).asnumpy()
    plain = Masks(ChannelPruner(prune_rate=0.5, norms="recompute", input_shape=SHAPE).apply(net)).detached()
    assert same_state(state(plain), before)
    assert np.array_equal(evaluate(plain, x).asnumpy(), want) and type(plain.norm) is nn.LayerNorm


def test_without_the_option_the_stream_stays():
    small = prune(randomise(Tokens()), prune_rate=0.5, inputs=SHAPE)
    assert small.head.weight.shape == (4, 8) and small.up.weight.shape == (6, 8)
    assert "MIXES_CHANNELS at LayerNorm" in str(trace(Tokens(), SHAPE).groups()[0].blocked_by)


class Several(nn.Cell):
    """Layer normalisations that keep their channels: over two axes, with a shared gamma, and written out."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Dense(8, 8) for _ in range(4))
        self.wide = nn.LayerNorm([5, 8], begin_norm_axis=1, begin_params_axis=1)
        self.one, self.two = nn.LayerNorm([8]), nn.LayerNorm([8])
        self.two.gamma = self.one.gamma
        self.own, self.shift = ms.Parameter(image(8)), ms.Parameter(image(8, seed=1))
        self.operator = ops.LayerNorm(-1, -1)

    def construct(self, x):
        x = self.two(self.b(self.one(self.a(x))))
        return self.d(self.operator(self.wide(self.c(x)), self.own, self.shift)[0])


def test_other_normalisations_keep_their_channels():
    groups = trace(Several(), (2, 5, 8), norms="recompute").groups()
    assert all(group.blocked_by is not None for group in groups)


def test_wrong_words():
    with pytest.raises(ValueError, match=r"'norms' must be one of \('keep', 'recompute'\), but got 'all'"):
        ChannelPruner(norms="all")
    with pytest.raises(ValueError, match=r"'norms' must be one of \('keep', 'recompute'\), but got 3"):
        trace(Next(), SHAPE, norms=3)
    with pytest.raises(ValueError, match="'norms' must be 'keep', since knockoffs are"):
        PrunerFtCompressAlgo(norms="recompute")
