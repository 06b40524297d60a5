"""Upsampling by a transposed convolution with one filter for each channel, as in the necks of CenterNet and its kin."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo, export_onnx
from mindspore_gs.graph import trace
from mindspore_gs.slim import relative_difference


class Neck(nn.Cell):
    """Two levels; the deeper one is projected, doubled in size and added."""

    def __init__(self, has_bias=False, group=6):
        super().__init__()
        self.stem = nn.SequentialCell(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.deep = nn.SequentialCell(nn.Conv2d(6, 10, 3, stride=2), nn.BatchNorm2d(10), nn.ReLU())
        self.project = nn.SequentialCell(nn.Conv2d(10, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.up = nn.Conv2dTranspose(6, 6, 4, stride=2, pad_mode="pad", padding=1, group=group, has_bias=has_bias)
        self.norm = nn.BatchNorm2d(6) if has_bias else nn.SequentialCell()
        self.node = nn.SequentialCell(nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Conv2d(8, 4, 1, has_bias=True)

    def construct(self, x):
        fine = self.stem(x)
        coarse = self.norm(self.up(self.project(self.deep(fine))))
        return self.head(self.node(fine + ops.relu(coarse)))


@pytest.fixture(name="images")
def _images():
    return Tensor(np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32))


def _random(net):
    random = np.random.default_rng(1)
    for parameter in net.get_parameters():
        values = random.uniform(0.5, 1.5, parameter.shape) if "variance" in parameter.name else \
            random.standard_normal(parameter.shape)
        parameter.set_data(Tensor(values.astype(np.float32)))
    return net.set_train(False)


@pytest.mark.parametrize(("residual", "has_bias"), [("couple", False), ("couple", True), ("keep", True)])
def test_it_loses_channels_with_what_it_reads(images, residual, has_bias):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    pruner = ChannelPruner(criterion="random", prune_rate=0.5, residual=residual, input_shape=images)
    masked = pruner.apply(_random(Neck(has_bias)))
    small = ChannelPruner().convert(masked)
    if residual == "couple":
        assert small.up.weight.shape[:2] == (3, 1)
        assert (small.up.group, small.up.in_channels, small.up.out_channels) == (3, 3, 3)
    assert small.deep[0].out_channels == 5
    assert relative_difference(small(images).asnumpy(), masked.set_train(False)(images).asnumpy()) < 1e-5


def test_knockoffs_and_onnx(images, tmp_path):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    net = PrunerKfCompressAlgo(input_shape=images, residual="couple").apply(_random(Neck()))
    net.set_train(True)(images)
    small = PrunerFtCompressAlgo().convert(PrunerFtCompressAlgo(prune_rate=0.5).apply(net))
    assert small.up.group == 3
    export_onnx(small, images, str(tmp_path / "small"))


def test_groups_of_several_channels_stay(images):
    blocked = [group.blocked_by for group in trace(Neck(group=3), images).groups() if "project.0" in group.members]
    assert blocked[0].reason.name == "GROUPED_TRANSPOSED"
