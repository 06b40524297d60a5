"""Dense layers that write into a residual stream of tokens: with "keep" each is put back along the last axis."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import ChannelPruner, export_mindir, load_mindir, load_pruned, save_pruned
from mindspore_gs.errors import PlanError
from mindspore_gs.slim import PrunePlan, Restore, RestoreChannels, relative_difference
from tests.helpers import evaluate, image, randomise

SHAPE = (1, 6, 5)


class Mixed(nn.Cell):
    """Around a dense layer tokens go on."""

    def __init__(self, width, hidden):
        super().__init__()
        self.wide, self.narrow = nn.Dense(width, hidden), nn.Dense(hidden, width, has_bias=False)

    def construct(self, x):
        return x + self.narrow(ops.relu(self.wide(x)))


class Tokens(nn.Cell):
    """Tokens of five numbers, two layers, a classifier of their mean."""

    def __init__(self):
        super().__init__()
        self.embed, self.layers = nn.Dense(5, 8), nn.SequentialCell(Mixed(8, 6), Mixed(8, 6))
        self.head = nn.Dense(8, 3)

    def construct(self, x):
        return self.head(self.layers(self.embed(x)).mean(1))


def restores(net):
    return {path: (cell.size, len(cell.indices), cell.axis) for path, cell in net.cells_and_names()
            if isinstance(cell, RestoreChannels)}


def test_two_rounds_and_both_files(tmp_path):
    net, x = randomise(Tokens()), image(3, *SHAPE[1:], seed=7)
    for number, left in ((1, 6), (2, 5)):
        pruner = ChannelPruner(prune_rate=0.25, residual="keep", input_shape=SHAPE)
        masked = pruner.apply(net)
        expected = evaluate(masked, x)
        net = pruner.convert(masked)
        assert relative_difference(evaluate(net, x), expected) <= 1e-5
        assert restores(net) == {f"{path}.1": (8, left, -1)
                                 for path in ("embed", "layers.0.narrow", "layers.1.narrow")}
        file = save_pruned(net, tmp_path / f"round{number}.ckpt")
        assert relative_difference(evaluate(load_pruned(Tokens, file), x), evaluate(net, x)) == 0
        again = load_mindir(export_mindir(net, SHAPE, tmp_path / f"round{number}"))
        one = image(*SHAPE)
        assert relative_difference(again(one), evaluate(net, one)) <= 1e-6


@pytest.mark.parametrize("indices", [(0,), (3,), (1, 2)], ids=str)
def test_channels_on_the_last_axis_are_in_their_place(indices, mode):
    x, cell = image(2, 3, len(indices)), RestoreChannels(4, indices, -1)
    y = cell(x).asnumpy()
    np.testing.assert_array_equal(y[..., list(indices)], x.asnumpy())
    assert y.shape == (2, 3, 4) and (np.delete(y, indices, axis=2) == 0).all()
    weight = image(2, 3, 4, seed=2)

    def forward(x):
        return (cell(x) * weight).sum()

    gradient = ms.grad(forward)(x)
    np.testing.assert_array_equal(gradient.asnumpy(), weight.asnumpy()[..., list(indices)])


def test_a_plan_says_the_axis_only_where_it_is_the_last():
    def text(axis):
        keep = PrunePlan.from_json('{"format": 1, "keeps": [{"parameter": "w", "axis": 0, "size": 4, "indices": 0}], '
                                   '"restores": [], "grouped": {}, "zeros": [], "inputs": [], "lists": [[1, 3]]}').keeps
        return PrunePlan(keep, (Restore("c", 4, (1, 3), axis),)).to_json()

    assert '"axis": -1' in text(-1) and text(1).count('"axis"') == 1
    assert [PrunePlan.from_json(text(axis)).restores[0].axis for axis in (1, -1)] == [1, -1]
    with pytest.raises(PlanError, match="its 'restores' are not as they should be"):
        PrunePlan.from_json(text(2))


def test_an_axis_in_the_middle_is_refused():
    with pytest.raises(ValueError, match="For 'RestoreChannels', the 'axis' must be 1 or -1, but got 2."):
        RestoreChannels(4, (0,), 2)
