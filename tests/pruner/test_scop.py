"""SCOP: the knockoff network, the masked network, scores and selection, options, and errors that change nothing."""

from functools import cache

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.dataset import GeneratorDataset

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs._cells import copy_network
from mindspore_gs.errors import PlanError, PruningError, TraceError
from mindspore_gs.pruner.scop.network import REUSE
from mindspore_gs.pruner.scop.scop_pruner import KfCallback, KfConv2d, MaskedConv2dbn
from mindspore_gs.pruner.select import aggregate, best, number_kept
from tests import networks
from tests.helpers import evaluate, image, masked, randomise, relative_difference, same_state, state, train_steps

SHAPE = (1, 3, 8, 8)


def knockoff(net=None, **options):
    """A knockoff network; by default :class:`networks.Long`, of which one is made for each policy and then copied."""
    if net is None and set(options) <= {"residual"}:
        return copy_network(_original(**options))
    return PrunerKfCompressAlgo({"input_shape": SHAPE} | options).apply(net or randomise(networks.Long()))


@cache
def _original(residual="keep"):
    return PrunerKfCompressAlgo(input_shape=SHAPE, residual=residual).apply(randomise(networks.Long()))


def layers(net, kind=KfConv2d):
    return {path: cell for path, cell in net.cells_and_names() if isinstance(cell, kind)}


def kept(net):
    """Channels that stay, by layer."""
    return {path: int(cell.stays.sum()) for path, cell in layers(net, MaskedConv2dbn).items()}


PRUNABLE = ["layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2", "layer2.1.conv1", "layer2.1.conv2"]
WIDTH = dict(zip(PRUNABLE, (6, 8, 8, 12, 10, 12)))


# The knockoff network


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
    norms = [cell for _, cell in net.cells_and_names() if isinstance(cell, nn.BatchNorm2d)]
    assert {cell.use_batch_statistics for cell in norms} == {False}
    masked_net = PrunerFtCompressAlgo(prune_rate=0.5).apply(net)
    found = [cell.use_batch_statistics for _, cell in masked_net.cells_and_names() if isinstance(cell, nn.BatchNorm2d)]
    assert sorted(found, key=str) == sorted(before.values(), key=str)


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
    assert printed.count("layer2.1.conv2") == 2 and "0 s left" in printed
    assert all(not np.array_equal(start[path], cell.kfscale.asnumpy()) for path, cell in layers(net).items())


def test_callbacks_change_nothing():
    def scales(callbacks):
        ms.set_seed(3)
        net = knockoff(knockoff=networks.Generator())
        model = ms.train.Model(net, nn.CrossEntropyLoss(), nn.Momentum(net.trainable_params(), 0.1, 0.9))
        model.train(1, batches(8), callbacks=callbacks, dataset_sink_mode=False)
        return np.concatenate([cell.kfscale.asnumpy().reshape(-1) for cell in layers(net).values()])

    np.testing.assert_array_equal(scales([]), scales([KfCallback(1)]))


# The masked network


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
        y = cell.set_train(False)(image(2, cell.conv.in_channels, 8, 8)).asnumpy()
        assert (y[:, ~cell.stays] == 0).all() and (np.abs(y[:, cell.stays]).max(axis=(0, 2, 3)) > 0).all()


def test_the_papers_score_is_gamma_times_the_lead_over_the_knockoff():
    net = knockoff(randomise(networks.Chain()))
    layer = net.conv2
    layer.bn.gamma.set_data(ms.Tensor([1, -2, 0.5, 3, -1, 1, 0.1, 2], ms.float32))
    scale = np.array([0.6, 0.9, 1.0, 0.4, 0.8, 0.5, 1.0, 0.55], np.float32)
    layer.kfscale.set_data(ms.Tensor(scale.reshape(1, 8, 1, 1)))
    # |gamma| (2 b - 1):   0.2  1.6  0.5 -0.6  0.6  0.0  0.1  0.2
    net = PrunerFtCompressAlgo(prune_rate=0.5, criterion="knockoff").apply(net)
    order = np.argsort(np.array([1, 2, 0.5, 3, 1, 1, 0.1, 2]) * (2 * scale.astype(np.float64) - 1))
    np.testing.assert_array_equal(np.flatnonzero(net.conv2.stays), np.sort(order[4:]))
    assert set(np.flatnonzero(net.conv2.stays)) >= {1, 2, 4} and not net.conv2.stays[[3, 5, 6]].any()


