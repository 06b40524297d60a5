"""Small networks of a dozen tasks, written after the papers that introduced them."""

from collections.abc import Callable

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, **options) -> nn.SequentialCell:
    """Convolution, BatchNorm and ReLU."""
    return nn.SequentialCell(nn.Conv2d(inputs, outputs, kernel, stride, pad_mode="same", **options),
                             nn.BatchNorm2d(outputs), nn.ReLU())


class UNet(nn.Cell):
    """Contracting path, expanding path, and what both know side by side. Source: Ronneberger et al., MICCAI 2015."""

    def __init__(self, width: int = 8, classes: int = 3):
        super().__init__()
        widths = [width, 2 * width, 4 * width]
        self.down = nn.CellList([nn.SequentialCell(conv(a, b), conv(b, b)) for a, b in zip([3, *widths], widths)])
        self.pool = nn.MaxPool2d(2, 2)
        self.up = nn.CellList([nn.Conv2dTranspose(2 * b, b, 2, 2, pad_mode="valid", has_bias=True)
                               for b in (2 * width, width)])
        self.join = nn.CellList([nn.SequentialCell(conv(2 * b, b), conv(b, b)) for b in (2 * width, width)])
        self.head = nn.Conv2d(width, classes, 1, has_bias=True)

    def construct(self, x):
        first = self.down[0](x)
        second = self.down[1](self.pool(first))
        x = self.down[2](self.pool(second))
        x = self.join[0](ops.concat((second, self.up[0](x)), 1))
        x = self.join[1](ops.concat((first, self.up[1](x)), 1))
        return self.head(x)


class Residual(nn.Cell):
    """Two convolutions around which the input goes on."""

    def __init__(self, width: int, stride: int = 1, inputs: int | None = None):
        super().__init__()
        inputs = inputs or width
        self.body = nn.SequentialCell(conv(inputs, width, 3, stride),
                                      nn.Conv2d(width, width, 3, pad_mode="same"), nn.BatchNorm2d(width))
        self.short = nn.SequentialCell()
        if stride > 1 or inputs != width:
            self.short = nn.SequentialCell(nn.Conv2d(inputs, width, 1, stride), nn.BatchNorm2d(width))

    def construct(self, x):
        return ops.relu(self.body(x) + self.short(x))


class FeaturePyramid(nn.Cell):
    """Detector with one head for all levels. Sources: Lin et al., CVPR 2017; Lin et al. (RetinaNet), ICCV 2017."""

    def __init__(self, width: int = 8, classes: int = 4, anchors: int = 2):
        super().__init__()
        self.classes = classes
        self.stem = conv(3, width, 3, 2)
        self.stages = nn.CellList([Residual(width * 2 ** k, 2, width * 2 ** max(k - 1, 0)) for k in range(3)])
        self.lateral = nn.CellList([nn.Conv2d(width * 2 ** k, 12, 1) for k in range(3)])
        self.smooth = nn.CellList([nn.Conv2d(12, 12, 3, pad_mode="same") for _ in range(3)])
        self.tower = nn.SequentialCell(nn.Conv2d(12, 12, 3, pad_mode="same", has_bias=True), nn.ReLU(),
                                       nn.Conv2d(12, 12, 3, pad_mode="same", has_bias=True), nn.ReLU())
        self.boxes = nn.Conv2d(12, 4 * anchors, 3, pad_mode="same", has_bias=True)
        self.scores = nn.Conv2d(12, classes * anchors, 3, pad_mode="same", has_bias=True)

    def construct(self, x):
        x = self.stem(x)
        levels = []
        for stage, lateral in zip(self.stages, self.lateral):
            x = stage(x)
            levels.append(lateral(x))
        for k in (1, 0):
            larger = ops.interpolate(levels[k + 1], size=levels[k].shape[2:], mode="nearest")
            levels[k] = levels[k] + larger
        boxes, scores = [], []
        for level, smooth in zip(levels, self.smooth):
            tower = self.tower(smooth(level))
            boxes.append(self.boxes(tower).transpose(0, 2, 3, 1).reshape(x.shape[0], -1, 4))
            scores.append(self.scores(tower).transpose(0, 2, 3, 1).reshape(x.shape[0], -1, self.classes))
        return ops.concat(boxes, 1), ops.sigmoid(ops.concat(scores, 1))


