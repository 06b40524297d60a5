"""One part of the package behind another: pruning, low-bit weights and networks without shortcuts, in any order."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.common.dtype import QuantDtype

from mindspore_gs import (
    ChannelPruner,
    PrunerKfCompressAlgo,
    SlbQuantAwareTraining,
    load_pruned,
    load_quantized,
    prune,
    save_pruned,
    save_quantized,
)
from mindspore_gs.distill import plain_network
from mindspore_gs.errors import CheckpointError, PruningError
from mindspore_gs.record import forms_of

SHAPE = (1, 3, 6, 6)
X = ms.Tensor(np.random.default_rng(0).standard_normal((2, 3, 6, 6)), ms.float32)


class Residual(nn.Cell):
    def __init__(self):
        super().__init__()
        self.stem, self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 2, 1)

    def construct(self, x):
        x = ms.ops.relu(self.stem(x))
        return self.head(x + self.norm(self.conv(x)))


def low_bits(**options):
    return SlbQuantAwareTraining(quant_dtype=[QuantDtype.INT8, QuantDtype.INT2], **options)


def difference(one, other):
    return float(abs(one.set_train(False)(X) - other.set_train(False)(X)).max())


def test_slb_behind_a_network_that_has_run_and_lost_channels():
    """PyNative mode goes on with the shape that a parameter had when it ran."""
    small = prune(Residual(), prune_rate=0.25, inputs=SHAPE)
    slb = low_bits()
    searched = slb.apply(small)
    optimizer = nn.SGD(searched.trainable_params(), 0.1)
    before = [p.asnumpy().copy() for p in searched.trainable_params()]
    loss, gradients = ms.value_and_grad(lambda x: (searched.set_train()(x) ** 2).mean(), None, optimizer.parameters)(X)
    optimizer(gradients)
    assert np.isfinite(float(loss)) and before[0].shape == (6, 3, 3, 3, 4)
    assert all((p.asnumpy() != old).any() for p, old in zip(searched.trainable_params(), before))
    assert difference(searched, slb.convert(searched)) == 0.0


def test_a_shared_weight_is_searched_once_in_a_network_that_has_run():
    net = nn.SequentialCell(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3))
    net[2].weight = net[0].weight
    net(X)
    searched = low_bits().apply(net)
    assert net[2].slb_logits is net[0].slb_logits and len([p for p in searched.trainable_params() if p.ndim == 5]) == 1
    assert searched.set_train()(X).shape == (2, 3, 6, 6)


@pytest.mark.parametrize("residual", ["couple", "keep"])
def test_pruning_behind_slb_leaves_weights_on_the_grid_and_the_file_reloads(tmp_path, residual):
    slb = low_bits()
    small = prune(slb.convert(slb.apply(Residual())), prune_rate=0.5, residual=residual, inputs=SHAPE)
    assert all(len(np.unique(row)) <= 4 for row in small.conv.weight.asnumpy())
    save_pruned(small, tmp_path / "small")
    path = save_quantized(small, tmp_path / "small")
    again = load_quantized(lambda: load_pruned(Residual, tmp_path / "small.ckpt"), path)
    assert difference(again, small) == 0.0


def test_networks_in_between_are_refused_with_the_way_out(tmp_path):
    searched = low_bits().apply(Residual())
    for call in (lambda: prune(searched, inputs=SHAPE), lambda: plain_network(searched, SHAPE)):
        with pytest.raises(PruningError, match=r"convert\(\) of SlbQuantAwareTraining"):
            call()
    with pytest.raises(PruningError, match="convert"):
        save_pruned(low_bits().apply(prune(Residual(), prune_rate=0.5, inputs=SHAPE)), tmp_path / "small")
    kept = prune(Residual(), prune_rate=0.5, residual="keep", inputs=SHAPE)
    with pytest.raises(PruningError, match="was pruned with residual='keep'"):
        plain_network(kept, SHAPE)
    slb = low_bits(enable_act_quant=True)
    rounded = slb.convert(slb.apply(Residual()))
    assert set(forms_of(rounded).values()) == {"rounded"}
    with pytest.raises(PruningError, match="prune the float network first"):
        prune(rounded, inputs=SHAPE)
    with pytest.raises(PruningError, match="weights that are searched by .* of SlbQuantAwareTraining first"):
        PrunerKfCompressAlgo(input_shape=SHAPE).apply(low_bits().apply(Residual()))
    masked = ChannelPruner(prune_rate=0.5, input_shape=SHAPE).apply(low_bits().convert(low_bits().apply(Residual())))
    with pytest.raises(CheckpointError, match="has masks"):
        save_quantized(masked, tmp_path / "masked")


def test_a_file_without_shortcuts_is_not_loaded_into_the_network_with_them(tmp_path):
    plain = plain_network(prune(Residual(), prune_rate=0.5, inputs=SHAPE), SHAPE)
    save_pruned(plain, tmp_path / "plain")
    with pytest.raises(CheckpointError, match="without its shortcuts.*plain_network"):
        load_pruned(Residual, tmp_path / "plain.ckpt")
    again = load_pruned(lambda: plain_network(Residual(), SHAPE), tmp_path / "plain.ckpt")
    assert difference(again, plain) == 0.0


def test_a_file_with_rounding_is_not_loaded_into_the_network_without(tmp_path):
    slb = low_bits(enable_act_quant=True)
    rounded = slb.convert(slb.apply(prune(Residual(), prune_rate=0.5, inputs=SHAPE)))
    save_pruned(rounded, tmp_path / "rounded")
    with pytest.raises(CheckpointError, match="round their inputs.*load_quantized"):
        load_pruned(Residual, tmp_path / "rounded.ckpt")
