"""The knockoff phase: optimizers that do not train it, mixed precision by Model, and what the callback says."""

import logging
import sys
from itertools import product

import mindspore as ms
import numpy as np
import pytest
from mindspore import amp, nn
from mindspore.dataset import NumpySlicesDataset

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo, load_pruned, save_pruned
from mindspore_gs.errors import PruningError
from mindspore_gs.pruner.optimizers import check_optimizer
from mindspore_gs.pruner.scop import doubling
from mindspore_gs.pruner.scop.callback import KfCallback
from mindspore_gs.pruner.scop.phase import end_phase, phase_of, scales, start_phase
from tests.batches import Features
from tests.helpers import evaluate, image, randomise, same_state, state, train_steps


def data(count=48, batch=16):
    random = np.random.default_rng(0)
    images = random.standard_normal((count, 3, 8, 8)).astype(np.float32)
    return NumpySlicesDataset((images, (np.arange(count) % 4).astype(np.int32)), shuffle=False).batch(batch)


def begin():
    net = randomise(Features())
    return start_phase(net, net.pairs, inputs=(image(1, 3, 8, 8),))


def fit(net, optimizer, callbacks=(), epochs=1, **options):
    ms.train.Model(net, nn.CrossEntropyLoss(), optimizer, **options).train(
        epochs, data(), callbacks=list(callbacks), dataset_sink_mode=False)


# Optimizers


def test_an_optimizer_older_than_the_phase_is_an_error_before_the_first_step(mode):
    net = randomise(Features())
    optimizer = nn.Momentum(net.trainable_params(), 0.1, 0.9)
    start_phase(net, net.pairs, inputs=(image(1, 3, 8, 8),))
    before = state(net.set_train(True))
    with pytest.raises(PruningError, match=r"none of the 8 parameters of the Momentum is one of the 2 trainable .*"
                                           r"net\.trainable_params\(\)"):
        fit(net, optimizer, [KfCallback()])
    assert same_state(before, state(net))


@pytest.mark.parametrize("make", [lambda p: nn.Adam(p, 0.1), lambda p: ms.mint.optim.AdamW(p, 0.1),
                                  lambda p: nn.SGD([{"params": p[:1], "lr": 0.1}, {"params": p[1:]}])],
                         ids=["nn", "mint", "groups"])
def test_which_optimizers_belong_to_a_network(make):
    net, other = begin(), randomise(Features())
    check_optimizer(net, make(net.trainable_params()))
    check_optimizer(net, None)
    with pytest.raises(PruningError, match="made for another network"):
        check_optimizer(net, make(other.trainable_params()))


def test_no_scale_that_moves_in_the_first_step_is_a_warning(mode, caplog):
    net = begin()
    fit(net, nn.SGD(net.trainable_params(), 0.0), [KfCallback()])
    assert [r.levelno for r in caplog.records if "no knockoff scale moved" in r.message] == [logging.WARNING]


def test_no_warning_where_scales_move(mode, caplog):
    net = begin()
    fit(net, nn.SGD(net.trainable_params(), 0.1), [KfCallback()])
    train_steps(net, doubling.WATCHED_CALLS, shape=(9, 3, 8, 8))
    assert not caplog.records


def test_a_loop_of_the_users_own_with_an_old_optimizer_is_a_warning(caplog):
    net = randomise(Features())
    optimizer = nn.Momentum(net.trainable_params(), 0.1, 0.9)
    start_phase(net, net.pairs).set_train(True)
    step = ms.value_and_grad(lambda x: (net(x) ** 2).mean(), None, optimizer.parameters)
    for count in range(2 * doubling.WATCHED_CALLS):
        assert len([r for r in caplog.records if "from net.trainable_params()" in r.message]) == (
            count >= doubling.WATCHED_CALLS)
        optimizer(step(image(9, 3, 8, 8))[1])


# Mixed precision

LEVELS = [(level, {}) for level in ("O2", "O3", "auto")] + [
    (level, {"keep_batchnorm_fp32": keep}) for level, keep in (("O2", False), ("O3", True))]
OPTIMIZERS = {"Adam": lambda p: nn.Adam(p, 4e-3), "Momentum": lambda p: nn.Momentum(p, 0.01, 0.9)}


@pytest.mark.parametrize(("level", "options", "kind"), [(*pair, kind) for pair, kind in product(LEVELS, OPTIMIZERS)],
                         ids=lambda value: str(value))
def test_mixed_precision_by_model(level, options, kind, mode):
    net, x = randomise(Features()), image(4, 3, 8, 8)
    expected = evaluate(net, x).asnumpy()
    before = state(net)
    start_phase(net, net.pairs, inputs=(x,))
    scale = ms.FixedLossScaleManager(1024, drop_overflow_update=False)
    fit(net, OPTIMIZERS[kind](net.trainable_params()), amp_level=level, loss_scale_manager=scale, **options)
    for layer, values in zip(phase_of(net).layers.values(), scales(net).values()):
        assert layer.kfscale.dtype == ms.float32 and np.isfinite(values).all() and values.std() > 1e-3
    end_phase(net)
    assert same_state(before, state(net.set_train(False)))
    assert np.array_equal(net(x).asnumpy(), expected)


