"""Fine-tuning the slim network is fine-tuning the masked one: the same weights come out."""

import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import PrunerFtCompressAlgo
from tests import networks
from tests.helpers import masked, randomise, train_steps

RATE = 0.05


def classifier(build):
    """A toy network that ends in feature maps, as a classifier."""
    return nn.SequentialCell(build(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


NETWORKS = {
    "long": networks.Long,
    "projection": networks.Projection,
    "depthwise": networks.Depthwise,
    "gate": lambda: classifier(networks.Gate),
    "second_norm": lambda: classifier(networks.SecondNorm),
}


@pytest.mark.parametrize("residual", ["keep", "couple"])
@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_the_same_weights_with_momentum_and_weight_decay(build, residual, graph_mode):
    """train_steps has momentum 0.9 and weight decay 1e-3; statistics of BatchNorm are compared, too."""
    algorithm = PrunerFtCompressAlgo()
    net = masked(randomise(build()), residual=residual)
    small = algorithm.convert(net)
    start = {p.name: p.asnumpy().copy() for p in small.get_parameters()}
    losses = train_steps(net, steps=6, rate=RATE), train_steps(small, steps=6, rate=RATE)
    np.testing.assert_allclose(*losses, rtol=1e-4)
    expected = {p.name: p.asnumpy() for p in algorithm.convert(net).get_parameters()}
    for parameter in small.get_parameters():
        name, got = parameter.name, parameter.asnumpy()
        scale = np.abs(expected[name]).max()
        assert np.abs(got - expected[name]).max() <= 1e-4 * scale, name
        assert (got != start[name]).any(), name
