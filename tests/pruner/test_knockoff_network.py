"""The knockoff network: what competes, how a layer mixes, what is trained."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.dataset import GeneratorDataset

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs.errors import PruningError
from mindspore_gs.pruner.scop.phase import REUSE
from mindspore_gs.pruner.scop.scop_pruner import KfCallback, KfConv2d
from tests import networks
from tests.helpers import evaluate, image, randomise, relative_difference, train_steps
from tests.long import PRUNABLE, SHAPE, WIDTH, knockoff, layers


def test_only_the_scales_are_trainable_and_names_stay():
    net = randomise(networks.Long())
    names = [p.name for p in net.get_parameters()]
    returned = knockoff(net)
    assert returned is net and isinstance(net, networks.Long)
    assert [p.name for p in net.trainable_params()] == [f"{path}.kfscale" for path in PRUNABLE]
    assert sorted(p.name for p in net.get_parameters()) == sorted(names + [f"{path}.kfscale" for path in PRUNABLE])
    assert {p.name: p.shape for p in net.trainable_params()} == {
        f"{path}.kfscale": (1, WIDTH[path], 1, 1) for path in PRUNABLE}
    assert all((p.asnumpy() == 0.5).all() for p in net.trainable_params())


def test_which_convolutions_compete():
    assert list(layers(knockoff(residual="keep"))) == PRUNABLE
    assert set(layers(knockoff(residual="couple"))) == {"stem", *PRUNABLE, "layer2.0.downsample.0"}


class Padded(nn.Conv2d):
    """A constructor of its own, and a name for the weight; it computes what nn.Conv2d computes."""

    def __init__(self, channels: int, features: int):
        super().__init__(channels, features, 3, pad_mode="pad", padding=1)

    @property
    def kernel(self) -> ms.Parameter:
        return self.weight


class Doubled(Padded):
    """Its own construct computes something else."""

    def construct(self, x):
        return 2 * self.conv2d(x, self.weight)


def test_classes_derived_from_conv2d_compete_if_they_compute_the_same(mode):
    net = randomise(nn.SequentialCell(Padded(3, 8), nn.BatchNorm2d(8), nn.ReLU(), Doubled(8, 8), nn.ReLU(),
                                      nn.Flatten(), nn.Dense(512, 4)))
    net = PrunerKfCompressAlgo({"input_shape": (1, 3, 8, 8), "residual": "couple"}).apply(net)
    assert list(layers(net)) == ["0"] and type(net[0].conv) is Padded
    train_steps(net)
    masked = PrunerFtCompressAlgo({"prune_rate": 0.5}).apply(net)
    small, x = PrunerFtCompressAlgo().convert(masked), image(2, 3, 8, 8)
    assert small[0].weight.shape == (4, 3, 3, 3) and small[3].weight.shape == (4, 4, 3, 3)
    assert relative_difference(evaluate(small, x), evaluate(masked, x)) <= 1e-6


def test_a_refusal_names_the_classes_that_compute_something_else():
    with pytest.raises(PruningError, match="The class Doubled has a construct other than nn.Conv2d's"):
        PrunerKfCompressAlgo({"input_shape": (1, 3, 8, 8), "residual": "couple"}).apply(
            nn.SequentialCell(Doubled(3, 8), nn.ReLU(), nn.Flatten(), nn.Dense(512, 4)))


def test_in_evaluation_it_computes_what_the_network_computes(mode):
    net, x = randomise(networks.Long()), image(3, 3, 8, 8)
    expected = evaluate(net, x)
    assert relative_difference(evaluate(knockoff(net), x), expected) <= 1e-6


def test_a_pretrained_checkpoint_loads_before_and_after_apply(tmp_path):
    trained = randomise(networks.Long(), seed=7)
    path = str(tmp_path / "dense.ckpt")
    ms.save_checkpoint(trained, path)
    net = knockoff(networks.Long())
    missing, _ = ms.load_param_into_net(net, ms.load_checkpoint(path))
    assert sorted(missing) == sorted(f"{layer}.kfscale" for layer in PRUNABLE)
    x = image(2, 3, 8, 8)
    assert relative_difference(evaluate(net, x), evaluate(trained, x)) <= 1e-6


@pytest.mark.parametrize("batch", [1, 5], ids=str)
def test_the_output_has_the_batch_of_the_input(batch, mode):
    net = knockoff().set_train(True)
    assert net(image(batch, 3, 8, 8)).shape == (batch, 4)
    assert net.set_train(False)(image(batch, 3, 8, 8)).shape == (batch, 4)


def test_several_inputs_and_tuples_of_outputs(mode):
    net = PrunerKfCompressAlgo({"input_shape": [(1, 3, 8, 8), (1, 2, 8, 8)], "residual": "couple"}).apply(
        randomise(networks.TwoInputs()))
    assert list(layers(net)) == ["left", "right"]
    logits, (auxiliary, mean) = net.set_train(True)(image(5, 3, 8, 8), image(5, 2, 8, 8))
    assert (logits.shape, auxiliary.shape, mean.shape) == ((5, 4), (5, 2, 8, 8), (5,))


def seen(net, *inputs):
    """What the first convolution reads in a training step."""
    found = []
    hook = net.stem.register_forward_pre_hook(lambda cell, arguments: found.append(arguments[0].asnumpy()))
    net.set_train(True)(*inputs)
    hook.remove()
    return found[0]


def test_knockoffs_are_other_samples_of_the_batch_that_change():
    net, x = knockoff(), image(2 * REUSE, 3, 8, 8)
    orders = set()
    for _ in range(8):
        batch = seen(net, x)
        np.testing.assert_array_equal(batch[:2 * REUSE], x.asnumpy())
        order = [int(np.flatnonzero((x.asnumpy() == row).all(axis=(1, 2, 3)))[0]) for row in batch[2 * REUSE:]]
        assert len(set(order)) == len(order) == 2
        orders.add(tuple(order))
    assert len(orders) >= 6


@pytest.mark.parametrize("count", [1, REUSE - 1, REUSE + 1], ids=["one", "one too few", "one too many"])
def test_a_batch_is_filled_up_and_only_its_own_outputs_come_back(count, mode):
    net, x = knockoff(), image(count, 3, 8, 8)
    knockoffs = -(-count // REUSE)
    if mode == ms.PYNATIVE_MODE:
        batch = seen(net, x)
        assert len(batch) == knockoffs * (REUSE + 1)
        np.testing.assert_array_equal(batch[:count], x.asnumpy())
        assert (batch[count:knockoffs * REUSE] == x.asnumpy()[0]).all()
    for cell in layers(net).values():  # the scales say: all real
        cell.share = AllReal()
    got = net.set_train(True)(x)
    assert relative_difference(got, evaluate(net, x)) <= 1e-5


class AllReal(nn.Cell):
    """No knockoff is mixed in."""

    def construct(self, scale):
        return ms.ops.ones_like(scale).reshape((-1,))


def test_a_generator_makes_the_knockoffs(mode):
    x = image(4, 3, 8, 8)
    net = knockoff(knockoff=networks.Generator())
    assert [p.name for p in net.trainable_params()] == [f"{path}.kfscale" for path in PRUNABLE]
    losses = train_steps(net, 2)
    assert np.isfinite(losses).all()
    assert net.set_train(True)(x).shape == (4, 4)
    if mode == ms.PYNATIVE_MODE:
        np.testing.assert_array_equal(seen(net, x)[4:], x.asnumpy()[..., ::-1])
    masked_net = PrunerFtCompressAlgo(prune_rate=0.5).apply(net)
    assert not any("gain" in p.name for p in masked_net.get_parameters())


class OwnNorm(nn.BatchNorm2d):
    """A BatchNorm of the user's own class, whose operator is left alone."""