def test_a_scale_outside_its_range_counts_as_its_bound():
    net = knockoff(randomise(networks.Chain()))
    net.conv2.bn.gamma.set_data(ms.Tensor(np.arange(1, 9), ms.float32))
    net.conv2.kfscale.set_data(ms.Tensor(np.linspace(9, 2, 8, dtype=np.float32).reshape(1, 8, 1, 1)))
    net = PrunerFtCompressAlgo(prune_rate=0.5, criterion="knockoff").apply(net)
    np.testing.assert_array_equal(np.flatnonzero(net.conv2.stays), [4, 5, 6, 7])


def test_the_default_adds_the_norm_of_the_filter_to_the_papers_score():
    net = knockoff(randomise(networks.Chain()))
    layer, random = net.conv2, np.random.default_rng(0)
    layer.kfscale.set_data(ms.Tensor(random.uniform(0.3, 0.7, (1, 8, 1, 1)).astype(np.float32)))
    norm = np.abs(layer.conv.weight.asnumpy()).sum(axis=(1, 2, 3))
    gamma, scale = np.abs(layer.bn.gamma.asnumpy()), layer.kfscale.asnumpy().reshape(-1)
    score = gamma * (2 * scale - 1 + (norm - norm.mean()) / norm.std() / 4)
    net = PrunerFtCompressAlgo(prune_rate=0.5).apply(net)
    np.testing.assert_array_equal(np.flatnonzero(net.conv2.stays), np.sort(np.argsort(score)[4:]))


def test_a_clear_verdict_of_the_knockoffs_is_not_overruled_by_the_norm():
    net = knockoff(randomise(networks.Chain()))
    net.conv2.conv.weight.set_data(net.conv2.conv.weight * ms.Tensor(np.r_[[9.0] * 4, [1.0] * 4].reshape(8, 1, 1, 1)
                                                                     .astype(np.float32)))
    net.conv2.kfscale.set_data(ms.Tensor(np.r_[[0.0] * 4, [1.0] * 4].reshape(1, 8, 1, 1).astype(np.float32)))
    net = PrunerFtCompressAlgo(prune_rate=0.5).apply(net)
    np.testing.assert_array_equal(np.flatnonzero(net.conv2.stays), [4, 5, 6, 7])


def test_l1_keeps_the_largest_filters():
    net = knockoff(randomise(networks.Chain()))
    norms = np.abs(net.conv2.conv.weight.asnumpy()).sum(axis=(1, 2, 3))
    net = PrunerFtCompressAlgo(prune_rate=0.5, criterion="l1").apply(net)
    np.testing.assert_array_equal(np.flatnonzero(net.conv2.stays), np.sort(np.argsort(norms)[4:]))


def test_random_follows_the_seed():
    def masks(seed):
        net = PrunerFtCompressAlgo(prune_rate=0.5, criterion="random", seed=seed).apply(knockoff())
        return np.concatenate([cell.stays for cell in layers(net, MaskedConv2dbn).values()])

    np.testing.assert_array_equal(masks(1), masks(1))
    assert (masks(1) != masks(2)).any()


def test_a_criterion_of_ones_own():
    net = knockoff(randomise(networks.Chain()))
    ft = PrunerFtCompressAlgo(prune_rate=0.5, criterion=lambda layer, generator: -np.arange(layer.out_channels))
    net = ft.apply(net)
    np.testing.assert_array_equal(np.flatnonzero(net.conv2.stays), [0, 1, 2, 3])


