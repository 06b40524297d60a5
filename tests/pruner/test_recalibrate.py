"""recalibrate(): BatchNorm statistics are plain means over batches, and nothing else changes."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.dataset import GeneratorDataset

from mindspore_gs import recalibrate
from mindspore_gs.errors import PruningError
from tests import networks
from tests.helpers import evaluate, image, masked, randomise

BATCHES = [image(4, 3, 8, 8, seed=k) * (k + 1) for k in range(3)]


def statistics(net):
    return {p.name: p.asnumpy().copy() for p in net.get_parameters() if "moving" in p.name}


def one_norm():
    return randomise(nn.SequentialCell(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5, momentum=0.3), nn.ReLU()))


def expected(net, batches):
    """Mean and (unbiased) variance of the convolution's output, averaged over the batches."""
    outputs = [net[0](x).asnumpy() for x in batches]
    variances = [y.var(axis=(0, 2, 3), dtype=np.float64) for y in outputs]
    count = outputs[0][:, 0].size
    means = [y.mean(axis=(0, 2, 3), dtype=np.float64) for y in outputs]
    return np.mean(means, axis=0), np.mean(variances, axis=0), count


def test_statistics_are_the_mean_over_all_batches(mode):
    net = one_norm()
    mean, variance, count = expected(net, BATCHES)
    assert recalibrate(net, BATCHES) is net
    np.testing.assert_allclose(net[1].moving_mean.asnumpy(), mean, rtol=1e-4, atol=1e-5)
    got = net[1].moving_variance.asnumpy()
    assert any(np.allclose(got, variance * factor, rtol=1e-4) for factor in (1, count / (count - 1)))  # device's choice


def test_old_statistics_and_the_order_of_batches_do_not_matter():
    net, other = one_norm(), one_norm()
    other[1].moving_mean.set_data(ms.ops.full((5,), 99.0))
    recalibrate(net, BATCHES)
    recalibrate(other, BATCHES[::-1])
    for left, right in zip(statistics(net).values(), statistics(other).values()):
        np.testing.assert_allclose(left, right, rtol=1e-5)


@pytest.mark.parametrize("residual", ["keep", "couple"])
def test_only_moving_statistics_change(residual, mode):
    net = masked(randomise(networks.Long()), residual=residual)
    net.layer1.set_train(True)
    flags = {path: cell.training for path, cell in net.cells_and_names()}
    before = {p.name: (p.asnumpy().copy(), p.requires_grad) for p in net.get_parameters()}
    options = {path: (cell.momentum, cell.use_batch_statistics) for path, cell in net.cells_and_names()
               if isinstance(cell, nn.BatchNorm2d)}
    recalibrate(net, BATCHES)
    for p in net.get_parameters():
        assert p.requires_grad == before[p.name][1]
        assert np.array_equal(p.asnumpy(), before[p.name][0]) == ("moving" not in p.name), p.name
    assert flags == {path: cell.training for path, cell in net.cells_and_names()}
    assert options == {path: (cell.momentum, cell.use_batch_statistics) for path, cell in net.cells_and_names()
                       if isinstance(cell, nn.BatchNorm2d)}


def test_the_network_normalises_its_batch_afterwards():
    net = one_norm()
    net[1].gamma.set_data(ms.ops.ones((5,)))
    net[1].beta.set_data(ms.ops.zeros((5,)))
    recalibrate(net, BATCHES[:1])
    y = evaluate(nn.SequentialCell(net[0], net[1]), BATCHES[0]).asnumpy()
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(axis=(0, 2, 3)), 1, rtol=5e-3)


def test_a_dataset_pairs_and_bare_batches_are_the_same():
    rows = [(x.asnumpy()[k], np.int32(0)) for x in BATCHES for k in range(4)]
    dataset = GeneratorDataset(rows, ["image", "label"], shuffle=False).batch(4)
    found = []
    for source in (BATCHES, [(x, ms.Tensor([0] * 4)) for x in BATCHES], [x.asnumpy() for x in BATCHES], iter(BATCHES),
                   dataset):
        found.append(statistics(recalibrate(one_norm(), source)))
    for other in found[1:]:
        for name, values in found[0].items():
            np.testing.assert_allclose(other[name], values, rtol=1e-6, err_msg=name)


def test_steps_cut_the_data_short():
    short, cut, more = one_norm(), one_norm(), one_norm()
    recalibrate(short, BATCHES[:2])
    recalibrate(cut, BATCHES, steps=2)
    recalibrate(more, BATCHES, steps=50)
    for name, values in statistics(short).items():
        np.testing.assert_array_equal(statistics(cut)[name], values)
        assert not np.allclose(statistics(more)[name], values)


@pytest.mark.parametrize("dataset, steps", [([], None), (BATCHES, 0)], ids=["empty", "no steps"])
def test_without_a_batch(dataset, steps):
    net = one_norm()
    before = statistics(net)
    with pytest.raises(ValueError, match=r"recalibrate\(\) needs at least one batch, but the dataset is empty or"):
        recalibrate(net, dataset, steps)
    for name, values in statistics(net).items():
        np.testing.assert_array_equal(values, before[name])


@pytest.mark.parametrize(("dataset", "message"), [
    ((1, 3, 8, 8), r"got the shape \(1, 3, 8, 8\)\. It takes data"),
    ([None, 3, 8, 8], r"got the shape \(None, 3, 8, 8\)\. It takes data"),
    (None, "got a 'NoneType'. It takes data"),
    (7, "got a 'int'. It takes data"),
    ("train", "got a 'str'. It takes data"),
    (image(4, 3, 8, 8), r"got one tensor of shape \(4, 3, 8, 8\); a single batch goes into a list"),
    ([(1, 3, 8, 8)], "found a 'int' in a batch. It takes data"),
    ([{"image": image(4, 3, 8, 8)}], "found a 'dict' in a batch. It takes data"),
    ([()], "found nothing in a batch. It takes data"),
], ids=str)
def test_what_is_no_data(dataset, message):
    net = one_norm()
    before = statistics(net)
    with pytest.raises(TypeError, match=rf"recalibrate\(\) {message}"):
        recalibrate(net, dataset)
    for name, values in statistics(net).items():
        np.testing.assert_array_equal(values, before[name])


@pytest.mark.parametrize(("steps", "error", "message"), [
    (-1, ValueError, "'steps' must be a number of batches, or None for all, but got -1"),
    (2.5, TypeError, "'steps' must be 'int' or None, but got 'float'"),
    (True, TypeError, "'steps' must be 'int' or None, but got 'bool'"),
])
def test_a_wrong_number_of_steps(steps, error, message):
    with pytest.raises(error, match=message):
        recalibrate(one_norm(), BATCHES, steps)


def test_a_batch_that_the_network_does_not_take(mode):
    message = r"SequentialCell cannot be run on batch 1, whose inputs have the shapes \(4, 5, 8, 8\): "
    with pytest.raises(PruningError, match=rf"recalibrate\(\): {message}"):
        recalibrate(one_norm(), [BATCHES[0], image(4, 5, 8, 8)])


def test_no_network():
    with pytest.raises(TypeError, match="takes a mindspore.nn.Cell, but got 'list'"):
        recalibrate(BATCHES, one_norm())
