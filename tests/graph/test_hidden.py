"""Numbers of channels in the code of which MindIR shows nothing, as those of tensors of zeros that are added."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindspore_gs import ChannelPruner, export_mindir, load_mindir, prune
from mindspore_gs._cells import hides_sizes
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import trace
from tests import networks
from tests.helpers import evaluate, image, randomise, relative_difference

SHAPE = (1, 3, 6, 6)


class Start(nn.Cell):
    """A stem and one more layer, whose output is added to zeros."""

    def __init__(self, hidden=8):
        super().__init__()
        self.hidden = hidden
        self.stem, self.conv, self.last = nn.Conv2d(3, 5, 3), nn.Conv2d(5, hidden, 3), nn.Conv2d(hidden, 4, 1)

    def begin(self, x):
        return ops.zeros((x.shape[0], self.hidden, 6, 6), x.dtype)

    def construct(self, x):
        state, x = self.begin(x), ops.relu(self.stem(x))
        for _ in range(2):
            state = state * 0.5 + ops.relu(self.conv(x))
        return self.last(state)


class InCode(Start):
    """The number is in the code."""

    def begin(self, x):
        return ops.zeros((x.shape[0], 8, 6, 6), x.dtype)


def beginning(x):
    return ops.ones((len(x), 8, 1, 1))


class InFunction(Start):
    """Ones, which a function makes."""

    def construct(self, x):
        return self.last(beginning(x) * ops.relu(self.conv(ops.relu(self.stem(x)))))


class Held(Start):
    """The cell holds the zeros."""

    def __init__(self):
        super().__init__()
        self.places = Tensor(np.zeros((1, 8, 6, 6), np.float32))

    def construct(self, x):
        return self.last(self.places + ops.relu(self.conv(ops.relu(self.stem(x)))))


class LikeIt(Start):
    """The zeros have the size of what they are added to."""

    def construct(self, x):
        x = ops.relu(self.conv(ops.relu(self.stem(x))))
        return self.last(ops.zeros(x.shape, x.dtype) + x)


class Own(nn.Cell):
    """Layers of the user's own."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Parameter(ops.ones((3, 9)), name="first"), Parameter(ops.ones((9, 8)), name="second")
        self.last = nn.Dense(8, 4)

    def construct(self, x):
        x = ops.relu(ops.matmul(ops.relu(ops.matmul(x.mean((2, 3)), self.first)), self.second))
        return self.last(ops.zeros((len(x), 8)) + x)


class Viewed(Start):
    """The shape is that already, so that nothing of this is left in MindIR."""

    def construct(self, x):
        return self.last(ops.relu(self.conv(ops.relu(self.stem(x)))).view(-1, 8, 6, 6))


class ViewedByAttribute(Start):
    """The same with an attribute."""

    def construct(self, x):
        return self.last(ops.relu(self.conv(ops.relu(self.stem(x)))).reshape(-1, self.hidden, 6, 6))


class Compared(Start):
    """Another number of channels goes another way."""

    def construct(self, x):
        x = ops.relu(self.conv(ops.relu(self.stem(x))))
        return self.last(x if x.shape[1] == 8 else x * 2)


class Filled(Start):
    """Padded to a width that it has already."""

    def construct(self, x):
        x = ops.relu(self.conv(ops.relu(self.stem(x))))
        return self.last(ops.pad(x, (0, 0, 0, 0, 0, self.hidden - x.shape[1])))


class Block(nn.Cell):
    """The sum of two branches, begun with zeros of a size in an attribute."""

    def __init__(self, inside, out):
        super().__init__()
        self.out, self.left, self.right = out, nn.Conv2d(inside, out, 3), nn.Conv2d(inside, out, 1)

    def construct(self, x):
        total = ops.zeros((x.shape[0], self.out, 6, 6), x.dtype)
        for branch in (self.left, self.right):
            total = total + ops.relu(branch(x))
        return total


