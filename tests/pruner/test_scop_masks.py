"""The masked network that comes out of SCOP."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs.pruner.scop.scop_pruner import KfConv2d, MaskedConv2dbn
from tests import networks
from tests.helpers import evaluate, image, masked, randomise, relative_difference
from tests.long import PRUNABLE, WIDTH, kept, knockoff, layers


def test_everything_that_was_trainable_is_trainable_again():
    net = randomise(networks.Long())
    net.stem.weight.requires_grad = False
    trainable = [p.name for p in net.trainable_params()]
    names = [p.name for p in net.get_parameters()]
    net = PrunerFtCompressAlgo(prune_rate=0.45).apply(knockoff(net))
    assert type(net) is networks.Long
    assert sorted(p.name for p in net.trainable_params()) == sorted(trainable)
    assert "stem.weight" not in {p.name for p in net.trainable_params()}
    assert sorted(p.name for p in net.get_parameters()) == sorted(names + [f"{path}.out_index" for path in PRUNABLE])
    assert not layers(net, KfConv2d)


def test_at_rate_zero_nothing_changes(mode):
    net, x = randomise(networks.Long()), image(3, 3, 8, 8)
    expected = evaluate(net, x)
    net = PrunerFtCompressAlgo().apply(knockoff(net))
    assert kept(net) == WIDTH
    assert relative_difference(evaluate(net, x), expected) <= 1e-6


@pytest.mark.parametrize("rate, expected", [
    (0.2, (5, 7, 7, 10, 8, 10)), (0.45, (4, 5, 5, 7, 6, 7)), (0.7, (2, 3, 3, 4, 3, 4)), (0.99, (1, 1, 1, 1, 1, 1)),
    (0.1, (6, 8, 8, 11, 9, 11))], ids=str)
def test_a_layer_loses_the_whole_part_of_rate_times_channels(rate, expected):
    net = PrunerFtCompressAlgo({"prune_rate": rate}).apply(knockoff())
    assert kept(net) == dict(zip(PRUNABLE, expected))


def test_masked_channels_are_zero():
    net = masked(randomise(networks.Long()), 0.45)
    for cell in layers(net, MaskedConv2dbn).values():
        y = cell.bn.set_train(False)(cell.conv(image(2, cell.conv.in_channels, 8, 8))).asnumpy()
        assert (y[:, ~cell.stays] == 0).all() and (np.abs(y[:, cell.stays]).max(axis=(0, 2, 3)) > 0).all()


@pytest.mark.parametrize("options, warned", [({"prune_rate": 0.5}, True), ({}, False),
                                             ({"prune_rate": 0.5, "criterion": "l1"}, False)],
                         ids=["scop", "nothing is chosen", "l1"])
def test_scales_that_were_never_trained_are_a_warning(options, warned, caplog):
    PrunerFtCompressAlgo(options).apply(knockoff())
    assert any("No knockoff scale has been trained" in record.getMessage() for record in caplog.records) == warned


def test_trained_scales_are_no_warning(caplog):
    net = knockoff()
    cell = next(iter(layers(net).values()))
    cell.kfscale.set_data(cell.kfscale + 0.1)
    PrunerFtCompressAlgo({"prune_rate": 0.5}).apply(net)
    assert "No knockoff scale" not in caplog.text


class HalfFrozen(nn.Cell):
    """No gradient reaches its first two convolutions."""

    def __init__(self):
        super().__init__()
        self.front = nn.SequentialCell(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(),
                                       nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.back = nn.SequentialCell(nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 1))

    def construct(self, x):
        return self.back(ops.stop_gradient(self.front(x)))


def test_scales_that_no_gradient_reaches_are_named(caplog):
    net = PrunerKfCompressAlgo(input_shape=(1, 3, 6, 6)).apply(HalfFrozen()).set_train(True)
    x, scales = ms.Tensor(np.random.rand(4, 3, 6, 6).astype(np.float32)), net.trainable_params()
    nn.SGD(scales, 0.1)(ms.grad(lambda value: (net(value) ** 2).mean(), None, scales)(x))
    with caplog.at_level("WARNING", logger="mindspore_gs"):
        PrunerFtCompressAlgo(prune_rate=0.5).apply(net)
    said = [record.getMessage() for record in caplog.records]
    assert any("'front.3'" in text and "'back.0'" not in text and "no gradient has reached" in text for text in said)
