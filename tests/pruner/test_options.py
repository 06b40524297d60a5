"""Options of the pruners: what they do, and the messages for wrong ones."""

import sys

import numpy as np
import pytest

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs.pruner.scop.scop_pruner import MaskedConv2dbn
from tests import networks
from tests.helpers import masked, randomise
from tests.long import PRUNABLE, kept, knockoff, layers


def test_layers_that_share_their_channels_lose_the_same():
    net = masked(randomise(networks.Long()), 0.45, residual="couple")
    found = layers(net, MaskedConv2dbn)
    np.testing.assert_array_equal(found["stem"].stays, found["layer1.0.conv2"].stays)
    for path in ("layer2.0.conv2", "layer2.1.conv2"):
        np.testing.assert_array_equal(found["layer2.0.downsample.0"].stays, found[path].stays)
    assert kept(net)["stem"] == 5 and kept(net)["layer2.1.conv2"] == 7


OPTIONS = {  # options of PrunerFtCompressAlgo -> channels kept of 6, 8, 8, 12, 10, 12
    "ignore": ({"ignore": ["layer1.*"]}, (6, 8, 4, 6, 5, 6)),
    "ignore all conv2": ({"ignore": ["*.conv2"]}, (3, 8, 4, 12, 5, 12)),
    "rates": ({"rates": {"layer2.*": 0.25}}, (3, 4, 6, 9, 8, 9)),
    "first match wins": ({"rates": {"*.conv1": 0.0, "layer2.*": 0.25}}, (6, 4, 8, 9, 10, 9)),
    "round_to": ({"round_to": 4}, (4, 4, 4, 8, 8, 8)),
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
     "For 'PrunerKfCompressAlgo', the 'residual' must be one of ('keep', 'couple', 'inner'), but got 'both'."),
    (PrunerKfCompressAlgo, {"ignore": "layer1"}, TypeError,
     "For 'PrunerKfCompressAlgo', the 'ignore' must be a list of cell-name patterns such as ['layer1.*'], but got "
     "'layer1'."),
    (PrunerKfCompressAlgo, {"input_shape": (1, 0, 8, 8)}, ValueError,
     "For 'PrunerKfCompressAlgo', the 'input_shape' must be a shape such as (1, 3, 32, 32), a tensor, or a list of "
     "these for several inputs, but got (1, 0, 8, 8)."),
    (PrunerKfCompressAlgo, {"input_shape": 32}, ValueError,
     "For 'PrunerKfCompressAlgo', the 'input_shape' must be a shape such as (1, 3, 32, 32), a tensor, or a list of "
     "these for several inputs, but got 32."),
    (PrunerKfCompressAlgo, {"knockoff": len}, TypeError,
     "For 'PrunerKfCompressAlgo', the 'knockoff' must be 'Cell',  but got 'builtin_function_or_method'."),
]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes before Python 3.11")
def test_a_rate_that_is_no_share_comes_with_the_remedy():
    with pytest.raises(TypeError) as raised:
        PrunerFtCompressAlgo({"prune_rate": 45})
    assert raised.value.__notes__ == ["Give a share between 0 and 1, such as 0.45 for 45%."]


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