class Blocks(nn.Cell):
    """Several of those, and zeros whose size is in the code."""

    def __init__(self):
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, 7, 3), nn.Conv2d(8, 4, 1)
        self.blocks = nn.SequentialCell(Block(7, 8), Block(8, 6), Block(6, 8))

    def construct(self, x):
        x = ops.relu(self.stem(x))
        return self.last(self.blocks(ops.zeros((len(x), 7, 6, 6)) + x))


WIDTH = 12


class Compare(nn.Cell):
    """Numbers: 8 in a comprehension, 12 in the module, 16 in an attribute, 4 where axes are, one that no code reads."""

    def __init__(self):
        super().__init__()
        self.width, self.depth = 16, 9
        self.prepare()

    def prepare(self):
        return ops.zeros((9, self.depth))

    def construct(self, x):
        return [x.sum(4) for _ in range(8)] if WIDTH < x.shape[1] == self.width else x


def free(net, residual="couple"):
    return {" ".join(group.members) for group in trace(net, SHAPE).groups(residual) if group.blocked_by is None}


def test_what_they_hold_follows_an_attribute_or_stays():
    assert free(Start()) == {"stem", "conv"}
    assert free(InCode()) == free(InFunction()) == free(Held()) == {"stem"}
    assert free(LikeIt()) == {"stem", "conv"}
    assert free(Viewed()) == free(Compared()) == {"stem"}
    assert free(Own()) == {"first"}
    assert free(ViewedByAttribute()) == free(Filled()) == {"stem", "conv"}
    assert free(Blocks()) == {f"blocks.{k}.left blocks.{k}.right" for k in range(3)}


def test_a_search_that_takes_long_is_given_up(monkeypatch):
    monkeypatch.setattr("mindspore_gs.graph.hidden._MOST", 2)
    assert free(InCode()) == {"stem", "conv"}  # as if nothing had been looked for: the trial says what does not go
    with pytest.raises(PruningError, match="The channels of 'conv' are concerned"):
        prune(InCode(), prune_rate=0.5, inputs=SHAPE)


def test_a_layer_that_is_put_back_to_full_width_fits_whatever_the_code_makes():
    assert "conv" in free(InCode(), residual="keep")


def test_whose_code_may_hold_them():
    assert hides_sizes(InCode(), {3}) and hides_sizes(InFunction(), ()) and hides_sizes(Held(), ())
    assert all(hides_sizes(Compare(), {size}) for size in (8, 12, 16)) and not hides_sizes(Compare(), {4, 9})
    assert not hides_sizes(networks.Chain(), {8}) and not hides_sizes(nn.Dense(3, 4), {3, 4})


@pytest.mark.parametrize("values, even", [(np.zeros(3), True), (np.ones((1, 2)), True), (np.full(3, 2), False),
                                          (np.arange(2), False), (np.ones(1), False)])
@pytest.mark.parametrize("kind", [ms.float32, ms.bfloat16, ms.int32, ms.bool_])
def test_which_tensors_of_a_cell_count(values, even, kind):
    held, registered = nn.Cell(), nn.Cell()
    held.values = Tensor(values, kind)
    registered.register_buffer("values", Tensor(values, kind))
    even = even or (kind == ms.bool_ and values.size == 3)
    assert hides_sizes(held, ()) is hides_sizes(registered, ()) is even


@pytest.mark.parametrize("build", [Start, Blocks, ViewedByAttribute, Filled])
def test_masked_slim_and_file_are_equal(build, tmp_path):
    ms.set_context(mode=ms.GRAPH_MODE)
    x, pruner = image(2, *SHAPE[1:]), ChannelPruner(prune_rate=0.5, input_shape=SHAPE)
    masked = pruner.apply(randomise(build()))
    small = pruner.convert(masked)
    assert sum(p.size for p in small.get_parameters()) < sum(p.size for p in build().get_parameters())
    assert relative_difference(evaluate(small, x), evaluate(masked, x)) <= 1e-5
    export_mindir(small, x, str(tmp_path / "small"))
    assert relative_difference(load_mindir(str(tmp_path / "small.mindir"))(x), evaluate(masked, x)) <= 1e-5
