"""However a residual block is written, its shortcut is found, and what is left computes what is left of the class."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import ChannelPruner
from mindspore_gs.distill import JointRD, plain_network
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import trace
from tests.helpers import image, randomise
from tests.networks import Identity

SHAPE = (1, 3, 8, 8)


class Written(nn.Cell):
    """One block; ``kept`` says whether its shortcut is there."""

    def __init__(self, width=8, stride=1):
        super().__init__()
        self.kept = True
        self.stem, self.bn0 = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.a, self.bn1 = nn.Conv2d(8, width, 3, stride), nn.BatchNorm2d(width)
        self.b, self.bn2 = nn.Conv2d(width, width, 3), nn.BatchNorm2d(width)
        self.enter, self.relu, self.fc = nn.Identity(), nn.ReLU(), nn.Dense(width, 4)

    def construct(self, x):
        x = self.enter(self.relu(self.bn0(self.stem(x))))
        y = self.bn2(self.b(self.relu(self.bn1(self.a(x)))))
        return self.head(self.relu(self.joined(y, x) if self.kept else y))

    def joined(self, y, x):
        return y + x

    def head(self, x):
        return self.fc(x.mean((2, 3)))


class InPlace(Written):
    """As in most ResNets."""

    def joined(self, y, x):
        y += x
        return y


class Listed(Written):
    """A sum of a list."""

    def joined(self, y, x):
        return ops.addn([x, y])


class Widened(Written):
    """Strided, and filled up with zeros."""

    def __init__(self):
        super().__init__(16, 2)

    def joined(self, y, x):
        x = x[:, :, ::2, ::2]
        return y + ops.cat((x, ops.zeros_like(x)), 1)


class UsualHead(Written):
    """Padded maximum, adaptive mean, flatten, and an activation inside of a dense layer."""

    def __init__(self):
        super().__init__()
        self.enter, self.pool = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1), nn.AdaptiveAvgPool2d(1)
        self.flatten, self.hidden = nn.Flatten(), nn.Dense(8, 8, activation="sigmoid")

    def head(self, x):
        return self.fc(self.hidden(self.flatten(self.pool(x))))


class Leaky(Written):
    """Another activation, and a shortcut that counts less."""

    def __init__(self):
        super().__init__()
        self.relu = nn.LeakyReLU(0.1)

    def joined(self, y, x):
        return y + 0.5 * x


class Vectors(nn.Cell):
    """No image at all."""

    def __init__(self):
        super().__init__()
        self.kept = True
        self.i, self.a, self.n = nn.Dense(12, 8), nn.Dense(8, 8), nn.BatchNorm1d(8)
        self.b, self.m, self.o = nn.Dense(8, 8), nn.BatchNorm1d(8), nn.Dense(8, 4)

    def construct(self, x):
        x = self.i(x)
        y = self.m(self.b(ops.relu(self.n(self.a(x)))))
        return self.o(ops.relu(x + y if self.kept else y))


@pytest.mark.parametrize("kind", [InPlace, Listed, Widened, UsualHead, Leaky, Vectors])
def test_the_shortcut_is_found_however_it_is_written(kind):
    shape = (1, 12) if kind is Vectors else SHAPE
    net = randomise(kind())
    student = plain_network(net, shape).set_train(False)
    net.kept = False
    x = image(2, *shape[1:])
    assert np.allclose(student(x).asnumpy(), net.set_train(False)(x).asnumpy(), atol=1e-5)
    assert trace(student, shape).sums == []


@pytest.mark.parametrize("kind", [InPlace, Vectors])
def test_it_is_trained_jointly(kind):
    """Features of vectors are compared as well."""
    shape = (4, 12) if kind is Vectors else (4, *SHAPE[1:])
    joint = JointRD(randomise(kind()), nn.CrossEntropyLoss(), shape).set_train()
    step = nn.TrainOneStepCell(joint, nn.SGD(joint.trainable_params(), 0.05))
    x, y = image(*shape), ms.Tensor([0, 1, 2, 3], ms.int32)
    losses = [float(step(x, y)) for _ in range(4)]
    assert losses[-1] < losses[0]


class Difference(Identity):
    """What the block computes is taken away."""

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        return self.fc((x - self.bn2(self.b(self.relu(self.bn1(self.a(x)))))).mean((2, 3)))


class Pair(Identity):
    """Two outputs in a tuple."""

    def construct(self, x):
        y = super().construct(x)
        return y, y * 2


class OneSize(Identity):
    """Written for one size of the batch."""

    def construct(self, x):
        return super().construct(x) + ops.ones((3, 1))


@pytest.mark.parametrize("kind, reason", [
    (Difference, "has no identity shortcut"), (Pair, "returns 2 outputs"), (OneSize, "cannot be run on a batch of 4")])
def test_what_is_no_sum_or_no_single_output_is_refused(kind, reason):
    with pytest.raises(PruningError, match=reason):
        plain_network(kind(), SHAPE)


@pytest.mark.parametrize("shape, error, message", [
    (8, TypeError, r"'input_shape' must be a tuple of ints such as \(1, 3, 32, 32\), but got 8"),
    ((8,), ValueError, "must have a batch and one more axis"), ((1, 0, 8, 8), ValueError, "all above 0")])
def test_what_is_no_shape_is_refused(shape, error, message):
    with pytest.raises(error, match=message):
        plain_network(Identity(), shape)


def test_a_masked_network_is_refused():
    masked = ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(Identity())
    with pytest.raises(PruningError, match="has knockoffs or masks; call convert"):
        plain_network(masked, SHAPE)


@pytest.mark.parametrize("progress, error", [(-0.1, ValueError), (float("nan"), ValueError), ("1", TypeError)])
def test_a_progress_that_is_none_is_refused(progress, error):
    with pytest.raises(error, match="the 'progress' must be"):
        JointRD(Identity(), nn.CrossEntropyLoss(), SHAPE, feature_weight=0).at(progress)


def test_weights_that_are_not_finite_are_refused():
    net = Identity()
    net.a.weight.set_data(ms.Tensor(np.full(net.a.weight.shape, np.nan, np.float32)))
    with pytest.raises(PruningError, match="NaN|not finite"):
        plain_network(net, SHAPE)
