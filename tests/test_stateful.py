"""Networks that keep something from one run to the next, and networks with a set_train of their own."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo, export_mindir, export_onnx
from mindspore_gs.errors import PruningError
from mindspore_gs.slim import relative_difference


class Gated(nn.Cell):
    """Normalises its gate in place whenever it runs."""

    def __init__(self):
        super().__init__()
        self.features = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
                                          nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Dense(8, 5)
        self.softmax = nn.Softmax(axis=-1)
        self.gate = Parameter(Tensor([1.0, 2.0, 3.0], ms.float32), name="gate")

    def construct(self, x):
        x = self.features(x)
        self.gate = self.softmax(self.gate)
        return self.head(x.mean((2, 3)) * self.gate[0])


class SilentSwitch(Gated):
    """Its set_train freezes the first BatchNorm and returns nothing."""

    def set_train(self, mode=True):
        super().set_train(mode)
        if mode:
            self.features[1].set_train(False)

    def construct(self, x):
        return self.head(self.features(x).mean((2, 3)))


class Collecting(nn.Cell):
    """Graph mode appends to a new list in each run, PyNative mode to the one that is there."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Conv2d(8, 5, 1)
        self.outputs = []

    def construct(self, x):
        outputs = self.outputs
        outputs.append(self.head(ops.relu(self.conv(x))))
        return outputs[0]


class Branching(nn.Cell):
    """Goes the way that the numbers of channels tell it to go."""

    def __init__(self):
        super().__init__()
        self.few = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        self.many = nn.SequentialCell(nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16))
        self.narrow = nn.Conv2d(16, 8, 1)
        self.head = nn.Conv2d(8, 5, 1)

    def construct(self, x):
        few = ops.relu(self.few(x))
        many = ops.relu(self.many(few))
        if few.shape[1] < many.shape[1]:
            many = self.narrow(many)
        return self.head(few + many)


@pytest.fixture(name="images")
def _images():
    return Tensor(np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32))


def test_checks_leave_what_a_network_writes_as_it_was(images, tmp_path):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    net = Gated()
    before = net.gate.asnumpy().copy()
    masked = ChannelPruner(prune_rate=0.5, input_shape=images).apply(net)
    small = ChannelPruner().convert(masked)
    export_mindir(small, images, str(tmp_path / "small"))
    for after in (net, masked, small):
        assert np.array_equal(after.gate.asnumpy(), before)
    expected, got = masked.set_train(False)(images), small.set_train(False)(images)
    assert relative_difference(got.asnumpy(), expected.asnumpy()) < 1e-5
    assert not np.array_equal(masked.gate.asnumpy(), before)


def test_knockoffs_take_a_network_that_writes_for_what_it_is(images):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    net = Gated()
    before = net.gate.asnumpy().copy()
    net = PrunerKfCompressAlgo(input_shape=images).apply(net)
    assert np.array_equal(net.gate.asnumpy(), before)
    assert net.set_train(True)(images).shape == (4, 5)


@pytest.mark.parametrize("criterion", ["l1", "taylor"])
def test_set_train_may_return_nothing(images, tmp_path, criterion):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    data = [(images, Tensor([0, 1, 2, 3], ms.int32))]
    given = {"data": data, "loss_fn": nn.CrossEntropyLoss()} if criterion == "taylor" else {}
    masked = ChannelPruner(criterion=criterion, prune_rate=0.5, input_shape=images, **given).apply(SilentSwitch())
    small = ChannelPruner().convert(masked)
    assert small.features[0].out_channels == 4
    if criterion == "l1":
        export_mindir(small, images, str(tmp_path / "small"))
        export_onnx(small, images, str(tmp_path / "small"))
        net = PrunerKfCompressAlgo(input_shape=images).apply(SilentSwitch())
        net.set_train(True)
        net(images)
        assert PrunerFtCompressAlgo(prune_rate=0.5).apply(net) is not None


def test_lists_that_a_network_appends_to_are_as_they_were(images):
    ms.set_context(mode=ms.GRAPH_MODE)
    net = Collecting()
    masked = ChannelPruner(prune_rate=0.5, input_shape=images).apply(net)
    small = ChannelPruner().convert(masked)
    assert not masked.outputs and not small.outputs
    other = Tensor(images.asnumpy() + 1)
    first, second = (small.set_train(False)(value).asnumpy() for value in (images, other))
    assert not np.allclose(first, second)
    assert relative_difference(second, masked.set_train(False)(other).asnumpy()) < 1e-5


def test_a_choice_that_goes_another_way_is_refused_at_once(images):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    net = Branching()
    small = ChannelPruner().convert(ChannelPruner(prune_rate=0.5, input_shape=images).apply(Branching()))
    assert small.many[0].out_channels == 8
    pruner = ChannelPruner(prune_rate=0.0, rates={"many.0": 0.75}, input_shape=images)
    with pytest.raises(PruningError, match="'Branching' compares sizes"):
        pruner.apply(net)
    assert ChannelPruner(prune_rate=0.5, input_shape=images).apply(net) is net


def test_so_it_is_behind_knockoffs(images):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    net = PrunerKfCompressAlgo(input_shape=images, residual="couple").apply(Branching())
    with pytest.raises(PruningError, match="'Branching' compares sizes"):
        PrunerFtCompressAlgo(rates={"many.0": 0.75}).apply(net)
    small = PrunerFtCompressAlgo().convert(PrunerFtCompressAlgo(prune_rate=0.5).apply(net))
    assert small.many[0].out_channels == 8


def test_a_trial_that_goes_another_way_says_so(images):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    with pytest.raises(PruningError, match="'Branching' compares sizes.* The channels of 'many.0' are concerned"):
        ChannelPruner(prune_rate=0.25, residual="keep", input_shape=images).apply(Branching())
