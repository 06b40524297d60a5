"""Every kind of BatchNorm: its vectors, frozen, restored, following one batch, recalibrated, folded."""

import copy

import mindspore as ms
import numpy as np
import pytest
from mindspore import mint, nn, ops

from mindspore_gs import recalibrate
from mindspore_gs.norms import batch_norm, batch_norms
from mindspore_gs.slim import fold_batch_norm, relative_difference
from tests.helpers import evaluate, image


class Own(nn.BatchNorm2d):
    """A subclass that computes something else."""

    def construct(self, x):
        return 2 * super().construct(x)


class Frozen(nn.Cell):
    """A frozen BatchNorm as detectors write it out: four vectors, nothing to switch."""

    def __init__(self, size):
        super().__init__()
        self.weight, self.bias = ms.Parameter(ops.ones(size)), ms.Parameter(ops.zeros(size))
        self.running_mean, self.running_var = ms.Parameter(ops.zeros(size)), ms.Parameter(ops.ones(size))

    def construct(self, x):
        return x * (self.weight / ops.sqrt(self.running_var + 1e-5)).reshape((1, -1, 1, 1))


KINDS = {  # kind -> (constructor, shape of an input)
    "1d": (nn.BatchNorm1d, (6, 3)),
    "1d sequence": (nn.BatchNorm1d, (6, 3, 4)),
    "2d": (nn.BatchNorm2d, (6, 3, 4, 4)),
    "2d always batch": (lambda n: nn.BatchNorm2d(n, use_batch_statistics=True), (6, 3, 4, 4)),
    "3d": (nn.BatchNorm3d, (6, 3, 2, 2, 2)),
    "sync": (nn.SyncBatchNorm, (6, 3, 4, 4)),
    "mint sync": (mint.nn.SyncBatchNorm, (6, 3, 4, 4)),
    "mint sync, momentum": (lambda n: mint.nn.SyncBatchNorm(n, momentum=0.3), (6, 3, 4, 4)),
}
NAMES = {True: {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"},
         False: {"gamma": "gamma", "beta": "beta", "mean": "moving_mean", "variance": "moving_variance"}}


def made(kind, seed=0):
    """A BatchNorm with values that no fresh one has, and an input."""
    build, shape = KINDS[kind]
    cell, random = build(3), np.random.default_rng(seed)
    norm = batch_norm(cell)
    for parameter, low in ((norm.gamma, 0.5), (norm.beta, -1), (norm.mean, -1), (norm.variance, 0.5)):
        parameter.set_data(ms.Tensor(random.uniform(low, 2, 3).astype(np.float32)))
    return cell, image(*shape, seed=seed) * 3 + 1


def normalised(norm, x, mean, variance):
    """By hand."""
    shape = (1, 3) + (1,) * (x.ndim - 2)
    gamma, beta = norm.gamma.asnumpy().reshape(shape), norm.beta.asnumpy().reshape(shape)
    return (x.asnumpy() - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + norm.eps) * gamma + beta


def of_batch(x):
    axes = tuple(k for k in range(x.ndim) if k != 1)
    return x.asnumpy().mean(axes), x.asnumpy().var(axes)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_and_what_they_do(kind):
    cell, x = made(kind)
    norm = batch_norm(cell)
    assert norm.vectors == NAMES["mint" in kind]
    assert all(getattr(norm.inner, name) is getattr(norm, role) for role, name in norm.vectors.items())
    assert norm.eps == 1e-5 and norm.plain and norm.always_on_the_batch == (kind == "2d always batch")
    factor, shift = norm.affine()
    shape = (1, 3) + (1,) * (x.ndim - 2)
    norm.freeze()
    np.testing.assert_allclose(evaluate(cell, x).asnumpy(), x.asnumpy() * factor.reshape(shape) + shift.reshape(shape),
                               rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_and_restored(kind, mode):
    cell, x = made(kind)
    norm = batch_norm(cell)
    mean, variance = norm.mean.asnumpy().copy(), norm.variance.asnumpy().copy()
    setting = norm.freeze()
    net = nn.SequentialCell(cell).set_train(True)
    np.testing.assert_allclose(net(x).asnumpy(), normalised(norm, x, mean, variance), rtol=1e-3, atol=1e-3)
    assert np.array_equal(norm.mean.asnumpy(), mean) and np.array_equal(norm.variance.asnumpy(), variance)
    norm.restore(setting)
    assert type(cell) is type(made(kind)[0])
    again = nn.SequentialCell(cell).set_train(True)
    np.testing.assert_allclose(again(x).asnumpy(), normalised(norm, x, *of_batch(x)), rtol=1e-3, atol=1e-3)
    assert np.abs(norm.mean.asnumpy() - mean).max() > 1e-2


def test_a_mode_that_was_set_meanwhile_is_there_afterwards():
    cell, x = made("mint sync")
    norm = batch_norm(cell)
    norm.freeze()
    norm.freeze()
    cell.set_train(True)
    twin = copy.deepcopy(cell)
    assert not cell.training
    norm.restore(None)
    assert cell.training and type(cell) is mint.nn.SyncBatchNorm and not twin.training
    batch_norm(twin).restore(None)
    assert twin.training


@pytest.mark.parametrize("kind", KINDS)
def test_the_statistics_of_one_batch(kind, mode):
    cell, x = made(kind)
    norm = batch_norm(cell)
    net = nn.SequentialCell(cell).set_train(False)
    norm.follow_batch()
    mean, variance = of_batch(x)
    count = x.size // 3
    for _ in range(2):  # the second time as the first, whatever mode is set in between
        np.testing.assert_allclose(net(x).asnumpy(), normalised(norm, x, mean, variance), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(norm.mean.asnumpy(), mean, rtol=1e-3, atol=1e-4)
        got = norm.variance.asnumpy()
        assert any(np.allclose(got, variance * f, rtol=1e-3) for f in (1, count / (count - 1)))  # the device's choice
        net.set_train(True).set_train(False)


class Both(nn.Cell):
    """Two and three dimensions, and a hand-written frozen one."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.frozen = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Frozen(4)
        self.conv3, self.bn3, self.sync = nn.Conv3d(4, 4, (1, 3, 3)), nn.BatchNorm3d(4), mint.nn.SyncBatchNorm(4)
        self.bare = mint.nn.BatchNorm2d(4, track_running_stats=False)
        self.alias = [self.bn]

    def construct(self, x):
        x = ops.relu(self.frozen(self.bn(self.conv(x))))
        return self.sync(self.bn3(self.conv3(x.expand_dims(2))).squeeze(2))


def test_each_norm_once():
    found = batch_norms(Both())
    assert list(found) == ["bn", "bn3", "sync"]
    assert found["bn3"].inner is found["bn3"].cell.bn2d and found["bn"].inner is found["bn"].cell


@pytest.mark.parametrize("cell", [nn.ReLU(), Frozen(3), nn.LayerNorm((3,)), nn.BatchNorm3d,
                                  mint.nn.BatchNorm2d(3, track_running_stats=False)], ids=str)
def test_what_is_no_batch_norm(cell):
    assert batch_norm(cell) is None


def test_a_subclass_is_one_but_not_plain():
    norm = batch_norm(Own(3))
    assert not norm.plain and norm.vectors == NAMES[False]


def test_recalibrated_whatever_the_kind(mode):
    net = Both()
    net.bn3.bn2d.beta.set_data(ops.ones(4))
    batches = [image(4, 3, 8, 8, seed=k) * (k + 1) for k in range(3)]
    before = {path: norm.mean.asnumpy().copy() for path, norm in batch_norms(net).items()}
    recalibrate(net, batches)
    expected = np.mean([net.conv(x).asnumpy().mean((0, 2, 3)) for x in batches], axis=0)
    np.testing.assert_allclose(net.bn.moving_mean.asnumpy(), expected, rtol=1e-3, atol=1e-5)
    assert all(np.abs(norm.mean.asnumpy() - before[path]).max() > 1e-3 for path, norm in batch_norms(net).items())
    assert int(net.sync.num_batches_tracked.asnumpy()) == 0


@pytest.mark.parametrize("affine", [True, False])
def test_factor_and_summand_without_gamma_and_beta(affine):
    cell = mint.nn.SyncBatchNorm(3, affine=affine)
    cell.running_mean.set_data(ms.Tensor([1.0, 2.0, 3.0]))
    norm = batch_norm(cell)
    assert set(norm.vectors) == ({"gamma", "beta", "mean", "variance"} if affine else {"mean", "variance"})
    factor, shift = norm.affine()
    np.testing.assert_allclose(factor, [1 / np.sqrt(1 + 1e-5)] * 3)
    np.testing.assert_allclose(shift, -np.array([1.0, 2.0, 3.0]) / np.sqrt(1 + 1e-5))


def test_a_synchronised_norm_is_folded():
    net = nn.SequentialCell(nn.Conv2d(3, 4, 3), nn.SyncBatchNorm(4), nn.ReLU())
    net[1].moving_mean.set_data(image(4))
    folded = fold_batch_norm(net, (1, 3, 8, 8))
    assert batch_norms(folded) == {} and len(batch_norms(net)) == 1
    x = image(2, 3, 8, 8)
    assert relative_difference(evaluate(folded, x), evaluate(net, x)) <= 1e-5
