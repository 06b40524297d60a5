"""What training phases refuse, and with which words."""

import pytest
from mindspore import nn

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo
from mindspore_gs.errors import PruningError
from mindspore_gs.pruner.phases import GroupLasso, GrowingPenalty, Slimming, SoftPruning
from tests import networks
from tests.phases import pruner, residual


def momentum(net):
    return nn.Momentum(net.trainable_params(), 0.05, 0.9)


def slimming():
    return Slimming(residual(), pruner("bn_gamma"), proximal=True)


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
    "data that is read once": (lambda: SoftPruning(residual(), pruner("apoz", data=iter([]))), ValueError,
                               "reads its 'data' after each epoch, but an iterator"),
    "nothing to go": (lambda: GrowingPenalty(residual(), pruner(rate=0.0)), ValueError, "chooses no channel to go"),
    "no BatchNorm": (lambda: Slimming(networks.NoConvolution(), ChannelPruner(input_shape=(1, 12))), PruningError,
                     "no BatchNorm with a gamma .* GroupLasso"),
    "masks": (lambda: SoftPruning(pruner().apply(residual()), pruner()), PruningError, "has knockoffs or masks"),
    "no optimizer": (lambda: slimming().add_to([]), TypeError, "must be a Cell with 'parameters'"),
    "a frozen gamma": (lambda: (lambda net: Slimming(net, pruner()).add_to(momentum(frozen(net))))(residual()),
                       PruningError, "does not train 'bn1.gamma', .*1 of 3 parameters"),
    "another network's optimizer": (lambda: GrowingPenalty(residual(), pruner()).add_to(momentum(residual())),
                                    PruningError, "does not train"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_refused(case):
    action, kind, message = REFUSALS[case]
    with pytest.raises(kind, match=message):
        action()


def test_one_penalty_for_one_optimizer_and_an_end():
    phase = slimming()
    net = phase.network
    optimizer = phase.add_to(momentum(net))
    with pytest.raises(PruningError, match="is in use: an optimizer takes one penalty"):
        slimming().add_to(optimizer)
    with pytest.raises(PruningError, match="Call remove"):
        phase.add_to(momentum(net))
    phase.finish()
    assert type(optimizer) is nn.Momentum
    for action in (phase.finish, lambda: phase.add_to(optimizer)):
        with pytest.raises(PruningError, match="this Slimming is over"):
            action()


def test_a_rate_for_each_layer_has_no_proximal_step():
    phase = slimming()
    with pytest.raises(PruningError, match="one of its own for each layer, or none. Use proximal=False"):
        phase.add_to(nn.LARS(momentum(phase.network)))
