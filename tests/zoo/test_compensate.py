"""Compensation of networks with random weights: equal to the masked network, closer to the dense one. Slow.

Their BatchNorms have the statistics that the constructor gave, which are not those of any data.
"""

import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import ChannelPruner, export_mindir, load_mindir
from mindspore_gs._cells import copy_network
from mindspore_gs.slim import relative_difference
from tests.helpers import evaluate, image

SHAPE = (1, 3, 32, 32)
WIDTHS = (16, "M", 32, "M", 64, 64, "M", 128, 128, "M", 128, 128, "M")


def vgg11_bn():
    """VGG-11 with BatchNorm and biases, an eighth to a quarter as wide."""
    layers, channels = [], 3
    for width in WIDTHS:
        if width == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, width, 3, pad_mode="pad", padding=1, has_bias=True),
                       nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
    return nn.SequentialCell(*layers, nn.Flatten(), nn.Dense(128, 64), nn.ReLU(), nn.Dropout(p=0.5), nn.Dense(64, 10))


def of_mindcv(name):
    """A network of mindcv; the test is skipped where it is not installed."""
    models = pytest.importorskip("mindcv.models", reason="mindcv is not installed; it comes with the extra 'zoo'")
    return getattr(models, name)(num_classes=10)


@pytest.mark.slow
@pytest.mark.parametrize("build", [vgg11_bn, "mobilenet_v2_100", "densenet121"])
def test_the_error_of_every_layer_falls_and_the_slim_network_is_equal(build, tmp_path):
    net = of_mindcv(build) if isinstance(build, str) else build()
    data = [image(16, *SHAPE[1:], seed=k) for k in range(2)]
    x = image(4, *SHAPE[1:], seed=9)
    expected = evaluate(net, x).asnumpy()
    options = {"target": {"macs": 0.7}, "input_shape": SHAPE}
    plain = ChannelPruner(**options).apply(copy_network(net))
    pruner = ChannelPruner(data=data, compensate=True, **options)
    masked = pruner.apply(net)
    layers = pruner.compensation.layers
    assert len(layers) > 4 and all(layer.after < layer.before for layer in layers)
    errors = [np.abs(evaluate(each, x).asnumpy() - expected).mean() for each in (plain, masked)]
    assert errors[1] < errors[0]
    small = pruner.convert(masked)
    scale = float(np.abs(expected).max())  # untrained networks put out small numbers
    wanted = evaluate(masked, x)
    assert np.abs((evaluate(small, x) - wanted).asnumpy()).max() <= 1e-5 * scale
    reloaded = load_mindir(export_mindir(small, x, tmp_path / "small"))
    assert relative_difference(reloaded(x), wanted) <= 1e-5
