"""What happens where the user says nothing about rounding."""

import pytest
from mindspore import nn

from mindspore_gs import prune
from mindspore_gs.pruner import defaults
from mindspore_gs.pruner.defaults import roundings
from tests.helpers import randomise

SHAPE = (1, 3, 8, 8)


def network(width):
    return randomise(nn.SequentialCell(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, width, 3), nn.ReLU(),
                                       nn.Conv2d(width, 4, 1)))


def widths(net):
    return [cell.out_channels for _, cell in net.cells_and_names() if isinstance(cell, nn.Conv2d)][:2]


@pytest.mark.parametrize(("default", "given", "target", "expected"), [
    (8, None, True, (8, 4, 2, 1)), (1, None, True, (1,)), (6, None, True, (6, 3, 1)), (8, 4, True, (4,)),
    (8, None, False, (1,)), (8, 16, False, (16,))])
def test_what_is_tried(default, given, target, expected, monkeypatch):
    monkeypatch.setattr(defaults, "ROUND_TO", default)
    assert roundings(given, target) == expected


def test_a_target_is_met_in_the_default_multiples(monkeypatch):
    monkeypatch.setattr(defaults, "ROUND_TO", 8)
    assert sorted(widths(prune(network(256), inputs=SHAPE))) == [176, 184]
    assert any(number % 8 for number in widths(prune(network(256), inputs=SHAPE, round_to=1)))


def test_finer_multiples_where_these_cannot_meet_it(monkeypatch):
    """With multiples of 8, 0.52 of the MACs are nearest to a half."""
    monkeypatch.setattr(defaults, "ROUND_TO", 8)
    assert sorted(widths(prune(network(128), inputs=SHAPE))) == [88, 92]


def test_a_narrow_network_gets_finer_multiples():
    assert roundings(None, True, [16, 16, 32]) == (2, 1) and roundings(None, True, [8]) == (1,)
    assert roundings(None, True, [16, 64, 512]) == (8, 4, 2, 1) and roundings(8, True, [16]) == (8,)


def test_a_rate_is_not_rounded(monkeypatch):
    monkeypatch.setattr(defaults, "ROUND_TO", 8)
    assert widths(prune(network(64), inputs=SHAPE, prune_rate=0.45)) == [36, 36]