class SRResNet(nn.Cell):
    """Twice the resolution by a pixel shuffle, PReLU with a slope for each channel. Source: Ledig et al., CVPR 2017."""

    def __init__(self, width: int = 8, blocks: int = 2):
        super().__init__()
        self.head = nn.SequentialCell(nn.Conv2d(3, width, 9, pad_mode="same", has_bias=True), nn.PReLU(width))
        self.blocks = nn.SequentialCell(*[_SuperBlock(width) for _ in range(blocks)])
        self.after = nn.SequentialCell(nn.Conv2d(width, width, 3, pad_mode="same"), nn.BatchNorm2d(width))
        self.up = nn.SequentialCell(nn.Conv2d(width, 4 * width, 3, pad_mode="same", has_bias=True),
                                    nn.PixelShuffle(2), nn.PReLU(width))
        self.tail = nn.Conv2d(width, 3, 9, pad_mode="same", has_bias=True)

    def construct(self, x):
        x = self.head(x)
        return self.tail(self.up(x + self.after(self.blocks(x))))


class _SuperBlock(nn.Cell):
    def __init__(self, width: int):
        super().__init__()
        self.body = nn.SequentialCell(nn.Conv2d(width, width, 3, pad_mode="same"), nn.BatchNorm2d(width),
                                      nn.PReLU(width), nn.Conv2d(width, width, 3, pad_mode="same"),
                                      nn.BatchNorm2d(width))

    def construct(self, x):
        return x + self.body(x)


class Generator(nn.Cell):
    """From noise to an image by transposed convolutions (DCGAN). Source: Radford et al., ICLR 2016."""

    def __init__(self, noise: int = 10, width: int = 8):
        super().__init__()
        self.project = nn.Conv2dTranspose(noise, 4 * width, 4, 1, pad_mode="valid")
        self.first = nn.BatchNorm2d(4 * width)
        self.middle = nn.SequentialCell(
            nn.Conv2dTranspose(4 * width, 2 * width, 4, 2, pad_mode="pad", padding=1), nn.BatchNorm2d(2 * width),
            nn.ReLU(), nn.Conv2dTranspose(2 * width, width, 4, 2, pad_mode="pad", padding=1), nn.BatchNorm2d(width),
            nn.ReLU())
        self.last = nn.Conv2dTranspose(width, 3, 4, 2, pad_mode="pad", padding=1)

    def construct(self, z):
        x = ops.relu(self.first(self.project(z.reshape(z.shape[0], -1, 1, 1))))
        return ops.tanh(self.last(self.middle(x)))


