"""Networks without shortcuts: what is removed, that it is gone, and that what is left is a network like any other."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops
from src.models.resnet import ResNet
from src.models.resnet_cifar import CifarResNet

from mindspore_gs import ChannelPruner, load_mindir, load_pruned, save_pruned
from mindspore_gs.distill import plain_network
from mindspore_gs.errors import PruningError
from mindspore_gs.export import export_mindir
from mindspore_gs.graph import trace
from tests.helpers import image, randomise
from tests.networks import Chain, Identity, OptionA, Projection, conv3

SHAPE = (1, 3, 8, 8)


class PreActivation(nn.Cell):
    """BatchNorm and ReLU first; nothing follows the sums but the next block."""

    def __init__(self):
        super().__init__()
        self.stem = conv3(3, 8)
        self.bn1, self.a = nn.BatchNorm2d(8), conv3(8, 8, has_bias=True)
        self.bn2, self.b = nn.BatchNorm2d(8), conv3(8, 8)
        self.last, self.fc = nn.BatchNorm2d(8), nn.Dense(8, 4)
        self.pool, self.flatten = nn.MaxPool2d(2, 2), nn.Flatten()

    def construct(self, x):
        x = self.stem(x)
        x = x + self.a(ops.relu(self.bn1(x)))
        x = x + self.b(ops.relu(self.bn2(x)))
        x = self.pool(ops.relu(self.last(x)))
        return self.fc(x.mean((2, 3)))


class WithDropout(Identity):
    """Random in training mode."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(p=0.5)

    def construct(self, x):
        return self.dropout(super().construct(x))


class OwnScale(Identity):
    """A parameter of the network's own."""

    def __init__(self):
        super().__init__()
        self.scale = ms.Parameter(ms.Tensor(np.ones((1, 8, 1, 1), np.float32)))

    def construct(self, x):
        x = self.relu(self.bn0(self.stem(x)))
        y = self.bn2(self.b(self.relu(self.bn1(self.a(x)))))
        return self.fc(self.relu(x + y * self.scale).mean((2, 3)))


def by_hand_identity(net, x):
    x = net.relu(net.bn0(net.stem(x)))
    return net.fc(net.relu(net.bn2(net.b(net.relu(net.bn1(net.a(x)))))).mean((2, 3)))


def by_hand_pre_activation(net, x):
    x = net.a(ops.relu(net.bn1(net.stem(x))))
    x = net.b(ops.relu(net.bn2(x)))
    return net.fc(net.pool(ops.relu(net.last(x))).mean((2, 3)))


@pytest.mark.parametrize("kind, by_hand", [(Identity, by_hand_identity), (OptionA, by_hand_identity),
                                           (PreActivation, by_hand_pre_activation)])
def test_the_shortcut_is_gone(kind, by_hand, mode):
    net = randomise(kind())
    before = {p.name: p.asnumpy().copy() for p in net.get_parameters()}
    student = plain_network(net, SHAPE).set_train(False)
    x = image(2, 3, 8, 8)
    assert np.allclose(student(x).asnumpy(), by_hand(net.set_train(False), x).asnumpy(), atol=1e-5)
    assert trace(student, SHAPE).sums == []
    after = {p.name: p.asnumpy() for p in student.get_parameters()}
    assert after.keys() == before.keys() and all(np.array_equal(after[name], before[name]) for name in before)
    assert not {id(p) for p in student.get_parameters()} & {id(p) for p in net.get_parameters()}


def test_projections_stay_or_go():
    """ResNet-18 in small: the first block of stages 2 to 4 has a projection."""
    net = randomise(example_resnet())
    kept, dropped = (plain_network(net, (1, 3, 32, 32), projection) for projection in ("keep", "drop"))
    assert len(trace(net, (1, 3, 32, 32)).sums) == 8
    assert len(trace(kept, (1, 3, 32, 32)).sums) == 3
    assert trace(dropped, (1, 3, 32, 32)).sums == []
    assert len(list(kept.get_parameters())) - len(list(dropped.get_parameters())) == 3 * 5  # conv and BatchNorm of each
    x = image(2, 3, 32, 32)
    assert np.isfinite(dropped.set_train(False)(x).asnumpy()).all()


def example_resnet():
    from src.models import build
    return build("resnet18")


def test_everything_is_inner_and_pruned(tmp_path):
    """Every layer but the last loses channels with residual="inner"; the file rebuilds the small network."""
    def constructor():
        return plain_network(CifarResNet(1), SHAPE)

    student = randomise(constructor())
    groups = trace(student, SHAPE).groups("inner")
    assert [group.name for group in groups if group.blocked_by is not None] == ["linear"]
    algorithm = ChannelPruner(prune_rate=0.5, residual="inner", input_shape=SHAPE)
    small = algorithm.convert(algorithm.apply(student))
    assert [small.layer1[0].conv2.out_channels, small.layer3[0].conv1.out_channels] == [8, 32]
    assert small.linear.in_channels == 32
    again = load_pruned(constructor, save_pruned(small, tmp_path / "small"))
    x = image(1, 3, 8, 8)
    wanted = small.set_train(False)(x).asnumpy()
    assert np.allclose(again.set_train(False)(x).asnumpy(), wanted, atol=1e-5)
    loaded = load_mindir(export_mindir(small, x, tmp_path / "small"))
    assert np.allclose(loaded(x).asnumpy(), wanted, atol=1e-4)


def test_it_trains_like_a_network(mode):
    student = plain_network(CifarResNet(1), SHAPE)
    step = nn.TrainOneStepCell(nn.WithLossCell(student, nn.CrossEntropyLoss()),
                               nn.Momentum(student.trainable_params(), 0.05, 0.9)).set_train()
    x, y = image(8, 3, 8, 8), ms.Tensor(np.arange(8), ms.int32)
    losses = [float(step(x, y)) for _ in range(8)]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("kind, reason", [
    (Chain, "has no identity shortcut"), (Projection, "has no identity shortcut"),
    (WithDropout, "do not compute what it computes in training mode"),
    (OwnScale, r"reads 'scale' of '' \(OwnScale\)")])
def test_what_cannot_be_taken_apart_is_refused(kind, reason):
    with pytest.raises(PruningError, match=reason):
        plain_network(kind(), SHAPE)


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match="takes a mindspore.nn.Cell, but got 'type'"):
        plain_network(ResNet)
    with pytest.raises(ValueError, match="'projection' must be 'keep' or 'drop', but got 'no'"):
        plain_network(Identity(), SHAPE, "no")
