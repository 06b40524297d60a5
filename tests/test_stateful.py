"""Networks that keep something from one run to the next, and networks with a set_train of their own."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo, export_mindir, export_onnx
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