def layer_with_features(scale, reuse=1, norm=nn.BatchNorm2d):
    """A KfConv2d on moving statistics, 6 samples of which some are knockoffs, its convolution's real and knockoff
    output, one knockoff for each real sample, and the knockoff output as it is."""
    conv, norm = nn.Conv2d(3, 5, 1, has_bias=True), norm(5, use_batch_statistics=False)
    cell = randomise(KfConv2d(conv, norm, "layer", reuse=reuse)).set_train(True)
    cell.kfscale.set_data(ms.Tensor(np.array(scale, np.float32).reshape(1, 5, 1, 1)))
    x = image(6, 3, 4, 4)
    features = np.einsum("nchw,oc->nohw", x.asnumpy(), conv.weight.asnumpy()[:, :, 0, 0])
    features += conv.bias.asnumpy()[None, :, None, None]
    real, made = np.split(features, [6 // (reuse + 1) * reuse])
    return cell, x, real, np.concatenate([made] * reuse), made


def normalised(cell, values):
    """What the cell's BatchNorm makes of ``values``."""
    norm = cell.bn
    mean, variance, gamma, beta = (p.asnumpy().reshape(1, -1, 1, 1)
                                   for p in (norm.moving_mean, norm.moving_variance, norm.gamma, norm.beta))
    return (values - mean) / np.sqrt(variance + norm.eps) * gamma + beta


KINDS = pytest.mark.parametrize(("reuse", "norm"), [(1, nn.BatchNorm2d), (2, nn.BatchNorm2d), (2, OwnNorm)],
                                ids=["one for each", "one for two", "own class"])


@KINDS
@pytest.mark.parametrize(("scale", "share"), [
    ([0.5] * 5, [0.9] * 5),
    ([0, 0.25, 0.5, 0.75, 1], [0.8, 0.85, 0.9, 0.95, 1]),
    ([1] * 5, [0.9] * 5),
    ([-7, 0.5, 0.5, 0.5, 9], [0.8, 0.9, 0.9, 0.9, 1]),
], ids=["level", "spread", "nobody gains when all do", "bounded"])
def test_a_layer_mixes_real_and_knockoff_features(scale, share, reuse, norm, mode):
    r"""Real part: share * real + (1 - share) * knockoff, knockoff part: knockoff."""
    cell, x, real, made, passing = layer_with_features(scale, reuse, norm)
    share = np.array(share).reshape(1, 5, 1, 1)
    mixed = np.concatenate([share * real + (1 - share) * made, passing])
    np.testing.assert_allclose(cell(x).asnumpy(), normalised(cell, mixed), rtol=1e-4, atol=1e-5)


@KINDS
def test_the_gradient_of_a_scale_is_the_evidence_and_the_spring(reuse, norm, mode):
    r"""g / rms(g) + 4 (b - 1/2), where g is the gradient of the share of the real feature."""
    scale = np.array([0.1, 0.3, 0.5, 0.6, 0.9])
    cell, x, real, made, _ = layer_with_features(scale, reuse, norm)
    weights = image(6, 5, 4, 4, seed=1)

    def forward(x):
        return (cell(x) * weights).sum()

    slope = (cell.bn.gamma.asnumpy() / np.sqrt(cell.bn.moving_variance.asnumpy() + cell.bn.eps)).reshape(1, 5, 1, 1)
    evidence = (weights.asnumpy()[:len(real)] * slope * (real - made)).sum(axis=(0, 2, 3))
    expected = evidence / np.sqrt((evidence ** 2).mean()) + 4 * (scale - 0.5)
    gradient = ms.grad(forward, None, [cell.kfscale])(x)[0].asnumpy().reshape(-1)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4)


@KINDS
def test_the_gradient_of_the_input_is_that_of_the_real_samples(reuse, norm, mode):
    """Nothing is trained through the knockoffs."""
    scale = np.array([0, 0.25, 0.5, 0.75, 1])
    cell, x, real, _, _ = layer_with_features(scale, reuse, norm)
    weights = image(6, 5, 4, 4, seed=1)

    def forward(x):
        return (cell(x) * weights).sum()

    gradient = ms.grad(forward)(x).asnumpy()
    slope = (cell.bn.gamma.asnumpy() / np.sqrt(cell.bn.moving_variance.asnumpy() + cell.bn.eps)).reshape(1, 5, 1, 1)
    share = np.array([0.8, 0.85, 0.9, 0.95, 1]).reshape(1, 5, 1, 1)
    expected = np.einsum("nohw,oc->nchw", weights.asnumpy() * slope * share, cell.conv.weight.asnumpy()[:, :, 0, 0])
    np.testing.assert_allclose(gradient[:len(real)], expected[:len(real)], rtol=1e-3, atol=1e-4)
    assert (gradient[len(real):] == 0).all()


def test_training_moves_the_scales_and_nothing_else(mode):
    net = knockoff()
    before = {p.name: p.asnumpy().copy() for p in net.get_parameters()}
    losses = train_steps(net, 3, rate=0.5)
    assert len(losses) == 3 and np.isfinite(losses).all()
    for p in net.get_parameters():
        assert np.array_equal(before[p.name], p.asnumpy()) == (not p.name.endswith(".kfscale")), p.name


def test_batch_norm_has_its_own_setting_again_after_the_phase():
    net = networks.Chain()
    net.bn2.use_batch_statistics = True
    before = {path: cell.use_batch_statistics for path, cell in net.cells_and_names()
              if isinstance(cell, nn.BatchNorm2d)}
    net = knockoff(net)
    norms = [cell for _, cell in net.set_train().cells_and_names() if isinstance(cell, nn.BatchNorm2d)]
    assert {cell.use_batch_statistics for cell in norms} == {False}
    masked_net = PrunerFtCompressAlgo(prune_rate=0.5).apply(net)
    found = [cell.use_batch_statistics for _, cell in masked_net.cells_and_names() if isinstance(cell, nn.BatchNorm2d)]
    assert sorted(found, key=str) == sorted(before.values(), key=str)


def test_weights_that_are_set_in_the_phase_are_those_of_the_network(mode):
    """Under the paths that they always had, also of a BatchNorm that a competing cell holds."""
    net = knockoff(networks.Chain())
    net.conv2.weight = net.conv2.weight * 0 + 0.5
    net.bn2.gamma.set_data(net.bn2.gamma * 0 + 2)
    net.bn2.beta = ms.Parameter(ms.ops.ones(8), name="bn2.beta")
    norm, x = net.bn2.norm, image(2, 3, 8, 8)
    assert net.bn2.eps == norm.eps and norm in [cell for _, cell in net.cells_and_names()]
    expected = evaluate(net, x).asnumpy()
    plain = PrunerFtCompressAlgo(prune_rate=0.0).apply(net)
    assert plain.bn2 is norm and set(norm.gamma.asnumpy()) == {2} and set(norm.beta.asnumpy()) == {1}
    assert (plain.conv2.weight.asnumpy() == 0.5).all()
    assert np.abs(evaluate(plain, x).asnumpy() - expected).max() < 1e-5


def test_batch_norm_always_on_the_batch_evaluates_as_before(mode):
    net, x = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, use_batch_statistics=True), nn.ReLU(),
                               nn.Flatten(), nn.Dense(512, 4)), image(4, 3, 8, 8)
    expected = evaluate(randomise(net), x)
    net = PrunerKfCompressAlgo({"input_shape": (1, 3, 8, 8), "residual": "couple"}).apply(net)
    train_steps(net)
    assert relative_difference(evaluate(net, x), expected) < 1e-5
    assert PrunerFtCompressAlgo({"prune_rate": 0.5}).apply(net)[1].use_batch_statistics is True


