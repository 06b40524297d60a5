"""Errors, and that they change nothing."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.boost import LessBN

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo, prune
from mindspore_gs.errors import PlanError, PruningError, TraceError, first_line
from mindspore_gs.pruner.boost import refuse_boosted_head
from mindspore_gs.pruner.scop.scop_pruner import MaskedConv2dbn
from tests import networks
from tests.helpers import masked, randomise
from tests.long import PRUNABLE, SHAPE, kept, knockoff, layers, unchanged_after


def test_a_network_without_convolutions_needs_an_input_shape():
    unchanged_after(networks.NoConvolution(), TraceError, "has no nn.Conv2d to guess an input from",
                    PrunerKfCompressAlgo().apply)


def test_a_network_with_nothing_to_prune_says_why():
    unchanged_after(randomise(networks.SigmoidBetween()), PruningError,
                    r"residual=\'keep\' \(stem: FIRST_CONVOLUTION.*conv: NOT_ZERO at Conv2D",
                    PrunerKfCompressAlgo(input_shape=SHAPE).apply)
    unchanged_after(randomise(networks.Long()), PruningError, "has channels that may be removed",
                    PrunerKfCompressAlgo(input_shape=SHAPE, ignore=["*"]).apply)


def test_an_input_that_does_not_fit():
    unchanged_after(randomise(networks.Long()), TraceError, r"cannot be exported to MindIR with inputs of shape \(1, 5",
                    PrunerKfCompressAlgo(input_shape=(1, 5, 8, 8)).apply)


def test_an_integer_input_given_as_a_shape():
    """MindSpore frames what it says first with dashes; the reason is behind them."""
    net = nn.SequentialCell(nn.Embedding(9, 4), nn.Dense(4, 6), nn.ReLU(), nn.Dense(6, 2))
    unchanged_after(net, PruningError, r"MindSpore says: [^-]",
                    PrunerKfCompressAlgo(input_shape=(1, 5), residual="couple").apply)


@pytest.mark.parametrize("text, line", [
    ("\n---\n- Title:\n---\nreason\nmore", "reason"), ("reason\n\n---\n- Title\n---\na.cc:7", "reason"),
    ("---\n- Title\n---", "- Title"), ("-----", "ValueError"), ("", "ValueError"), ("- a - b", "- a - b")])
def test_the_line_of_an_error_that_says_something(text, line):
    assert first_line(ValueError(text)) == line


def test_applying_twice():
    unchanged_after(knockoff(), PruningError, "has been applied to this Long already; go on with it",
                    PrunerKfCompressAlgo(input_shape=SHAPE).apply)
    unchanged_after(masked(randomise(networks.Long())), PruningError, "has been applied to this Long already",
                    PrunerKfCompressAlgo(input_shape=SHAPE).apply)
    unchanged_after(masked(randomise(networks.Long())), PruningError, "is masked already; train it, or make it",
                    PrunerFtCompressAlgo(prune_rate=0.5).apply)


@pytest.mark.parametrize("method", ["apply", "convert", "plan", "summary"])
def test_a_plain_network_is_no_masked_one(method):
    unchanged_after(randomise(networks.Long()), PruningError,
                    r"Long has no knockoff or masked layers; call apply\(\) of PrunerKfCompressAlgo or Chann",
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
    (lambda channels: np.zeros(3), ValueError, "one number for each of the 6 channels of 'layer1.0.conv1'"),
    (lambda channels: np.full(channels.size, np.nan), PruningError,
     "gives 6 of the 6 channels of 'layer1.0.conv1' no finite number"),
    (lambda channels: ["a"] * channels.size, TypeError,
     "must return one real number for each of the 6 channels of 'layer1.0.conv1', but returned 'list'"),
    ("l3", ValueError, r"must be one of \('apoz', .*'random'\) or a function, but got 'l3'"),
], ids=["shape", "nan", "text", "name"])
def test_a_criterion_that_is_wrong(criterion, error, message):
    unchanged_after(knockoff(), error, message,
                    lambda net: PrunerFtCompressAlgo(prune_rate=0.5, criterion=criterion).apply(net))


def test_a_knockoff_phase_that_diverged():
    net = knockoff()
    scale = net.layer1[0].conv1.kfscale
    scale.set_data(ms.Tensor(np.full(scale.shape, np.nan, np.float32)))
    unchanged_after_nan = [p.name for p in net.get_parameters()]
    with pytest.raises(PruningError, match="'layer1.0.conv1.kfscale' of Long has 6 of 6 values that are NaN"):
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


@pytest.mark.parametrize("options", [{"prune_rate": 0.05}, {"prune_rate": 0.5, "round_to": 16},
                                     {"prune_rate": 0.5, "min_channels": 8}, {"prune_rate": 0.0, "rates": {"0": 0.1}}])
def test_a_rate_that_removes_nothing_is_refused(options):
    net = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1))
    with pytest.raises(PruningError, match="removes no channel: the largest of the 2 groups has 8 channels"):
        prune(net, inputs=(1, 3, 8, 8), **options)
    assert prune(net, inputs=(1, 3, 8, 8), prune_rate=0.0)[0].weight.shape[0] == 8


def test_a_network_whose_layers_have_one_channel_each_has_nothing_to_lose():
    net = nn.SequentialCell(nn.Conv2d(3, 1, 3), nn.ReLU(), nn.Conv2d(1, 4, 1))
    with pytest.raises(PruningError, match="it has one channel"):
        prune(net, inputs=(1, 3, 8, 8), prune_rate=0.5)


def test_a_head_that_boost_puts_in_behind_apply():
    """Model(boost_level="O1") does this. The head's norm of its weights counts those of channels that go."""
    net = knockoff()
    loop = nn.WithLossCell(net, nn.CrossEntropyLoss())
    refuse_boosted_head(loop)
    LessBN(loop, fn_flag=True)
    with pytest.raises(PruningError, match="in the place of 'fc' of this Long.*boost_level='O0', or call apply"):
        refuse_boosted_head(loop)
