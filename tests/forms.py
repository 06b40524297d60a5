"""Other ways to write the same: operators of mint, gates that are expanded, weights that are transposed."""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, mint, nn, ops

from tests.networks import Between, conv3


class Permuted(Between):
    """Axes and positions moved by operators of mint, which MindIR calls views."""

    def between(self, x):
        x = mint.transpose(mint.permute(ops.relu(x), (0, 2, 3, 1)), 1, 3)
        x = mint.squeeze(mint.unsqueeze(mint.transpose(x, 2, 3), 2), 2)
        rows = mint.unbind(x, 2)
        return mint.narrow(x, 2, 1, 6) + mint.unsqueeze(mint.select(x, 2, 0) + rows[1], 2)


class Extreme(Between):
    """The largest of each row and functions that are zero at zero, by mint."""

    def between(self, x):
        x = ops.relu(x)
        top = mint.max(x, 3, keepdim=True)[0]
        return mint.lerp(ops.sinh(x / 9), ops.nan_to_num(x) * top, 0.25) + ops.addcdiv(x, x, ops.ones_like(x), 0.5)


class Gated(Between):
    """Half of the channels open and close the other half, then the groups are shuffled."""

    def __init__(self):
        super().__init__(4)

    def between(self, x):
        return ops.channel_shuffle(mint.nn.functional.glu(x, 1), 2)


class Thresholded(Between):
    """What is small becomes zero."""

    def __init__(self):
        super().__init__()
        self.threshold = nn.Threshold(0.1, 0.0)

    def between(self, x):
        return self.threshold(x)


class Noisy(Between):
    """Each entry is multiplied by a number that is drawn for it; here always by the same."""

    def __init__(self):
        super().__init__()
        self.slope = nn.RReLU(0.1, 0.1)

    def between(self, x):
        return self.slope(x)


class Expanded(Between):
    """A spatial gate that is written out for each channel before it is multiplied (BAM)."""

    def __init__(self, how):
        super().__init__(16 if how == "cat" else 8)
        self.how, self.gate = how, nn.Conv2d(8, 1, 1)

    def between(self, x):
        x = ops.relu(x)
        gate = ops.sigmoid(self.gate(x))
        if self.how == "expand_as":
            return x * (2 * gate.expand_as(x) + 1)
        if self.how == "broadcast_to":
            return (x.permute(0, 2, 3, 1) * ops.broadcast_to(gate, x.shape).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        if self.how == "tile":
            return x * ops.tile(gate, (1, x.shape[1], 1, 1))
        if self.how == "repeat":
            return x * ops.repeat_interleave(gate, x.shape[1], 1)
        if self.how == "number":
            return x * ops.broadcast_to(gate, (-1, 8, -1, -1))
        if self.how == "added":
            return x + gate.expand_as(x)
        return ops.cat((x, gate.expand_as(x)), 1)


class ExpandedNumber(Between):
    """A parameter without axes that is written out for each entry (AECR-Net)."""

    def __init__(self):
        super().__init__()
        self.share = Parameter(Tensor(0.3, ms.float32), name="share")

    def between(self, x):
        x, share = ops.relu(x), ops.sigmoid(self.share)
        return x * share.expand_as(x) + ops.tanh(x) * (1 - share.expand_as(x))


class ReadFromTheRight(nn.Cell):
    """Dense layers whose weights are parameters, transposed in the code, with a sum over what they share."""

    def __init__(self):
        super().__init__()
        shapes = {"first": (12, 6), "second": (10, 12), "third": (8, 10)}
        for name, shape in shapes.items():
            setattr(self, name, ms.Parameter(ms.Tensor(np.ones(shape, np.float32)), name=name))
        self.bias, self.last = ms.Parameter(ms.Tensor(np.ones(12, np.float32)), name="bias"), nn.Dense(8, 3)

    def construct(self, x):
        x = ops.relu(ops.matmul(x, self.first.T) + self.bias)
        x = ops.relu(ops.matmul(x, self.second.swapaxes(0, 1)))
        return self.last(ops.relu(mint.matmul(x, mint.transpose(self.third, 0, 1))))


class ReadTwice(nn.Cell):
    """A transposed weight that more than a product reads."""

    def __init__(self):
        super().__init__()
        self.weight = ms.Parameter(ms.Tensor(np.ones((12, 6), np.float32)), name="weight")
        self.last = nn.Dense(12, 3)

    def construct(self, x):
        turned = self.weight.T
        return self.last(ops.relu(ops.matmul(x, turned))) + turned.max()


class DividedAndAdded(nn.Cell):
    """A parameter divides one layer's output, and is added to another's: masked, it would divide by zero."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.last = conv3(3, 8), conv3(3, 8), nn.Conv2d(8, 4, 1)
        self.spread = ms.Parameter(ms.Tensor(np.linspace(1, 2, 8).reshape(1, 8, 1, 1), ms.float32), name="spread")

    def construct(self, x):
        return self.last(self.left(x) / self.spread + ops.relu(self.right(x) + self.spread))


class Ranked(Between):
    """The largest two of the channels at each place; mint has the axis behind the number."""

    def __init__(self):
        super().__init__(2)

    def between(self, x):
        return mint.topk(x, 2, 1)[0]


class RankedInRows(Between):
    """The largest two of each row, by mint."""

    def between(self, x):
        return mint.topk(ops.relu(x), 2, 3)[0]


class OnTheSphere(Between):
    """Each place's channels are divided by their length, and gated by another length (SSD, cosine heads)."""

    def __init__(self):
        super().__init__()
        self.normalise, self.length = ops.L2Normalize(axis=1), ops.LpNorm(axis=1, keep_dims=True)

    def between(self, x):
        x = ops.relu(x)
        return self.normalise(x) + x * self.length(x)


class OnTheSphereBehindSigmoid(Between):
    """The same where a masked channel is one half."""

    def __init__(self):
        super().__init__()
        self.normalise = ops.L2Normalize(axis=1)

    def between(self, x):
        return self.normalise(ops.sigmoid(x))


class LengthOverChannels(Between):
    """A norm by mint, which has the axis behind the order."""

    def between(self, x):
        return x * mint.norm(x, 2, 1, True)


class Pooled(nn.Cell):
    """Statistics of each channel (speaker recognition): the mean, and the standard deviation in some form."""

    def __init__(self, how):
        super().__init__()
        self.how, self.conv, self.bn, self.last = how, conv3(3, 8), nn.BatchNorm2d(8), nn.Dense(16, 4)

    def construct(self, x):
        x = self.bn(self.conv(x))
        if self.how == "root":
            spread = ops.sqrt((x * x).mean((2, 3)))
        elif self.how == "power":
            spread = ops.pow(x.var((2, 3)), 0.5)
        elif self.how == "hypotenuse":
            spread = ops.hypot(x, ops.relu(x)).mean((2, 3))
        elif self.how == "angle":
            spread = (x * ops.atan2(x, ops.relu(x))).mean((2, 3))
        elif self.how == "running product":
            spread = ops.cumprod(x.mean(3), 2).mean(2)
        elif self.how == "safe":
            spread = ops.sqrt(x.var((2, 3)) + 1e-5) - 1e-5 ** 0.5
        else:
            spread = ops.std(x, (2, 3))
        return self.last(ops.cat((ops.relu(x).mean((2, 3)), spread), 1))
