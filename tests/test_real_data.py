"""Real images: the pretrained ResNet-20 on CIFAR-10. Needs ../shared/data, else skipped."""

import mindspore as ms
import numpy as np
import pytest

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from tests.helpers import evaluate, example_network

MEAN, STD = (np.array(v, np.float32).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@pytest.fixture(scope="module")
def images(data):
    """The first 500 test images and their labels."""
    raw = np.fromfile(data / "cifar-10-batches-bin" / "test_batch.bin", np.uint8, 500 * 3073).reshape(500, 3073)
    pixels = raw[:, 1:].reshape(500, 3, 32, 32).astype(np.float32) / 255
    return ms.Tensor((pixels - MEAN) / STD), raw[:, 0]


@pytest.fixture
def pretrained(data):
    net = example_network("resnet20")
    entries = ms.load_checkpoint(str(data / "pretrained" / "resnet20_cifar10.ckpt"))
    missing, unused = ms.load_param_into_net(net, entries)
    assert (missing, unused) == ([], [])
    return net


@pytest.mark.parametrize("residual", ["keep", "couple"])
def test_masked_and_slim_predict_the_same(pretrained, images, residual):
    x, labels = images
    dense = evaluate(pretrained, x).asnumpy()
    assert (dense.argmax(1) == labels).mean() > 0.9
    net = PrunerKfCompressAlgo(residual=residual).apply(pretrained)
    ft = PrunerFtCompressAlgo(prune_rate=0.1, criterion="l1")
    net = ft.apply(net)
    masked = evaluate(net, x).asnumpy()
    accuracy = (masked.argmax(1) == labels).mean()
    assert 0.3 < accuracy < 0.95 and (masked.argmax(1) != dense.argmax(1)).any()
    small = ft.convert(net)
    logits = evaluate(small, x).asnumpy()
    np.testing.assert_array_equal(logits.argmax(1), masked.argmax(1))
    np.testing.assert_allclose(logits, masked, rtol=0, atol=1e-5 * max(1, np.abs(masked).max()))
