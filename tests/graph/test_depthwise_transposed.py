"""Upsampling by a transposed convolution with one filter for each channel, as in the necks of CenterNet and its kin."""

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
from mindspore import Tensor, nn, ops

from mindspore_gs import (
    ChannelPruner,
    PrunerFtCompressAlgo,
    PrunerKfCompressAlgo,
    export_mindir,
    export_onnx,
    load_mindir,
    prune,
    summary,
)
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


class Doubled(nn.Cell):
    """An upsampling in groups of several channels, or of one, along one, two or three axes of space."""

    def __init__(self, rank, group, bias=True):
        super().__init__()
        conv, up = ((nn.Conv1d, nn.Conv1dTranspose), (nn.Conv2d, nn.Conv2dTranspose),
                    (nn.Conv3d, nn.Conv3dTranspose))[rank - 1]
        self.stem = conv(2, 8, 3, has_bias=True)
        self.up = up(8, 12 if group < 8 else 8, 3, stride=2, group=group, has_bias=bias)
        self.head = conv(12 if group < 8 else 8, 3, 1)

    def construct(self, x):
        return self.head(ops.relu(self.up(ops.relu(self.stem(x)))))


@pytest.mark.parametrize(("rank", "group", "kept"), [(1, 2, (4, 3)), (2, 4, (4, 2)), (3, 2, (4, 3)), (3, 8, (4, 1))])
def test_groups_keep_the_same_positions(tmp_path, rank, group, kept):
    """Masked, slim, MindIR and ONNX are equal, and each group has lost as many inputs and outputs."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    images = Tensor(np.random.default_rng(0).standard_normal((2, 2, *[4] * rank)).astype(np.float32))
    pruner = ChannelPruner(criterion="random", prune_rate=0.5, input_shape=images)
    masked = pruner.apply(_random(Doubled(rank, group)))
    small = pruner.convert(masked)
    wanted = masked.set_train(False)(images).asnumpy()
    assert small.up.weight.shape[:2] == kept
    assert small.up.group == (4 if group == 8 else group)
    assert (small.up.in_channels, small.up.out_channels) == (kept[0], kept[1] * small.up.group)
    assert relative_difference(small(images).asnumpy(), wanted) < 1e-5
    again = load_mindir(export_mindir(small, images, tmp_path / "small"))
    assert relative_difference(again(images).asnumpy(), wanted) < 1e-5
    session = onnxruntime.InferenceSession(str(export_onnx(small, images, tmp_path / "small")))
    assert relative_difference(session.run(None, {session.get_inputs()[0].name: images.asnumpy()})[0], wanted) < 1e-5


@pytest.mark.parametrize("residual", ["couple", "keep"])
def test_groups_in_a_residual_stream(images, residual):
    """What is added to the same stream loses the same positions of each group; with "keep" the layer stays whole."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    net = _random(Neck(True, group=3))
    small = prune(net, "random", None, images, prune_rate=0.5, residual=residual)
    assert small.up.weight.shape[:2] == ((3, 1) if residual == "couple" else (3, 2))
    assert small.project[0].out_channels == 3
    report = summary(net, small, images.shape)
    assert next(row.channels for row in report.rows if row.layer == "up") == ((3 if residual == "couple" else 6), 6)


def test_groups_that_cannot_be_put_back_say_so(images):
    groups = trace(Neck(True, group=3), images).groups("keep")
    assert [group.blocked_by.reason.name for group in groups if group.members == ("up",)] == ["GROUPED_TRANSPOSED"]
