"""Networks with cells of ``mindspore.mint.nn``: pruned like those of ``mindspore.nn``, down to the sizes they store.

MindSpore has no kernel for the convolutions and BatchNorms of ``mint.nn`` on a CPU, so of them only the sizes are
tested.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import mint, nn

from mindspore_gs import export_mindir, prune
from mindspore_gs._resize import resize_cell
from mindspore_gs.errors import PruningError
from tests.helpers import randomise

IMAGES = (2, 3, 8, 8)


@pytest.mark.parametrize("middle", [lambda: mint.nn.GroupNorm(4, 16), lambda: mint.nn.PReLU(16)],
                         ids=["group norm", "prelu"])
def test_a_network_of_mint_is_pruned(middle):
    net = randomise(nn.SequentialCell(nn.Conv2d(3, 16, 3), middle(), mint.nn.ReLU(), nn.Conv2d(16, 4, 1)))
    small = prune(net, prune_rate=0.5, inputs=IMAGES)
    assert small[0].weight.shape[0] == small[3].weight.shape[1] == 8
    assert getattr(small[1], "num_channels", 8) == 8


def test_dense_layers_of_mint_and_the_file(tmp_path):
    net = randomise(nn.SequentialCell(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), mint.nn.ReLU(),
                                      nn.AdaptiveAvgPool2d(1), mint.nn.Flatten(), mint.nn.Linear(16, 24),
                                      mint.nn.ReLU(), mint.nn.Linear(24, 5)))
    small = prune(net, prune_rate=0.5, inputs=IMAGES)
    assert (small[5].weight.shape, small[7].weight.shape) == ((12, 8), (5, 12))
    export_mindir(small, IMAGES, str(tmp_path / "mint"))
    images = ms.Tensor(np.random.default_rng(0).standard_normal(IMAGES), ms.float32)
    loaded = nn.GraphCell(ms.load(str(tmp_path / "mint.mindir")))
    np.testing.assert_allclose(loaded(images).asnumpy(), small.set_train(False)(images).asnumpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("cell", "shape", "groups", "sizes"), [
    (lambda: mint.nn.Conv2d(8, 16, 3), (6, 4, 3, 3), None, (4, 6, 1)),
    (lambda: mint.nn.Conv2d(16, 16, 3, groups=16), (6, 1, 3, 3), 6, (6, 6, 6)),
    (lambda: mint.nn.Conv3d(8, 16, 3, groups=2), (6, 4, 3, 3, 3), None, (8, 6, 2)),
    (lambda: mint.nn.ConvTranspose2d(8, 16, 2), (4, 6, 2, 2), None, (4, 6, 1)),
], ids=["plain", "depthwise", "grouped", "transposed"])
def test_the_sizes_of_a_convolution_follow_its_weight(cell, shape, groups, sizes):
    layer = cell()
    layer.weight.set_data(ms.ops.zeros(shape), slice_shape=True)
    resize_cell(layer, groups)
    assert (layer.in_channels, layer.out_channels, layer.groups) == sizes


@pytest.mark.parametrize("kind", ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"])
def test_the_size_of_a_batch_norm_follows(kind):
    layer = getattr(mint.nn, kind)(8)
    for parameter in layer.get_parameters():
        if parameter.shape == (8,):
            parameter.set_data(parameter[:3].copy(), slice_shape=True)
    resize_cell(layer)
    assert layer.num_features == 3


def test_what_has_no_kernel_here_is_refused_with_a_remedy():
    if ms.get_context("device_target") != "CPU":
        pytest.skip("the convolutions of mint.nn run on this device")
    net = nn.SequentialCell(mint.nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1))
    with pytest.raises(PruningError, match="does not have this operator for the present device"):
        prune(net, inputs=IMAGES)
