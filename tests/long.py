"""What the tests of SCOP share: knockoff networks of :class:`tests.networks.Long`, and what is in them."""

from functools import cache

import pytest

from mindspore_gs import PrunerKfCompressAlgo
from mindspore_gs._cells import copy_network
from mindspore_gs.pruner.scop.scop_pruner import KfConv2d, MaskedConv2dbn
from tests import networks
from tests.helpers import randomise, same_state, state

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


def unchanged_after(net, error, message, action):
    """``action`` raises, and the network is as it was."""
    before = state(net)
    with pytest.raises(error, match=message):
        action(net)
    assert same_state(before, state(net))
