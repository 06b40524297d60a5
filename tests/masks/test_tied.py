"""Parameters that are multiplied with: a decoder tied to its encoder, all experts in one tensor, edges of a graph."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindspore_gs import ChannelPruner, export_mindir, load_mindir, prune
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import trace
from tests.helpers import evaluate, randomise, relative_difference


class TiedDense(nn.Cell):
    """An autoencoder whose decoder is its encoder the other way round."""

    def __init__(self):
        super().__init__()
        self.enter, self.code, self.head = nn.Dense(6, 8), nn.Dense(8, 5), nn.Dense(8, 4)

    def construct(self, x):
        code = ops.relu(self.code(ops.relu(self.enter(x))))
        return self.head(ops.relu(ops.matmul(code, self.code.weight)))


class TiedSquare(nn.Cell):
    """The same channels go in and out, twice the one way and once the other."""

    def __init__(self):
        super().__init__()
        self.enter, self.turn, self.head = nn.Dense(6, 8), nn.Dense(8, 8), nn.Dense(8, 4)

    def construct(self, x):
        x = ops.relu(self.turn(ops.relu(self.turn(ops.relu(self.enter(x))))))
        return self.head(ops.relu(ops.matmul(x, self.turn.weight)))


class TiedOwn(nn.Cell):
    """Parameters of the network itself, read through a tuple."""

    def __init__(self):
        super().__init__()
        self.first = Parameter(ops.ones((6, 8)), name="first")
        self.second = Parameter(ops.ones((8, 5)), name="second")
        self.both, self.head = (self.first, self.second), nn.Dense(8, 4)

    def construct(self, x):
        first, second = self.both
        code = ops.relu(ops.matmul(ops.relu(ops.matmul(x, first)), second))
        return self.head(ops.relu(ops.matmul(code, second.T)))


class Around(nn.Dense):
    """A class around MindSpore's layer."""

    def construct(self, x):
        return ops.relu(super().construct(x))


class TiedAround(TiedDense):
    """Another layer reads the weight of such a class."""

    def __init__(self):
        super().__init__()
        self.code = Around(8, 5, has_bias=False)


class Experts(nn.Cell):
    """Three experts, whose weights are one tensor for each layer, and a gate that mixes what they say."""

    def __init__(self):
        super().__init__()
        self.enter, self.gate, self.head = nn.Dense(6, 8), nn.Dense(8, 3), nn.Dense(5, 4)
        self.up = Parameter(ops.ones((3, 8, 7)), name="up")
        self.bias = Parameter(ops.ones((3, 1, 7)), name="bias")
        self.down = Parameter(ops.ones((3, 5, 7)), name="down")
        self.product = ops.BatchMatMul(transpose_b=True)

    def construct(self, x):
        x = ops.relu(self.enter(x))
        inner = ops.relu(ops.matmul(x[None], self.up) + self.bias)
        share = ops.softmax(self.gate(x), -1).T
        return self.head((self.product(inner, self.down) * share[:, :, None]).sum(0))


class Neighbours(nn.Cell):
    """A graph whose edges are learned: a parameter on the left mixes nodes, and no channels."""

    def __init__(self):
        super().__init__()
        self.edges = Parameter(ops.ones((6, 6)), name="edges")
        self.enter, self.inner, self.head = nn.Dense(1, 8), nn.Dense(8, 5), nn.Dense(5, 4)

    def construct(self, x):
        x = ops.relu(ops.matmul(self.edges, self.enter(x[:, :, None])))
        return self.head(ops.relu(ops.matmul(self.edges, self.inner(x))).mean(1))


def free(net, size=6):
    return {(" ".join(group.members), group.size) for group in trace(net, (1, size)).groups()
            if group.blocked_by is None}


def trained(net, x, steps=2):
    optimizer = nn.Momentum(net.trainable_params(), 0.05, 0.9)

    def loss(x):
        return (net(x) ** 2).mean()

    step = ms.value_and_grad(loss, None, optimizer.parameters)
    net.set_train(True)
    for _ in range(steps):
        optimizer(step(x)[1])
    return net


def test_which_channels_are_free():
    assert free(TiedDense()) == {("enter", 8), ("code", 5)}
    assert free(TiedSquare()) == {("enter turn", 8)}
    assert free(TiedOwn()) == {("first", 8), ("second", 5)}
    assert free(Experts()) == {("enter", 8), ("up", 7), ("down", 5)}
    assert free(Neighbours()) == {("enter", 8), ("inner", 5)}


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
@pytest.mark.parametrize("build", [TiedDense, TiedSquare, TiedOwn, Experts, Neighbours])
def test_masked_and_slim_are_equal_behind_training_and_in_the_file(build, mode, tmp_path):
    ms.set_context(mode=mode)
    x = Tensor(np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32))
    pruner = ChannelPruner(prune_rate=0.4, input_shape=(1, 6))
    masked = pruner.apply(randomise(build()))
    small = pruner.convert(masked)
    assert sum(p.size for p in small.get_parameters()) < sum(p.size for p in build().get_parameters())
    assert relative_difference(evaluate(small, x), evaluate(masked, x)) < 1e-5
    trained(masked, x), trained(small, x)
    again = pruner.convert(masked)
    assert all(np.allclose(p.asnumpy(), q.asnumpy(), atol=1e-5)
               for p, q in zip(small.get_parameters(), again.get_parameters()))
    export_mindir(again, x, str(tmp_path / "small"))
    assert relative_difference(load_mindir(str(tmp_path / "small.mindir"))(x), evaluate(masked, x)) < 1e-5


class Shared(nn.Cell):
    """Code outside of such a class reads its weight the same way."""

    def __init__(self):
        super().__init__()
        self.enter, self.code, self.head = nn.Dense(6, 8), Around(8, 5, has_bias=False), nn.Dense(5, 4)

    def construct(self, x):
        x = ops.relu(self.enter(x))
        return self.head(self.code(x) + ops.tanh(ops.matmul(2 * x, self.code.weight.T)))


@pytest.mark.parametrize("build, ignore", [(TiedAround, ["enter", "code"]), (Shared, ["code"])])
def test_a_class_around_a_layer_whose_weight_is_read_elsewhere_is_refused_at_once(build, ignore):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    x = Tensor(np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32))
    remedy = "Add " + ", ".join(map(repr, ignore)) + " to 'ignore'"
    with pytest.raises(PruningError, match=remedy):
        ChannelPruner(prune_rate=0.4, input_shape=(1, 6)).apply(randomise(build()))
    assert prune(randomise(build()), prune_rate=0.4, inputs=x).code.weight.shape == (3, 5)
    if build is TiedAround:
        with pytest.raises(PruningError, match="enter: ignored; code: ignored"):
            prune(randomise(build()), prune_rate=0.4, inputs=x, ignore=ignore)
        return
    pruner = ChannelPruner(prune_rate=0.4, input_shape=(1, 6), ignore=ignore)
    masked = pruner.apply(randomise(build()))
    assert relative_difference(evaluate(pruner.convert(masked), x), evaluate(masked, x)) < 1e-5
