"""Tables of embeddings: their width is a number of channels like any other."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindspore_gs import ChannelPruner, export_mindir, load_mindir, prune
from mindspore_gs.graph import trace
from tests.helpers import evaluate, randomise, relative_difference

IDS = Tensor([[1, 5, 2], [0, 6, 5]], ms.int32)


class Words(nn.Cell):
    """Words and their places, side by side with what is looked up in a table of the cell's own."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(7, 8), nn.Embedding(3, 8)
        self.table, self.conv, self.head = nn.Embedding(7, 6).embedding_table, nn.Conv1d(14, 8, 1), nn.Dense(8, 4)

    def construct(self, ids, places):
        x = ops.concat((self.words(ids) + self.places(places), ops.gather(self.table, ids, 0)), -1)
        return self.head(ops.relu(self.conv(x.swapaxes(1, 2))).mean(-1))


class Factors(nn.Cell):
    """Users times items: what one table loses the other one loses."""

    def __init__(self):
        super().__init__()
        self.users, self.items, self.head = nn.Embedding(7, 8), nn.Embedding(9, 8), nn.Dense(8, 1)

    def construct(self, users, items):
        return self.head(self.users(users) * self.items(items))


class Tied(nn.Cell):
    """The table is the weight of the last layer, too."""

    def __init__(self):
        super().__init__()
        self.words, self.inner = nn.Embedding(7, 8), nn.Dense(8, 8)

    def construct(self, ids):
        return ops.matmul(ops.relu(self.inner(self.words(ids))), self.words.embedding_table.T)


class Images(nn.Cell):
    """TextCNN: one kernel as wide as the embedding."""

    def __init__(self):
        super().__init__()
        self.words, self.conv = nn.Embedding(7, 8), nn.Conv2d(1, 6, (2, 8), pad_mode="valid")
        self.head = nn.Dense(6, 4)

    def construct(self, ids):
        return self.head(ops.relu(self.conv(self.words(ids).expand_dims(1))).mean((2, 3)))


class Stream(nn.Cell):
    """A block of a transformer on words."""

    def __init__(self):
        super().__init__()
        self.words, self.norm = nn.Embedding(7, 8), nn.LayerNorm([8])
        self.up, self.down, self.head = nn.Dense(8, 6), nn.Dense(6, 8), nn.Dense(8, 4)

    def construct(self, ids):
        x = self.words(ids)
        return self.head(x + self.down(ops.relu(self.up(self.norm(x)))))


def free(net, *inputs, **options):
    return [(group.members, group.size) for group in trace(net, *inputs, **options).groups()
            if group.blocked_by is None]


def test_which_tables_lose_columns():
    assert free(Words(), IDS, IDS % 3) == [(("words", "places"), 8), (("embedding_table",), 6), (("conv",), 8)]
    assert free(Factors(), IDS[:, 0], IDS[:, 1]) == [(("users", "items"), 8)]
    assert free(Tied(), IDS) == []
    assert free(Images(), IDS) == [(("conv",), 6)]
    assert free(Stream(), IDS) == [(("up",), 6)]
    assert free(Stream(), IDS, norms="recompute") == [(("words", "down"), 8), (("up",), 6)]


def trained(net, *inputs, steps=2):
    optimizer = nn.SGD(net.trainable_params(), 0.05)

    def loss(*given):
        return (net(*given) ** 2).mean()

    step = ms.value_and_grad(loss, None, optimizer.parameters)
    net.set_train(True)
    for _ in range(steps):
        optimizer(step(*inputs)[1])
    return net


@pytest.mark.parametrize("kind, options, mode", [(Words, {"residual": "keep"}, ms.PYNATIVE_MODE),
                                                 (Stream, {"norms": "recompute"}, ms.GRAPH_MODE)])
def test_the_masked_network_is_the_slim_one_behind_training_and_in_the_file(kind, options, mode, tmp_path):
    ms.set_context(mode=mode)
    inputs = (IDS, IDS % 3) if kind is Words else (IDS,)
    pruner = ChannelPruner(prune_rate=0.5, input_shape=list(inputs), **options)
    masked = pruner.apply(randomise(kind()))
    small = pruner.convert(masked)
    first = next(p for p in small.words.get_parameters())
    assert first.shape == (7, 4) and relative_difference(evaluate(small, *inputs), evaluate(masked, *inputs)) < 1e-5
    trained(masked, *inputs), trained(small, *inputs)
    again = pruner.convert(masked)
    assert all(np.allclose(p.asnumpy(), q.asnumpy(), atol=1e-5)
               for p, q in zip(small.get_parameters(), again.get_parameters()))
    export_mindir(again, list(inputs), str(tmp_path / "small"))
    found = load_mindir(str(tmp_path / "small.mindir"))(*inputs)
    assert relative_difference(found, evaluate(masked, *inputs)) < 1e-5


def test_a_target_and_data_take_tables():
    inputs = (IDS, IDS % 3)
    batches = [(*inputs, Tensor([1, 2], ms.int32))]
    small = prune(randomise(Words()), prune_rate=0.5, criterion="taylor", data=batches, inputs=list(inputs))
    assert [each.shape for each in (small.words.embedding_table, small.places.embedding_table, small.table)] == \
        [(7, 4), (3, 4), (7, 3)]
