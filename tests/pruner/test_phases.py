"""Training phases with Model.train and in loops: what they do to a network, how they end, what they refuse."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo
from mindspore_gs._cells import every_cell
from mindspore_gs._precision import casts_in
from mindspore_gs.errors import PruningError
from mindspore_gs.pruner import channel
from mindspore_gs.pruner.phases import GroupLasso, GrowingPenalty, Slimming, SoftPruning
from tests import networks
from tests.helpers import image, relative_difference
from tests.phases import GAMMAS, dataset, fit, gradients, loop, norms, pruner, residual, values

RATE = 0.05


def momentum(net, rate=RATE, **options):
    return nn.Momentum(net.trainable_params(), rate, 0.9, **options)


def strong(net, kind):
    """A phase whose penalty is so strong that a few steps show it."""
    if kind == "slimming":
        return Slimming(net, pruner("bn_gamma"), 1.3, proximal=True)
    if kind == "group_lasso":
        return GroupLasso(net, pruner(), 2.0, proximal=True)
    return GrowingPenalty(net, pruner("l1"), growth=30.0, every=1, ceiling=300.0, proximal=True)


@pytest.mark.parametrize("kind, device_mode", [("slimming", ms.GRAPH_MODE), ("group_lasso", ms.PYNATIVE_MODE),
                                               ("growing", ms.PYNATIVE_MODE)])
def test_channels_become_zero_and_are_those_that_go(kind, device_mode):
    ms.set_context(mode=device_mode)
    net = residual()
    phase = strong(net, kind)
    begin, optimizer = phase.norms(), momentum(net)
    fit(net, optimizer, epochs=8, callbacks=phase.callbacks())
    end = phase.norms()
    assert type(optimizer) is nn.Momentum
    zero = {group: norm < 1e-3 * begin[group].mean() for group, norm in end.items()}
    assert 1 <= sum(found.sum() for found in zero.values()) <= 5 and not all(found.all() for found in zero.values())
    for group, stays in phase._choice().items():
        assert (~stays).sum() == int(0.4 * group.size)
        assert not (zero[group] & stays).any()
        assert kind != "growing" or (zero[group] == ~stays).all()
    masked = phase.finish()
    assert masked is net
    small = phase.pruner.convert(masked)
    assert small.a.weight.shape == (4, 5, 3, 3) and small.b.weight.shape == (5, 4, 3, 3)
    x = image(2, 3, 8, 8)
    assert relative_difference(small.set_train(False)(x), masked.set_train(False)(x)) <= 1e-5


@pytest.mark.parametrize("device_mode, proximal, jit", [(ms.GRAPH_MODE, True, True), (ms.PYNATIVE_MODE, False, False)],
                         ids=["jitted, proximal", "pynative, gradient"])
def test_a_loop_is_model_train(device_mode, proximal, jit):
    ms.set_context(mode=device_mode)
    found = []
    for way in ("model", "loop"):
        net = residual()
        phase, optimizer = Slimming(net, pruner("bn_gamma"), 0.1, proximal), momentum(net)
        if way == "model":
            fit(net, optimizer, 2, phase.callbacks())
        else:
            loop(net, phase.add_to(optimizer), 2, jit=jit)
        found.append(values(net))
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_gammas_shrink_together_where_layers_share_channels():
    """Against the same training without: all gammas of the stream are smaller, and their channel as a whole."""
    found = []
    for penalised in (True, False):
        net = residual()
        phase = Slimming(net, pruner("bn_gamma"), 0.5)
        fit(net, momentum(net), 4, phase.callbacks() if penalised else None)
        found.append(values(net))
    for names in GAMMAS.values():
        assert (norms(found[0], names) < 0.9 * norms(found[1], names)).all()


def test_mixed_precision_and_loss_scale(graph_mode):
    """The gammas differ after a step by what the penalty is, whatever the loss is scaled with; the end undoes O2."""
    found = []
    for penalised in (False, True):
        net = residual()
        phase = Slimming(net, pruner("bn_gamma"), 0.5)
        manager = ms.FixedLossScaleManager(128, drop_overflow_update=False)
        fit(net, nn.SGD(net.trainable_params(), RATE, loss_scale=128.0), 1, phase.callbacks() if penalised else None,
            dataset(count=8), amp_level="O2", loss_scale_manager=manager)
        found.append(values(net))
    penalty = found[0]["bn1.gamma"] - found[1]["bn1.gamma"]
    np.testing.assert_allclose(penalty, RATE * 0.5 * np.sign(values(residual())["bn1.gamma"]), rtol=1e-3)
    assert casts_in(net)
    phase.finish()
    assert not casts_in(net) and not any(getattr(cell, "fp16", False) for cell in every_cell(net))


class UnlessItOverflows(nn.Cell):
    """A step that is left out where gradients are not finite, as MindSpore's cell for dynamic loss scales does it.

    That cell itself has no kernels for a CPU.
    """

    def __init__(self, optimizer):
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer

    def construct(self, gradients):
        finite = ops.isfinite(gradients[0]).all()
        if finite:
            finite = ops.depend(finite, self.optimizer(gradients))
        return finite


def test_a_step_that_overflows_has_no_penalty(graph_mode):
    net = residual()
    before = values(net)
    phase = GrowingPenalty(net, pruner("l1"), proximal=True)
    optimizer = phase.add_to(momentum(net))
    step, good = UnlessItOverflows(optimizer), gradients(optimizer)
    step(tuple(g * float("inf") for g in good))
    assert int(phase.penalty.step.asnumpy()) == 0
    assert all(np.array_equal(value, before[name]) for name, value in values(net).items())
    step(good)
    assert int(phase.penalty.step.asnumpy()) == 1
    assert all((values(net)[p.name] != before[p.name]).any() for p in optimizer.parameters)


class ManySteps(nn.Cell):
    """Three steps in one compiled graph, as in sink mode: Python sees nothing of what is between."""

    def __init__(self, optimizer):
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer

    def construct(self, gradients):
        done = True
        for _ in range(3):
            done = ops.depend(self.optimizer(gradients), done)
        return done


@pytest.mark.parametrize("kind", ["slimming", "growing"])
def test_steps_that_python_does_not_see(kind, graph_mode):
    found = []
    for many in (True, False):
        net = residual()
        phase = strong(net, kind)
        optimizer = phase.add_to(nn.SGD(net.trainable_params(), 1e-3))
        grads = gradients(optimizer)
        if many:
            ManySteps(optimizer)(grads)
        else:
            for _ in range(3):
                optimizer(grads)
        found.append(values(net))
    for name, value in found[0].items():
        np.testing.assert_allclose(value, found[1][name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_a_growing_penalty_goes_on_from_a_checkpoint(tmp_path):
    """The steps and the choice are in the checkpoint of the training step; the weights have changed since."""
    net = residual()
    phase = GrowingPenalty(net, pruner("l1"), growth=0.1, every=2, proximal=True)
    step = nn.TrainOneStepCell(nn.WithLossCell(net, nn.CrossEntropyLoss()), phase.add_to(momentum(net)))
    assert phase.strength == pytest.approx(0.1)
    for _ in range(5):
        phase.penalty.count()
    ms.save_checkpoint(step, str(tmp_path / "run.ckpt"))
    other = residual(seed=7)
    again = GrowingPenalty(other, pruner("l1"), growth=0.1, every=2, proximal=True)
    before = {group.name: stays.tolist() for group, stays in again._choice().items()}
    ms.load_param_into_net(again.penalty, ms.load_checkpoint(str(tmp_path / "run.ckpt")))
    assert again.strength == phase.strength == pytest.approx(0.3)
    chosen = {group.name: stays.tolist() for group, stays in again._choice().items()}
    assert chosen == {group.name: stays.tolist() for group, stays in phase._choice().items()} != before


def test_nothing_is_traced_twice(monkeypatch):
    net = residual()
    phase = strong(net, "slimming")
    monkeypatch.setattr(channel, "trace", lambda *arguments: pytest.fail("a second trace"))
    small = phase.pruner.convert(phase.finish())
    assert small.a.weight.shape[0] == 4


def test_the_optimizer_is_as_before_when_a_training_fails():
    net = residual()
    phase, optimizer = strong(net, "slimming"), momentum(net)
    with pytest.raises(ValueError, match="out of data"):
        fit(net, optimizer, 1, [*phase.callbacks(), Fails()])
    assert type(optimizer) is nn.Momentum and "penalty" not in optimizer._cells
    assert [p.name for p in optimizer.get_parameters() if "growing" in p.name] == []


class Fails(ms.Callback):
    def on_train_step_begin(self, run_context):
        raise ValueError("out of data")


def frozen(net):
    net.bn1.gamma.requires_grad = False
    return net


REFUSALS = {
    "another pruner": (lambda: Slimming(residual(), PrunerFtCompressAlgo()), TypeError, "must be a ChannelPruner"),
    "no network": (lambda: GroupLasso("net", pruner()), TypeError, "Cell"),
    "a strength of 0": (lambda: Slimming(residual(), pruner(), 0.0), ValueError, "'strength' must be above 0"),
    "a strength in words": (lambda: GroupLasso(residual(), pruner(), "1"), TypeError, "'strength' must be a number"),
    "proximal = 1": (lambda: GroupLasso(residual(), pruner(), proximal=1), TypeError, "'proximal' must be 'bool'"),
    "every 0 steps": (lambda: GrowingPenalty(residual(), pruner(), every=0), ValueError, "'every' must be at least 1"),
    "every 0 epochs": (lambda: SoftPruning(residual(), pruner(), every=0), ValueError, "'every' must be at least 1"),
    "nothing to go": (lambda: GrowingPenalty(residual(), pruner(rate=0.0)), ValueError, "chooses no channel to go"),
    "no BatchNorm": (lambda: Slimming(networks.NoConvolution(), ChannelPruner(input_shape=(1, 12))), PruningError,
                     "no BatchNorm with a gamma .* GroupLasso"),
    "masks": (lambda: SoftPruning(pruner().apply(residual()), pruner()), PruningError, "has knockoffs or masks"),
    "no optimizer": (lambda: strong(residual(), "slimming").add_to([]), TypeError, "must be a Cell with 'parameters'"),
    "a frozen gamma": (lambda: (lambda net: strong(net, "slimming").add_to(momentum(frozen(net))))(residual()),
                       PruningError, "does not train 'bn1.gamma', .*1 of 3 parameters"),
    "another network's optimizer": (lambda: strong(residual(), "growing").add_to(momentum(residual())), PruningError,
                                    "does not train"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_refused(case):
    action, kind, message = REFUSALS[case]
    with pytest.raises(kind, match=message):
        action()


def test_one_penalty_for_one_optimizer_and_an_end():
    net = residual()
    phase = strong(net, "slimming")
    optimizer = phase.add_to(momentum(net))
    with pytest.raises(PruningError, match="is in use: an optimizer takes one penalty"):
        strong(residual(), "slimming").add_to(optimizer)
    with pytest.raises(PruningError, match="Call remove"):
        phase.add_to(momentum(net))
    phase.finish()
    assert type(optimizer) is nn.Momentum
    for action in (phase.finish, lambda: phase.add_to(optimizer)):
        with pytest.raises(PruningError, match="this Slimming is over"):
            action()


def test_a_rate_for_each_layer_has_no_proximal_step():
    net = residual()
    optimizer = nn.LARS(nn.Momentum(net.trainable_params(), RATE, 0.9))
    with pytest.raises(PruningError, match="one of its own for each layer, or none. Use proximal=False"):
        strong(net, "slimming").add_to(optimizer)