def test_layers_that_share_their_channels_lose_the_same():
    net = masked(randomise(networks.Long()), 0.45, residual="couple")
    found = layers(net, MaskedConv2dbn)
    np.testing.assert_array_equal(found["stem"].stays, found["layer1.0.conv2"].stays)
    for path in ("layer2.0.conv2", "layer2.1.conv2"):
        np.testing.assert_array_equal(found["layer2.0.downsample.0"].stays, found[path].stays)
    assert kept(net)["stem"] == 5 and kept(net)["layer2.1.conv2"] == 7


OPTIONS = {  # options of PrunerFtCompressAlgo -> channels kept of 6, 8, 8, 12, 10, 12
    "ignore": ({"ignore": ["layer1.*"]}, (6, 8, 4, 6, 5, 6)),
    "ignore all conv2": ({"ignore": ["*.conv2", "nothing"]}, (3, 8, 4, 12, 5, 12)),
    "rates": ({"rates": {"layer2.*": 0.25}}, (3, 4, 6, 9, 8, 9)),
    "first match wins": ({"rates": {"*.conv1": 0.0, "layer2.*": 0.25}}, (6, 4, 8, 9, 10, 9)),
    "round_to": ({"round_to": 4}, (4, 4, 4, 8, 8, 8)),
    "round_to beyond": ({"round_to": 32}, (6, 8, 8, 12, 10, 12)),
    "min_channels": ({"min_channels": 5}, (5, 5, 5, 6, 5, 6)),
}


@pytest.mark.parametrize("options, expected", OPTIONS.values(), ids=OPTIONS)
def test_options_of_the_selection(options, expected):
    net = PrunerFtCompressAlgo({"prune_rate": 0.5, "criterion": "random"} | options).apply(knockoff())
    assert kept(net) == dict(zip(PRUNABLE, expected))


def test_what_the_knockoff_network_ignores_stays_plain():
    net = knockoff(ignore=["layer2.*"])
    assert list(layers(net)) == PRUNABLE[:2]
    small = PrunerFtCompressAlgo().convert(PrunerFtCompressAlgo(prune_rate=0.5).apply(net))
    assert small.layer1[0].conv1.weight.shape[0] == 3
    assert small.layer2[1].conv1.weight.shape == (10, 12, 3, 3)


def test_ignoring_one_member_keeps_the_whole_group():
    net = knockoff(residual="couple", ignore=["stem"])
    assert not {"stem", "layer1.0.conv2"} & set(layers(net))
    assert "layer1.0.conv1" in layers(net)


def test_set_prune_rate():
    ft = PrunerFtCompressAlgo()
    ft.set_prune_rate(0.5)
    assert kept(ft.apply(knockoff())) == dict(zip(PRUNABLE, (3, 4, 4, 6, 5, 6)))
    for value, error in ((1, TypeError), (1.0, ValueError), (-0.1, ValueError), ("0.5", TypeError)):
        with pytest.raises(error, match="'prune_rate'"):
            ft.set_prune_rate(value)
    assert kept(ft.apply(knockoff())) == dict(zip(PRUNABLE, (3, 4, 4, 6, 5, 6)))


# Selection: pure functions


@pytest.mark.parametrize("size, rate, round_to, least, expected", [
    (64, 0.45, 1, 1, 36), (64, 0.45, 8, 1, 40), (64, 0.99, 1, 1, 1), (3, 0.999, 1, 1, 1), (1, 0.9, 1, 1, 1),
    (10, 0.0, 4, 1, 10), (10, 0.7, 1, 5, 5), (10, 0.7, 1, 99, 10), (100, 0.29, 1, 1, 72), (10, 0.3, 1, 1, 7),
    (64, 0.35, 1, 1, 42), (256, 0.35, 1, 1, 167), (512, 0.35, 1, 1, 333)], ids=str)
def test_number_of_channels_that_stay(size, rate, round_to, least, expected):
    """Literally ``int(rate * channels)``, as in Golden Stick: ``int(0.29 * 100)`` is 28."""
    assert number_kept(size, rate, round_to, least) == expected


def test_the_best_channels():
    np.testing.assert_array_equal(best(np.array([0.3, -1, 0.2, 0.3]), 2), [True, False, False, True])
    assert best(np.zeros(5), 2).sum() == 2 and best(np.zeros(5), 5).all()


