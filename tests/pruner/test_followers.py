"""Groups in which not every member is a convolution with a BatchNorm of its own: gates, second BatchNorms."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs.slim import relative_difference
from tests import couplings, networks
from tests.helpers import evaluate, image, masked, randomise, train_steps

FOLLOWERS = {  # network -> (masked convolutions, cells that follow them)
    "gate": (networks.Gate, {"stem", "main"}, {"expand", "reduce"}),
    "second_norm": (networks.SecondNorm, {"stem", "conv"}, {"again"}),
    "selected": (couplings.Selected, {"stem", "conv", "other"}, {"expand", "reduce"}),
    "called_twice": (networks.Twice, {"stem", "mid", "conv"}, set()),
    "dictionary": (couplings.InDictionary, {"parts.conv", "parts.second"}, set()),
    "upsampled": (couplings.Upsampled, {"stem", "conv"}, {"bn_up"}),
}


@pytest.mark.parametrize("build, convolutions, followers", FOLLOWERS.values(), ids=FOLLOWERS)
def test_every_member_is_masked_and_slim_is_equal(build, convolutions, followers, mode):
    net = masked(randomise(build()), residual="couple")
    assert {path for path, cell in net.cells_and_names() if hasattr(cell, "out_index")} == convolutions
    assert {p.name.removesuffix(".mask") for p in net.get_parameters() if p.name.endswith(".mask")} == followers
    x = image(3, 3, 8, 8, seed=9)
    small = PrunerFtCompressAlgo().convert(net)
    assert relative_difference(evaluate(small, x), evaluate(net, x)) <= 1e-5
    assert {p.name for p in small.get_parameters()} == {p.name for p in build().get_parameters()}


@pytest.mark.parametrize("build", [networks.Gate, networks.SecondNorm], ids=["gate", "second_norm"])
def test_it_stays_equal_when_the_masked_network_is_trained(build):
    net = masked(nn.SequentialCell(randomise(build()), nn.AdaptiveAvgPool2d(1), nn.Flatten()), residual="couple")
    train_steps(net, steps=2)
    small = PrunerFtCompressAlgo().convert(net)
    x = image(3, 3, 8, 8, seed=9)
    assert relative_difference(evaluate(small, x), evaluate(net, x)) <= 1e-5


def test_a_second_batch_norm_learns_its_statistics_again():
    net = masked(randomise(networks.SecondNorm()), residual="couple")
    assert net.again.use_batch_statistics is None
    before = net.again.moving_mean.asnumpy().copy()
    net.set_train(True)
    net(image(4, 3, 8, 8))
    assert (net.again.moving_mean.asnumpy() != before).any()


def test_a_masked_checkpoint_restores_what_follows(tmp_path):
    net = masked(randomise(networks.Gate()), residual="couple")
    path = str(tmp_path / "masked.ckpt")
    ms.save_checkpoint(net, path)
    other = PrunerKfCompressAlgo(input_shape=(1, 3, 8, 8), residual="couple").apply(networks.Gate())
    other = PrunerFtCompressAlgo().apply(other)
    missing, _ = ms.load_param_into_net(other, ms.load_checkpoint(path))
    assert not missing
    x = image(2, 3, 8, 8)
    np.testing.assert_array_equal(evaluate(other, x).asnumpy(), evaluate(net, x).asnumpy())
    assert relative_difference(evaluate(PrunerFtCompressAlgo().convert(other), x), evaluate(net, x)) <= 1e-5