class Pix2Pix(nn.Cell):
    """A generator with skips and the patch discriminator that judges it. Source: Isola et al., CVPR 2017."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.down1 = nn.Conv2d(3, width, 4, 2, pad_mode="pad", padding=1, has_bias=True)
        self.down2 = nn.Conv2d(width, 2 * width, 4, 2, pad_mode="pad", padding=1)
        self.norm2 = nn.BatchNorm2d(2 * width)
        self.up2 = nn.Conv2dTranspose(2 * width, width, 4, 2, pad_mode="pad", padding=1)
        self.norm1 = nn.BatchNorm2d(width)
        self.up1 = nn.Conv2dTranspose(2 * width, 3, 4, 2, pad_mode="pad", padding=1, has_bias=True)
        self.judge = nn.SequentialCell(
            nn.Conv2d(6, width, 4, 2, pad_mode="pad", padding=1, has_bias=True), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, pad_mode="pad", padding=1), nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2), nn.Conv2d(2 * width, 1, 4, 1, pad_mode="pad", padding=1, has_bias=True))
        self.leaky = nn.LeakyReLU(0.2)

    def construct(self, x):
        first = self.down1(x)
        second = self.norm2(self.down2(self.leaky(first)))
        up = self.norm1(self.up2(ops.relu(second)))
        fake = ops.tanh(self.up1(ops.relu(ops.concat((up, first), 1))))
        return fake, self.judge(ops.concat((x, fake), 1))


class Temporal(nn.Cell):
    """Causal convolutions whose dilation doubles (TCN). Source: Bai et al., 2018."""

    def __init__(self, width: int = 8, classes: int = 4):
        super().__init__()
        self.blocks = nn.SequentialCell(*[_Causal(a, width, 2 ** k) for k, a in enumerate((3, width, width))])
        self.head = nn.Dense(width, classes)

    def construct(self, x):
        return self.head(self.blocks(x)[:, :, -1])


class _Causal(nn.Cell):
    def __init__(self, inputs: int, width: int, dilation: int):
        super().__init__()
        self.padding = 2 * dilation
        options = {"pad_mode": "pad", "padding": self.padding, "dilation": dilation, "has_bias": True}
        self.conv1 = nn.Conv1d(inputs, width, 3, **options)
        self.conv2 = nn.Conv1d(width, width, 3, **options)
        self.short = nn.Conv1d(inputs, width, 1, has_bias=True) if inputs != width else None

    def construct(self, x):
        y = ops.relu(self.conv1(x)[:, :, :-self.padding])
        y = ops.relu(self.conv2(y)[:, :, :-self.padding])
        return ops.relu(y + (x if self.short is None else self.short(x)))


class C3D(nn.Cell):
    """Convolutions over time and space. Source: Tran et al., ICCV 2015."""

    def __init__(self, width: int = 6, classes: int = 4):
        super().__init__()
        self.features = nn.SequentialCell(
            nn.Conv3d(3, width, 3, pad_mode="same", has_bias=True), nn.ReLU(), nn.MaxPool3d((1, 2, 2), (1, 2, 2)),
            nn.Conv3d(width, 2 * width, 3, pad_mode="same", has_bias=True), nn.ReLU(), nn.MaxPool3d(2, 2),
            nn.Conv3d(2 * width, 2 * width, 3, pad_mode="same", has_bias=True), nn.ReLU())
        self.hidden = nn.Dense(2 * width * 2 * 3 * 3, 16)
        self.head = nn.Dense(16, classes)

    def construct(self, x):
        x = self.features(x)
        return self.head(ops.relu(self.hidden(x.reshape(x.shape[0], -1))))


class Siamese(nn.Cell):
    """One branch for template and image, compared by a correlation. Source: Bertinetto et al. (SiamFC), ECCV 2016."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.branch = nn.SequentialCell(nn.Conv2d(3, width, 3, 2, pad_mode="valid"), nn.BatchNorm2d(width), nn.ReLU(),
                                        nn.Conv2d(width, 2 * width, 3, pad_mode="valid"), nn.BatchNorm2d(2 * width),
                                        nn.ReLU(), nn.Conv2d(2 * width, 2 * width, 3, pad_mode="valid"))

    def construct(self, template, image):
        kernel, features = self.branch(template), self.branch(image)
        batch, channels, height, wide = kernel.shape
        joined = features.reshape(1, batch * channels, features.shape[2], features.shape[3])
        response = ops.conv2d(joined, kernel, groups=batch, pad_mode="valid")
        return response.transpose(1, 0, 2, 3)


