"""Maps read at places that data name: the boxes of a second stage, the pixels that a flow points at."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindspore_gs import ChannelPruner, prune
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import trace
from mindspore_gs.slim import relative_difference


class Backbone(nn.Cell):
    def __init__(self):
        super().__init__()
        self.backbone = nn.SequentialCell(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(),
                                          nn.Conv2d(6, 8, 3), nn.ReLU())
        self.head = nn.SequentialCell(nn.Conv2d(8, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 1))


class SecondStage(Backbone):
    """The boxes begin with the index of their image, so random ones do not do."""

    def __init__(self):
        super().__init__()
        self.align = ops.ROIAlign(4, 4, 1.0, 2)

    def construct(self, x, boxes):
        return self.head(self.align(self.backbone(x), boxes))


class Warped(Backbone):
    """Reads each pixel where it was before, as optical flow does."""

    def construct(self, x, moves):
        features = self.backbone(x).transpose(0, 2, 3, 1)
        places = ops.clamp(ops.round(ops.abs(moves)), 0, 7).astype(ms.int32)
        image = ops.zeros_like(places[..., :1])
        return self.head(ops.gather_nd(features, ops.cat((image, places), -1)).transpose(0, 3, 1, 2))


class Pillars(Backbone):
    """Features of points, scattered onto a map whose number of channels an attribute holds (PointPillars)."""

    def __init__(self):
        super().__init__()
        self.channels, self.scatter = 8, ops.ScatterNd()

    def construct(self, x, moves):
        features = self.backbone(x).transpose(0, 2, 3, 1)
        places = ops.clamp(ops.round(ops.abs(moves)), 0, 7).astype(ms.int32)
        places = ops.cat((ops.zeros_like(places[..., :1]), places), -1)
        return self.head(self.scatter(places, features, (x.shape[0], 8, 8, self.channels)).transpose(0, 3, 1, 2))


def _inputs(kind):
    random = np.random.default_rng(0)
    image = Tensor(random.standard_normal((2, 3, 8, 8)).astype(np.float32))
    if kind in (Warped, Pillars):
        return [image, Tensor(random.uniform(0, 7, (2, 8, 8, 2)).astype(np.float32))]
    corners = random.uniform(0, 3, (5, 2)), random.uniform(4, 7, (5, 2))
    return [image, Tensor(np.concatenate([random.integers(0, 2, (5, 1)), *corners], 1).astype(np.float32))]


@pytest.mark.parametrize("kind", [SecondStage, Warped, Pillars], ids=["boxes", "pixels", "points"])
def test_channels_stay_by_themselves(kind):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    inputs = _inputs(kind)
    masked = ChannelPruner(criterion="random", prune_rate=0.5, input_shape=inputs).apply(kind().set_train(False))
    small = ChannelPruner().convert(masked)
    assert (small.backbone[3].out_channels, small.head[0].in_channels) == (4, 4)
    expected, got = masked.set_train(False)(*inputs), small.set_train(False)(*inputs)
    assert relative_difference(got.asnumpy(), expected.asnumpy()) < 1e-5


class Messages(nn.Cell):
    """One round of messages along the edges of a graph."""

    def __init__(self, gather):
        super().__init__()
        self.dense, self.head, self.gather = nn.Dense(5, 8), nn.Dense(8, 3), gather

    def construct(self, nodes, sources, targets):
        messages = ops.gather(ops.relu(self.dense(nodes)), sources, 0)
        return self.head(self.gather(messages, targets, 4))


@pytest.mark.parametrize("gather, reason", [(ops.unsorted_segment_sum, None), (ops.unsorted_segment_max, "NOT_ZERO")],
                         ids=["sum", "max"])
def test_a_sum_over_the_edges_of_a_node_is_zero_where_all_are(gather, reason):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    nodes = Tensor(np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32))
    inputs = [nodes, *(Tensor(np.array(ends, np.int32)) for ends in ([0, 1, 2, 5, 5], [1, 1, 0, 2, 2]))]
    group = next(group for group in trace(Messages(gather), *inputs).groups() if "dense" in group.members)
    assert (group.blocked_by and group.blocked_by.reason.name) == reason
    if reason is None:
        masked = ChannelPruner(criterion="random", prune_rate=0.5, input_shape=inputs).apply(Messages(gather))
        small = ChannelPruner().convert(masked)
        assert small.head.in_channels == 4
        assert relative_difference(small(*inputs).asnumpy(), masked(*inputs).asnumpy()) < 1e-5


def test_what_lies_along_space_does_not_go_through():
    class Pixels(nn.Cell):
        def __init__(self):
            super().__init__()
            self.dense = nn.Dense(5, 6)
            self.head = nn.Dense(3, 2)

        def construct(self, x, places):
            return self.head(ops.gather_nd(self.dense(x), places))

    inputs = [Tensor(np.ones((3, 5), np.float32)), Tensor(np.zeros((4, 3, 2)), ms.int32)]
    group = next(group for group in trace(Pixels(), *inputs).groups() if "dense" in group.members)
    assert group.blocked_by.reason.name == "FIXED_OPERAND"


def test_shapes_alone_do_not_do_for_boxes():
    with pytest.raises(PruningError, match="only shapes were given. Random boxes would crash MindSpore"):
        prune(SecondStage(), inputs=[(2, 3, 8, 8), (5, 5)], prune_rate=0.5)
