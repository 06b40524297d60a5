"""``residual="keep"`` behind dense layers: their channels lie along the last axis, whatever stands in front of it."""

import numpy as np
import pytest
from mindspore import nn, ops

from mindspore_gs import export_mindir, export_onnx, load_pruned, prune, save_pruned
from tests.helpers import image, randomise


class Tokens(nn.Cell):
    """A residual stream of dense layers; with ``mix``, a second one along the tokens, as in an MLP-Mixer."""

    def __init__(self, mix=False):
        super().__init__()
        self.enter = nn.Dense(12, 16)
        self.mix = nn.SequentialCell(nn.Dense(7, 10), nn.GELU(), nn.Dense(10, 7)) if mix else None
        self.up, self.down = nn.Dense(16, 40), nn.Dense(40, 16)
        self.head = nn.Dense(16, 5)

    def construct(self, x):
        x = self.enter(x)
        if self.mix is not None:
            x = x + self.mix(x.swapaxes(1, 2)).swapaxes(1, 2)
        x = x + self.down(ops.relu(self.up(x)))
        return self.head(x)


@pytest.mark.parametrize("shape", [(2, 12), (2, 7, 12), (2, 3, 7, 12)], ids=str)
def test_each_dense_layer_loses_channels_by_itself(shape, tmp_path):
    net = randomise(Tokens())
    small = prune(net, prune_rate=0.5, inputs=shape, residual="keep")
    assert small.enter[0].weight.shape == (8, 12) and small.down[0].weight.shape == (8, 20)
    assert small.up.weight.shape == (20, 16)
    again = prune(small, prune_rate=0.5, inputs=shape, residual="keep")
    assert again.down[0].weight.shape == (4, 10) and again.down[1].size == 16
    save_pruned(again, str(tmp_path / "again.ckpt"))
    x = image(*shape)
    loaded = load_pruned(Tokens, str(tmp_path / "again.ckpt"))
    np.testing.assert_array_equal(loaded.set_train(False)(x).asnumpy(), again.set_train(False)(x).asnumpy())
    export_mindir(again, shape, str(tmp_path / "again"))
    export_onnx(again, shape, str(tmp_path / "again"))


def test_layers_that_mix_tokens():
    small = prune(randomise(Tokens(mix=True)), prune_rate=0.5, inputs=(2, 7, 12), residual="keep")
    assert small.mix[2][0].weight.shape == (4, 5) and small.mix[2][1].size == 7