def test_shared_channels_get_the_mean_of_scores_on_one_scale():
    large, small = np.array([300.0, 100.0, 200.0]), np.array([1.0, 3.0, 2.0])
    np.testing.assert_allclose(aggregate([large, small]), [1, 1, 1])
    np.testing.assert_array_equal(aggregate([large]), large)
    assert np.isfinite(aggregate([np.zeros(3), small])).all()


# Validation


FT, KF = "PrunerFtCompressAlgo", "PrunerKfCompressAlgo"
MESSAGES = [
    (PrunerFtCompressAlgo, {"prune_rate": 1}, TypeError,
     "For 'PrunerFtCompressAlgo', the 'prune_rate' must be 'float',  but got 'int'."),
    (PrunerFtCompressAlgo, {"prune_rate": "0.5"}, TypeError,
     "For 'PrunerFtCompressAlgo', the 'prune_rate' must be 'float',  but got 'str'."),
    (PrunerFtCompressAlgo, {"prune_rate": True}, TypeError,
     "For 'PrunerFtCompressAlgo', the 'prune_rate' must be 'float',  but got 'bool'."),
    (PrunerFtCompressAlgo, {"prune_rate": 1.1}, ValueError,
     "For 'PrunerFtCompressAlgo', the 'prune_rate' must be in range of [0.0, 1.0), but got 1.1 with type 'float'."),
    (PrunerFtCompressAlgo, {"prune_rate": -0.1}, ValueError,
     "For 'PrunerFtCompressAlgo', the 'prune_rate' must be in range of [0.0, 1.0), but got -0.1 with type 'float'."),
    (PrunerFtCompressAlgo, {"prune_rate": 1.0}, ValueError,
     "For 'PrunerFtCompressAlgo', the 'prune_rate' must be in range of [0.0, 1.0), but got 1.0 with type 'float'."),
    (PrunerFtCompressAlgo, {"prune_rate": float("nan")}, ValueError,
     "For 'PrunerFtCompressAlgo', the 'prune_rate' must be in range of [0.0, 1.0), but got nan with type 'float'."),
    (PrunerFtCompressAlgo, 3, TypeError,
     "For 'PrunerFtCompressAlgo', the type of 'config' should be 'dict', but got type 'int'."),
    (PrunerKfCompressAlgo, ["a"], TypeError,
     "For 'PrunerKfCompressAlgo', the type of 'config' should be 'dict', but got type 'list'."),
    (PrunerFtCompressAlgo, {"save_mindir": 1}, TypeError,
     "For 'PrunerFtCompressAlgo', the 'save_mindir' must be 'bool',  but got 'int'."),
    (PrunerFtCompressAlgo, {"round_to": 0}, ValueError,
     "For 'PrunerFtCompressAlgo', the 'round_to' must be at least 1, but got 0."),
    (PrunerFtCompressAlgo, {"min_channels": 2.0}, TypeError,
     "For 'PrunerFtCompressAlgo', the 'min_channels' must be 'int',  but got 'float'."),
    (PrunerFtCompressAlgo, {"rates": {"a": 1.0}}, ValueError,
     "For 'PrunerFtCompressAlgo', the 'rates['a']' must be in range of [0.0, 1.0), but got 1.0 with type 'float'."),
    (PrunerFtCompressAlgo, {"rates": 0.5}, TypeError,
     "For 'PrunerFtCompressAlgo', the 'rates' must be 'dict',  but got 'float'."),
    (PrunerKfCompressAlgo, {"residual": "both"}, ValueError,
     "For 'PrunerKfCompressAlgo', the 'residual' must be one of ('keep', 'couple'), but got 'both'."),
    (PrunerKfCompressAlgo, {"ignore": "layer1"}, TypeError,
     "For 'PrunerKfCompressAlgo', the 'ignore' must be a list of cell-name patterns such as ['layer1.*'], but got "
     "'layer1'."),
    (PrunerKfCompressAlgo, {"input_shape": (1, 0, 8, 8)}, ValueError,
     "For 'PrunerKfCompressAlgo', the 'input_shape' must be a shape such as (1, 3, 32, 32), or a list of shapes, but "
     "got (1, 0, 8, 8)."),
    (PrunerKfCompressAlgo, {"input_shape": 32}, ValueError,
     "For 'PrunerKfCompressAlgo', the 'input_shape' must be a shape such as (1, 3, 32, 32), or a list of shapes, but "
     "got 32."),
    (PrunerKfCompressAlgo, {"knockoff": len}, TypeError,
     "For 'PrunerKfCompressAlgo', the 'knockoff' must be 'Cell',  but got 'builtin_function_or_method'."),
]