class DenseSiamese(nn.Cell):
    """Template and image compared by a matrix product of their features."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.branch = nn.SequentialCell(conv(3, width, 3, 2), conv(width, 2 * width))

    def construct(self, template, image):
        kernel, features = self.branch(template), self.branch(image)
        kernel = kernel.reshape(*kernel.shape[:2], -1).transpose(0, 2, 1)
        return ops.matmul(kernel, features.reshape(*features.shape[:2], -1))


class CRNN(nn.Cell):
    """Columns of a feature map, read by a recurrent network. Source: Shi et al., TPAMI 2017."""

    def __init__(self, width: int = 8, classes: int = 6):
        super().__init__()
        self.features = nn.SequentialCell(conv(1, width), nn.MaxPool2d(2, 2), conv(width, 2 * width),
                                          nn.MaxPool2d((2, 1), (2, 1)), conv(2 * width, 2 * width),
                                          nn.MaxPool2d((4, 1), (4, 1)))
        self.read = nn.LSTM(2 * width, 7, bidirectional=True, batch_first=True)
        self.head = nn.Dense(14, classes)

    def construct(self, x):
        columns = self.features(x).squeeze(2).transpose(0, 2, 1)
        return self.head(self.read(columns)[0])


class Hourglass(nn.Cell):
    """Down and up again with skips, twice, supervised in between. Source: Newell et al., ECCV 2016."""

    def __init__(self, width: int = 8, joints: int = 3, stacks: int = 2, depth: int = 2):
        super().__init__()
        self.stem = conv(3, width, 3, 2)
        self.glasses = nn.CellList([_Glass(width, depth) for _ in range(stacks)])
        self.heads = nn.CellList([nn.Conv2d(width, joints, 1, has_bias=True) for _ in range(stacks)])
        self.merge = nn.CellList([nn.Conv2d(joints, width, 1) for _ in range(stacks)])

    def construct(self, x):
        x, maps = self.stem(x), ()
        for glass, head, merge in zip(self.glasses, self.heads, self.merge):
            y = glass(x)
            heat = head(y)
            maps += (heat,)
            x = x + y + merge(heat)
        return maps


class _Glass(nn.Cell):
    def __init__(self, width: int, depth: int):
        super().__init__()
        self.skip, self.pool = Residual(width), nn.MaxPool2d(2, 2)
        self.low = Residual(width)
        self.inner = _Glass(width, depth - 1) if depth > 1 else Residual(width)
        self.up = Residual(width)

    def construct(self, x):
        low = self.up(self.inner(self.low(self.pool(x))))
        return self.skip(x) + ops.interpolate(low, size=x.shape[2:], mode="nearest")


class ConvLSTM(nn.Cell):
    """A recurrent network whose state is a feature map. Source: Shi et al., NeurIPS 2015."""

    def __init__(self, width: int = 6):
        super().__init__()
        self.width = width
        self.encode = conv(1, width)
        self.gates = nn.Conv2d(2 * width, 4 * width, 3, pad_mode="same", has_bias=True)
        self.decode = nn.Conv2d(width, 1, 3, pad_mode="same", has_bias=True)

    def construct(self, x):
        hidden = memory = None
        for k in range(x.shape[1]):
            frame = self.encode(x[:, k:k + 1])
            hidden = ops.zeros_like(frame) if hidden is None else hidden
            memory = ops.zeros_like(frame) if memory is None else memory
            enter, forget, leave, new = ops.chunk(self.gates(ops.concat((frame, hidden), 1)), 4, axis=1)
            memory = ops.sigmoid(forget) * memory + ops.sigmoid(enter) * ops.tanh(new)
            hidden = ops.sigmoid(leave) * ops.tanh(memory)
        return self.decode(hidden)


class PointNet(nn.Cell):
    """Points that a small network of their own turns first, then a maximum. Source: Qi et al., CVPR 2017."""

    def __init__(self, width: int = 8, classes: int = 5):
        super().__init__()
        self.turn = nn.SequentialCell(_point(3, width), _point(width, 2 * width))
        self.matrix = nn.SequentialCell(nn.Dense(2 * width, width), nn.ReLU(), nn.Dense(width, 9))
        self.points = nn.SequentialCell(_point(3, width), _point(width, 4 * width))
        self.head = nn.SequentialCell(nn.Dense(4 * width, 2 * width), nn.BatchNorm1d(2 * width), nn.ReLU(),
                                      nn.Dropout(p=0.3), nn.Dense(2 * width, classes))
        self.straight = Parameter(Tensor(np.eye(3).reshape(1, 9), ms.float32), requires_grad=False)

    def construct(self, x):
        turn = self.matrix(self.turn(x).max(axis=2)) + self.straight
        x = ops.bmm(turn.reshape(-1, 3, 3), x)
        return self.head(self.points(x).max(axis=2))


def _point(inputs: int, outputs: int) -> nn.SequentialCell:
    return nn.SequentialCell(nn.Conv1d(inputs, outputs, 1, has_bias=True), _Norm1d(outputs), nn.ReLU())


class _Norm1d(nn.Cell):
    """BatchNorm over (batch, channels, points): as a map of height one, which MindSpore's operator takes."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(width)

    def construct(self, x):
        return self.norm(x.expand_dims(2)).squeeze(2)


# name: (task, how it is made, shape of each input without the batch)
TASKS: dict[str, tuple[str, Callable[[], nn.Cell], tuple[tuple[int, ...], ...]]] = {
    "unet": ("segmentation", UNet, ((3, 24, 24),)),
    "feature_pyramid": ("detection", FeaturePyramid, ((3, 64, 64),)),
    "srresnet": ("restoration", SRResNet, ((3, 12, 12),)),
    "dcgan": ("generation", Generator, ((10,),)),
    "pix2pix": ("generation", Pix2Pix, ((3, 16, 16),)),
    "tcn": ("sequences", Temporal, ((3, 20),)),
    "c3d": ("video", C3D, ((3, 4, 12, 12),)),
    "siamese": ("tracking", Siamese, ((3, 11, 11), (3, 23, 23))),
    "dense_siamese": ("tracking", DenseSiamese, ((3, 8, 8), (3, 16, 16))),
    "crnn": ("text", CRNN, ((1, 16, 24),)),
    "hourglass": ("pose", Hourglass, ((3, 32, 32),)),
    "convlstm": ("video", ConvLSTM, ((3, 12, 12),)),
    "pointnet": ("points", PointNet, ((3, 32),)),
}
