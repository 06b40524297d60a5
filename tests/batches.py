"""Networks in which the samples of a batch lie in unusual places. All take images of 3 channels and 8x8 pixels."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from tests.networks import conv3


class Features(nn.Cell):
    """Two convolutions with BatchNorm; subclasses say what becomes of the features."""

    pairs = {"conv": "bn", "conv2": "bn2"}

    def __init__(self):
        super().__init__()
        self.conv, self.bn = conv3(3, 6, 2), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = conv3(6, 5), nn.BatchNorm2d(5)
        self.head = nn.Dense(5, 4)

    def features(self, x):
        x = ops.relu(self.bn(self.conv(x)))
        return ops.relu(self.bn2(self.conv2(x)))

    def embed(self, x):
        return self.head(self.features(x).mean((2, 3)))

    def construct(self, x):
        return self.embed(x)


class TimeMajor(Features):
    """(width, N, channels), as for CTC."""

    def construct(self, x):
        return self.features(x).mean(2).transpose(2, 0, 1)


class Stacked(Features):
    """Two heads in front of the batch, and the batch on the last axis."""

    def construct(self, x):
        y = self.embed(x)
        return ops.stack((y, y * y), 0), y.transpose(1, 0)


class Pixels(Features):
    """Pixels merged with the batch: sample by sample, and pixel by pixel."""

    def construct(self, x):
        y = self.features(x)
        return y.transpose(0, 2, 3, 1).reshape(-1, 5), y.transpose(2, 3, 0, 1).reshape(-1, 5)


class Nested(Features):
    """Dicts, lists and tuples in each other, and what is no tensor."""

    def construct(self, x):
        y = self.embed(x)
        return {"class": y, "more": [y + 1, (self.features(x), {"twice": 2 * y})]}


class Views(Features):
    """Two views, concatenated along the batch, and taken apart again."""

    def construct(self, x, v):
        y = self.embed(ops.concat((x, v), 0))
        return y[:x.shape[0]], y[x.shape[0]:]


class JoinedViews(Features):
    """Three views, concatenated along the batch; so is the output."""

    def construct(self, x):
        return self.embed(ops.concat((x, x[:, :, ::-1], 0.5 * x), 0))


class Similarity(Features):
    """How alike the samples are: N x N, and sums of it over neighbours in a 2N x 2N matrix."""

    def construct(self, x):
        y = self.embed(x)
        both = ops.concat((y, y * y), 0)
        return ops.matmul(y, y.T), ops.matmul(both, both.T)


class Frames(Features):
    """Clips (N, frames, 3, 8, 8): frames merged with the batch, sample by sample, and put back."""

    def construct(self, x):
        n, frames = x.shape[0], x.shape[1]
        y = self.embed(x.reshape((n * frames,) + x.shape[2:]))
        return y.reshape((n, frames, -1)).mean(1)


class FramesFirst(Features):
    """Clips (N, frames, 3, 8, 8): frame by frame."""

    def construct(self, x):
        n, frames = x.shape[0], x.shape[1]
        y = self.embed(x.transpose(1, 0, 2, 3, 4).reshape((n * frames,) + x.shape[2:]))
        return y.reshape((frames, n, -1)).mean(0)


class ViewsOfFrames(Features):
    """Clips twice, the second ones mirrored: (view, sample, frame) in one axis."""

    def construct(self, x):
        n, frames = x.shape[0], x.shape[1]
        y = x.reshape((n * frames,) + x.shape[2:])
        y = self.embed(ops.concat((y, y[..., ::-1]), 0))
        return y.reshape((2, n, frames, -1)).mean(2)


class WithConstant(Features):
    """Beside the output what does not depend on the batch: as many anchors as a batch with its knockoffs has rows."""

    def __init__(self):
        super().__init__()
        self.anchors = ms.Parameter(ms.Tensor(np.ones((18, 4), np.float32)), requires_grad=False)

    def construct(self, x):
        return self.embed(x), self.anchors * 1


class MeanLoss(Features):
    """Returns its own loss: the samples are gone."""

    def construct(self, x):
        return (self.embed(x) ** 2).mean()


class Contrast(Features):
    """Each sample against all others in a softmax."""

    def construct(self, x):
        y = self.embed(x)
        return ops.softmax(ops.matmul(y, y.T), 1)


class Pairs(Features):
    """One row for each pair of samples."""

    def construct(self, x):
        y = self.embed(x)
        n = y.shape[0]
        return (y.reshape(n, 1, -1) - y.reshape(1, n, -1)).reshape(n * n, -1)


class AverageFirst(Features):
    """The mean image of the batch is taken off before the convolutions."""

    def construct(self, x):
        return self.embed(x - x.mean(0, True))


class TimesSample(Features):
    """The second convolution reads the batch on its channel axis."""

    def construct(self, x):
        y = self.bn2(self.conv2(ops.ones((1, 6, 4, 4), ms.float32)))
        return self.head(ops.relu(self.bn(self.conv(x))).mean((2, 3))[:, :5]) + self.head(y.mean((2, 3)))


class OnlyEvaluated(Features):
    """The second convolution is computed in evaluation mode only."""

    def construct(self, x):
        y = ops.relu(self.bn(self.conv(x)))
        return y.mean((2, 3)) if self.training else self.bn2(self.conv2(y)).mean((2, 3))


class FixedBatch(Features):
    """Only one sample, or two."""

    def construct(self, x):
        return self.embed(x.reshape(2, -1, 3, 8, 8)[:, 0])