@pytest.mark.parametrize("kind, config, error, message", MESSAGES,
                         ids=[f"{m[0].__name__[6:8]}-{m[1]}" for m in MESSAGES])
def test_validation_messages(kind, config, error, message):
    with pytest.raises(error) as raised:
        kind(config)
    assert str(raised.value) == message
    if isinstance(config, dict):
        with pytest.raises(error) as raised:
            kind(**config)
        assert str(raised.value) == message


@pytest.mark.parametrize("kind, option, allowed", [
    (PrunerFtCompressAlgo, "prune_ratio", "prune_rate, rates"),
    (PrunerKfCompressAlgo, "prune_rate", "residual, ignore")],
    ids=["ft", "kf"])
def test_an_unknown_option_names_those_that_exist(kind, option, allowed):
    with pytest.raises(ValueError, match=rf"'{option}' is not an option; allowed are .*{allowed}"):
        kind({option: 0.5})


@pytest.mark.parametrize("kind", [PrunerKfCompressAlgo, PrunerFtCompressAlgo], ids=["kf", "ft"])
def test_a_configuration_is_optional_and_keywords_win(kind):
    kind(), kind(None), kind({})
    config = {"residual": "keep"}
    assert kind(config, residual="couple")._config.residual == "couple"
    assert config == {"residual": "keep"}


# Errors, and that they change nothing


def unchanged_after(net, error, message, action):
    before = state(net)
    with pytest.raises(error, match=message):
        action(net)
    assert same_state(before, state(net))


def test_a_network_without_convolutions():
    unchanged_after(networks.NoConvolution(), PruningError, "no Conv2d with a BatchNorm right behind it has channels",
                    PrunerKfCompressAlgo(input_shape=(1, 12)).apply)
    unchanged_after(networks.NoConvolution(), TraceError, "has no nn.Conv2d to guess an input from",
                    PrunerKfCompressAlgo().apply)


def test_a_network_with_nothing_to_prune_says_why():
    unchanged_after(randomise(networks.SigmoidBetween()), PruningError,
                    r"has channels that may be removed \(stem: FIRST_CONVOLUTION.*conv: NOT_ZERO at Conv2D",
                    PrunerKfCompressAlgo(input_shape=SHAPE).apply)
    unchanged_after(randomise(networks.Long()), PruningError, "has channels that may be removed",
                    PrunerKfCompressAlgo(input_shape=SHAPE, ignore=["*"]).apply)


def test_an_input_that_does_not_fit():
    unchanged_after(randomise(networks.Long()), TraceError, r"cannot be exported to MindIR with inputs of shape \(1, 5",
                    PrunerKfCompressAlgo(input_shape=(1, 5, 8, 8)).apply)


def test_applying_twice():
    unchanged_after(knockoff(), PruningError, "has been applied to this network already; build a new one",
                    PrunerKfCompressAlgo(input_shape=SHAPE).apply)
    unchanged_after(masked(randomise(networks.Long())), PruningError, "has been applied to this network already",
                    PrunerKfCompressAlgo(input_shape=SHAPE).apply)
    unchanged_after(masked(randomise(networks.Long())), PruningError, "there is no KfConv2d in the network",
                    PrunerFtCompressAlgo(prune_rate=0.5).apply)


@pytest.mark.parametrize("method", ["apply", "convert", "plan", "summary"])
def test_a_plain_network_is_no_masked_one(method):
    unchanged_after(randomise(networks.Long()), PruningError,
                    r"Long has no knockoff or masked layers; call PrunerKfCompressAlgo\(...\).apply\(network\) first",
                    getattr(PrunerFtCompressAlgo(), method))