@pytest.mark.parametrize("level", ["O2", "O3", "auto"])
def test_half_precision_learns_what_single_precision_learns(level, mode, monkeypatch):
    """The gradients of the scales agree, though features are large and the loss is scaled: sums are not in fp16."""
    monkeypatch.setattr(doubling, "_places", first_two)
    found = []
    for lower in (False, True):
        net = begin().set_train(True)
        whole = amp.auto_mixed_precision(net, level) if lower else net

        step = ms.value_and_grad(large_loss_of(whole), None, net.trainable_params())
        found.append([g.asnumpy() for g in step(image(16, 3, 8, 8))[1]])
        assert type(end_phase(whole)) is Features
    for single, half in zip(*found):
        np.testing.assert_allclose(half, single, atol=0.05 * np.abs(single).max())


def large_loss_of(net):
    def loss(x):
        return (net(x).astype(ms.float32) ** 2).sum() * 64

    return loss


def first_two(count, knockoffs):
    return ms.Tensor([1, 2], ms.int32)


@pytest.mark.parametrize("level", ["O2", "O3", "auto"])
def test_mixed_precision_that_was_on_before_the_phase_stays(level, mode):
    net = amp.auto_mixed_precision(randomise(Features()), level)
    x = image(9, 3, 8, 8)
    expected = evaluate(net, x).asnumpy()
    inside = "" if level == "auto" else "_backbone."
    norm = "._backbone" if level == "O2" else ""
    start_phase(net, {f"{inside}{conv}": f"{inside}{bn}{norm}" for conv, bn in Features.pairs.items()}, inputs=(x,))
    assert np.array_equal(evaluate(net, x).asnumpy(), expected)
    assert np.abs(net.set_train(True)(x).asnumpy() - expected).max(1).min() > 1e-3
    end_phase(net)
    assert np.array_equal(evaluate(net, x).asnumpy(), expected)


@pytest.mark.parametrize("level", ["O2", "O3", "auto"])
def test_mixed_precision_that_was_on_before_goes_the_whole_way(level, tmp_path):
    """The paths of such a network lead through the cells that mixed precision put around others."""
    def build():
        return amp.auto_mixed_precision(randomise(Features()), level)

    x = image(4, 3, 8, 8)
    net = PrunerKfCompressAlgo({"input_shape": (1, 3, 8, 8)}).apply(build())
    net.set_train(True)(x)
    ft = PrunerFtCompressAlgo({"prune_rate": 0.5})
    masked = ft.apply(net)
    small = ft.convert(masked)
    assert sum(p.size for p in small.get_parameters()) < sum(p.size for p in build().get_parameters())
    expected = evaluate(masked, x).asnumpy()
    np.testing.assert_allclose(evaluate(small, x).asnumpy(), expected, atol=1e-2 * np.abs(expected).max())
    save_pruned(small, tmp_path / "small.ckpt")
    assert np.array_equal(evaluate(load_pruned(build, tmp_path / "small.ckpt"), x), evaluate(small, x))


@pytest.mark.parametrize("others", [0, 1])
def test_a_network_whose_classes_mixed_precision_has_rewritten_is_refused(others):
    """The first network of a process and later ones: MindSpore derives their classes from others."""
    for _ in range(others):
        amp.auto_mixed_precision(randomise(Features()), "O1")
    net = amp.auto_mixed_precision(randomise(Features()), "O1")
    with pytest.raises(PruningError, match="amp_level='O1' of mixed precision has made it: use 'O2' or 'auto'"):
        PrunerKfCompressAlgo({"input_shape": (1, 3, 8, 8)}).apply(net)


# What the callback says


def test_one_line_now_and_then_and_one_at_the_end(mode, capsys):
    net = begin()
    fit(net, nn.Momentum(net.trainable_params(), 0.1, 0.9), [KfCallback(2)], epochs=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if "knockoff" in line]
    assert [line.split(",")[0] for line in lines[:-1]] == [f"knockoff step {k}/6" for k in (2, 3, 4, 6)]
    assert all("loss" in line and "mean scale 0." in line and "s left" in line for line in lines[:-1])
    losing = [int((values < 0.5).sum()) for values in scales(net).values()]
    assert lines[-1] == (f"{sum(losing)} of 11 channels lose against their knockoffs, "
                         f"in {sum(map(bool, losing))} of 2 layers")


def test_on_a_terminal_the_line_is_updated(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    net = begin()
    fit(net, nn.Momentum(net.trainable_params(), 0.1, 0.9), [KfCallback(1)])
    printed = capsys.readouterr().out
    assert "\x1b[2K" in printed  # a line is erased before it is written again
    assert [line.split(",")[0] for line in printed.replace("\r", "\n").splitlines() if "step 3/3" in line]
    assert "channels lose against their knockoffs" in printed.splitlines()[-1]


def test_the_callback_changes_nothing():
    def trained(callbacks):
        ms.set_seed(3)
        net = begin()
        fit(net, nn.Momentum(net.trainable_params(), 0.1, 0.9), callbacks)
        return np.concatenate(list(scales(net).values()))

    np.testing.assert_array_equal(trained([]), trained([KfCallback(1)]))
