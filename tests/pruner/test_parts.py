"""A part of a network is masked, or the network around the part: whoever asks for the other one is told."""

import pytest
from mindspore import nn

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo, save_pruned
from mindspore_gs.distill import plain_network
from mindspore_gs.errors import PruningError
from mindspore_gs.quantization import SlbQuantAwareTraining
from tests import networks
from tests.helpers import randomise, same_state, state

SHAPE = (1, 3, 8, 8)
PRUNER = {"prune_rate": 0.5, "input_shape": SHAPE}
CALLS = {
    "ChannelPruner.apply": lambda net, file: ChannelPruner(PRUNER).apply(net),
    "PrunerKfCompressAlgo.apply": lambda net, file: PrunerKfCompressAlgo(input_shape=SHAPE).apply(net),
    "PrunerFtCompressAlgo.apply": lambda net, file: PrunerFtCompressAlgo().apply(net),
    "convert": lambda net, file: ChannelPruner().convert(net),
    "save_pruned": lambda net, file: save_pruned(net, file),
    "slb": lambda net, file: SlbQuantAwareTraining().apply(net),
    "plain_network": lambda net, file: plain_network(net, SHAPE),
}


WHERE = ("SequentialCell holds '0', a part that has", "Chain is part of a network that has")


def _around():
    return nn.SequentialCell(networks.Chain(), nn.Conv2d(4, 4, 1))


@pytest.fixture(scope="module", params=["masks", "knockoffs"])
def begun(request):
    """Networks by what stands in their messages: one with a pruned part, and a part of a pruned one."""
    pruner = ChannelPruner(PRUNER) if request.param == "masks" else PrunerKfCompressAlgo(input_shape=SHAPE)
    whole, outer = randomise(_around()), randomise(_around())
    pruner.apply(whole[0])
    pruner.apply(outer)
    return dict(zip(WHERE, (whole, outer[0])))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("message", WHERE)
def test_it_is_said_where_the_masks_are(call, message, begun, tmp_path):
    before = state(begun[message])
    with pytest.raises(PruningError, match=message):
        call(begun[message], tmp_path / "x")
    assert same_state(before, state(begun[message])) and not list(tmp_path.iterdir())