@pytest.mark.parametrize("start", [-3.0, 5.0], ids=["below", "above"])
def test_scales_stay_between_zero_and_one(start):
    net = knockoff()
    train_steps(net, 3, rate=50.0)
    for cell in layers(net).values():
        scale = cell.scale()
        assert scale.shape == (cell.out_channels,) and 0 <= scale.min() <= scale.max() <= 1
    cell.kfscale.set_data(ms.Tensor(np.full(cell.kfscale.shape, start, np.float32)))
    assert (cell.scale() == np.clip(start, 0, 1)).all()


def batches(count, batch=4, seed=0):
    random = np.random.default_rng(seed)
    rows = [(random.standard_normal((3, 8, 8)).astype(np.float32), np.int32(random.integers(0, 4)))
            for _ in range(count)]
    return GeneratorDataset(rows, ["image", "label"], shuffle=False).batch(batch)


def test_model_train_with_callbacks_and_an_odd_last_batch_in_graph_mode(graph_mode, capsys):
    kf = PrunerKfCompressAlgo({"input_shape": SHAPE})
    net = kf.apply(randomise(networks.Long()))
    callbacks = kf.callbacks()
    assert [type(callback) for callback in callbacks] == [KfCallback]
    model = ms.train.Model(net, nn.CrossEntropyLoss(), nn.Momentum(net.trainable_params(), 0.1, 0.9))
    start = {path: cell.kfscale.asnumpy().copy() for path, cell in layers(net).items()}
    model.train(2, batches(11), callbacks=callbacks, dataset_sink_mode=False)
    printed = capsys.readouterr().out
    assert "knockoff step 3/6, loss" in printed and "knockoff step 6/6, loss" in printed
    assert "0 s left" in printed and "of 56 channels lose against their knockoffs" in printed
    assert all(not np.array_equal(start[path], cell.kfscale.asnumpy()) for path, cell in layers(net).items())


def test_callbacks_change_nothing():
    def scales(callbacks):
        ms.set_seed(3)
        net = knockoff(knockoff=networks.Generator())
        model = ms.train.Model(net, nn.CrossEntropyLoss(), nn.Momentum(net.trainable_params(), 0.1, 0.9))
        model.train(1, batches(8), callbacks=callbacks, dataset_sink_mode=False)
        return np.concatenate([cell.kfscale.asnumpy().reshape(-1) for cell in layers(net).values()])

    np.testing.assert_array_equal(scales([]), scales([KfCallback(1)]))