@pytest.mark.parametrize("method", ["convert", "plan", "summary"])
def test_a_knockoff_network_has_no_masks_yet(method):
    unchanged_after(knockoff(), PruningError, "the network has no masks yet; call PrunerFtCompressAlgo",
                    getattr(PrunerFtCompressAlgo(), method))


@pytest.mark.parametrize("kind", [PrunerKfCompressAlgo, PrunerFtCompressAlgo], ids=["kf", "ft"])
def test_what_is_no_cell(kind):
    with pytest.raises(TypeError, match=f"For '{kind.__name__}', the 'network' must be 'Cell', but got 'str'"):
        kind().apply("network")


def test_a_policy_that_differs_from_the_knockoff_network():
    unchanged_after(knockoff(), ValueError, "'residual' is 'couple', but the knockoff network was made with 'keep'",
                    PrunerFtCompressAlgo(prune_rate=0.5, residual="couple").apply)
    assert kept(PrunerFtCompressAlgo(prune_rate=0.5, residual="keep").apply(knockoff()))["layer1.0.conv1"] == 3


def test_rates_that_contradict_each_other():
    ft = PrunerFtCompressAlgo(rates={"stem": 0.5, "layer1.0.conv2": 0.25})
    unchanged_after(knockoff(residual="couple"), ValueError,
                    "'rates' gives layers that lose the same channels different rates", ft.apply)


@pytest.mark.parametrize("criterion, error, message", [
    (lambda layer, generator: np.zeros(3), ValueError, "one number for each of the 6 channels of 'layer1.0.conv1'"),
    (lambda layer, generator: np.full(layer.out_channels, np.nan), PruningError, "scores of 'layer1.0.conv1' are not"),
    ("l2", ValueError, r"must be one of \('scop', 'knockoff', 'l1', 'random'\) or a function, but got 'l2'"),
], ids=["shape", "nan", "name"])
def test_a_criterion_that_is_wrong(criterion, error, message):
    unchanged_after(knockoff(), error, message,
                    lambda net: PrunerFtCompressAlgo(prune_rate=0.5, criterion=criterion).apply(net))


def test_a_knockoff_phase_that_diverged():
    net = knockoff()
    scale = net.layer1[0].conv1.kfscale
    scale.set_data(ms.Tensor(np.full(scale.shape, np.nan, np.float32)))
    unchanged_after_nan = [p.name for p in net.get_parameters()]
    with pytest.raises(PruningError, match="the scores of 'layer1.0.conv1' are not finite; the knockoff phase has div"):
        PrunerFtCompressAlgo(prune_rate=0.5).apply(net)
    assert list(layers(net)) == PRUNABLE and [p.name for p in net.get_parameters()] == unchanged_after_nan
    assert [p.name for p in net.trainable_params()] == [f"{path}.kfscale" for path in PRUNABLE]


def test_masks_that_contradict_each_other():
    net = masked(randomise(networks.Long()), 0.45, residual="couple")
    stem = layers(net, MaskedConv2dbn)["stem"]
    stem.out_index.set_data(ms.Tensor(1 - stem.out_index.asnumpy(), ms.int32))
    unchanged_after(net, PlanError, "the masks of stem, layer1.0.conv2 differ, but these layers share their channels",
                    PrunerFtCompressAlgo().convert)


@pytest.mark.parametrize("value", [[1, 0], [0, 0, 0, 0, 0, 0], [0, 7], [2, 2], [-1, 2], []], ids=str)
def test_an_index_list_that_is_wrong(value):
    net = knockoff()
    net.layer1[0].conv1.out_index = value
    if value == [1, 0]:  # two different channels: a list of what stays
        assert PrunerFtCompressAlgo()._recover_conv(net).layer1[0].conv1.stays.tolist() == [True, True] + [False] * 4
        return
    with pytest.raises(ValueError, match="'out_index' must be a mask of 6 entries 0 or 1, or a list of different"):
        PrunerFtCompressAlgo()._recover_conv(net)
