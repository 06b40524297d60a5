"""Networks that several tests of exported files use."""

import mindspore as ms
from mindspore import nn

from tests import networks


class FixedBatch(nn.Cell):
    """The batch size is in the code."""

    def __init__(self):
        super().__init__()
        self.conv = networks.conv3(3, 4)

    def construct(self, x):
        return self.conv(x).reshape((1, -1)) * ms.ops.ones((1, 4 * 8 * 8))


class Layers(nn.Cell):
    """A number of layers, each on the same input."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.CellList(list(layers))

    def construct(self, x):
        return tuple([layer(x) for layer in self.layers])
