"""Parameters and MACs, counted by hand for small networks."""

import json

import mindspore as ms
import pytest
from mindspore import nn, ops

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo, summary
from mindspore_gs.cost import count_parameters, layer_macs
from mindspore_gs.errors import PlanError
from mindspore_gs.graph import trace
from mindspore_gs.report import compare
from tests import networks
from tests.helpers import masked, parameter_count, randomise, same_state, state

LAYER_MACS = {  # network -> MACs of each layer for one 8x8 image
    "chain": (networks.Chain, {"conv1.weight": 64 * 6 * 3 * 9, "conv2.weight": 64 * 8 * 6 * 9,
                               "conv3.weight": 64 * 4 * 8 * 9}),
    "strides": (networks.Projection, {"stem.weight": 64 * 6 * 3 * 9, "a.weight": 16 * 5 * 6 * 9,
                                      "b.weight": 16 * 8 * 5 * 9, "short.0.weight": 16 * 8 * 6, "fc.weight": 8 * 4}),
    "depthwise": (networks.Depthwise, {"stem.weight": 64 * 6 * 3 * 9, "dw.weight": 64 * 6 * 9, "pw.weight": 64 * 8 * 6,
                                       "fc.weight": 8 * 4}),
    "grouped": (networks.Grouped, {"stem.weight": 64 * 8 * 3 * 9, "g.weight": 64 * 12 * 4 * 9,
                                   "last.weight": 64 * 4 * 12}),
    "called twice": (networks.Twice, {"stem.weight": 64 * 8 * 27, "conv.weight": 2 * 64 * 8 * 72,
                                      "mid.weight": 64 * 6 * 72, "last.weight": 64 * 4 * 6}),
}


@pytest.mark.parametrize("build, expected", LAYER_MACS.values(), ids=LAYER_MACS)
@pytest.mark.parametrize("batch", [1, 3])
def test_macs_for_one_sample(build, expected, batch):
    assert layer_macs(trace(build(), (batch, 3, 8, 8)).graph) == expected


@pytest.mark.parametrize("build", [networks.Long, networks.Options, networks.Gate, networks.SharedWeight],
                         ids=["long", "options", "gate", "shared"])
def test_parameters_without_moving_statistics(build):
    net = build()
    assert count_parameters(trace(net, (1, 3, 8, 8)).graph) == parameter_count(net)


def test_a_masked_network_against_its_slim_version(capsys):
    net = masked(randomise(networks.Chain()), 0.5)
    before = state(net)
    report = PrunerFtCompressAlgo().summary(net)
    assert same_state(before, state(net))
    assert [(r.layer, r.channels) for r in report.rows] == [("conv1", (6, 6)), ("conv2", (4, 8)), ("conv3", (4, 4))]
    assert [r.params for r in report.rows] == [(162, 162), (216, 432), (144, 288)]
    assert [r.macs for r in report.rows] == [(64 * 162, 64 * 162), (64 * 216, 64 * 432), (64 * 144, 64 * 288)]
    assert (report.params_before, report.params_after) == (162 + 432 + 288 + 4 + 12 + 16, 162 + 216 + 144 + 4 + 12 + 8)
    assert (report.macs_before, report.macs_after) == (64 * 882, 64 * 522)
    assert report.macs_ratio == 522 / 882 and report.params_ratio == 546 / 914
    assert report.input_shapes == ((1, 3, 8, 8),)
    table = capsys.readouterr().out
    for text in ("conv2", "4/8", "216 / 432", "33,408 / 56,448 (59.2%)", "546 / 914 (59.7%)", "(1, 3, 8, 8)"):
        assert text in table


@pytest.mark.parametrize("residual", ["keep", "couple"])
def test_the_report_agrees_with_the_slim_network(residual, capsys):
    net = masked(randomise(networks.Long()), 0.45, residual=residual)
    ft = PrunerFtCompressAlgo()
    report, small = ft.summary(net), ft.convert(net)
    assert report.params_after == parameter_count(small)
    assert report.params_before == parameter_count(networks.Long())
    assert len(report.rows) == 9 and sum(r.macs[0] for r in report.rows) == report.macs_after
    again = summary(networks.Long(), small)
    assert again == report
    assert summary(networks.Long(), small, (1, 3, 16, 16)).macs_before > 3 * report.macs_before


def test_what_would_be_faster_is_said():
    """Odd widths and copies are counted; a network that has neither gets no hint."""
    net = randomise(networks.Long())
    small = PrunerFtCompressAlgo().convert(masked(net, residual="keep"))
    report = summary(net, small, (1, 3, 8, 8))
    odd = sum(row.channels[0] < row.channels[1] and row.channels[0] % 8 > 0 for row in report.rows)
    assert report.gathers > 0 and report.hint is not None
    assert f"{report.gathers} layers need a copy to put their channels back" in report.hint
    assert (f"{odd} of " in report.hint) == (odd > 0) and 'residual="couple"' in report.hint
    assert summary(net, net, (1, 3, 8, 8)).hint is None


def test_json():
    report = summary(nn.Conv2d(3, 8, 1), nn.Conv2d(3, 4, 1), (1, 3, 10, 10))
    document = json.loads(report.to_json())
    assert document == {"rows": [{"layer": "", "channels": [4, 8], "params": [12, 24], "macs": [1200, 2400]}],
                        "params_before": 24, "params_after": 12, "macs_before": 2400, "macs_after": 1200,
                        "input_shapes": [[1, 3, 10, 10]], "gathers": 0}


class Summed(nn.Cell):
    """Nothing in it multiplies and adds."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 4)

    def construct(self, indices):
        return ops.relu(self.table(indices)).sum(-1)


def test_a_network_without_macs():
    indices = ops.zeros((1, 5), ms.int32)
    report = compare(trace(Summed(), indices), trace(Summed(), indices))
    assert (report.macs_before, report.macs_ratio) == (0, 1.0)


def test_a_summary_of_masks_that_contradict_each_other_is_refused():
    net = PrunerKfCompressAlgo(input_shape=(1, 3, 8, 8), residual="couple").apply(randomise(networks.Long()))
    net.stem.out_index = [0, 1]
    with pytest.raises(PlanError, match="the masks of stem, layer1.0.conv2 differ"):
        PrunerFtCompressAlgo()._recover_conv(net)
