"""Each ONNX rule computes what MindSpore computes, at the traced batch and at another one."""

import mindspore as ms
import pytest
from mindspore import mint, nn, ops

from mindspore_gs import export_onnx
from tests.export.exported import Layers
from tests.export.run_onnx import worst_difference
from tests.helpers import image, randomise

pytest.importorskip("onnxruntime")


class Unary(nn.Cell):
    def construct(self, x):
        return (ops.relu(x), ops.relu6(x), ops.sigmoid(x), ops.tanh(x), ops.exp(x), ops.erf(x), ops.floor(x),
                ops.ceil(x), ops.round(x), ops.sin(x), ops.cos(x), ops.abs(x), ops.neg(x), ops.square(x),
                ops.sign(x), ops.hardswish(x), ops.hardsigmoid(x), ops.silu(x), ops.mish(x), ops.softplus(x),
                ops.selu(x), ops.elu(x), ops.leaky_relu(x), ops.softsign(x), ops.expm1(x),
                ops.gelu(x, "tanh"), ops.gelu(x, "none"))


class Positive(nn.Cell):
    def construct(self, x):
        x = ops.abs(x) + 0.1
        return (ops.sqrt(x), ops.rsqrt(x), ops.log(x), ops.log1p(x), ops.reciprocal(x))


class Binary(nn.Cell):
    def construct(self, x):
        return (x + 2, 2 - x, x * x, x / 3, 1 / (x * x + 1), x ** 2, x // 0.3, x % 0.3, ops.maximum(x, -x),
                ops.minimum(x, 0.1), mint.add(x, x, alpha=3), mint.sub(x, x, alpha=0.5), ops.addn([x, x, x]),
                ops.clamp(x, -0.5, 0.5), ops.clip_by_value(x, -0.3, 0.4), (x > 0).astype(ms.float32),
                (x >= 0.5).astype(ms.int32), x < 1, x != x, ops.logical_and(x > 0, x < 1), ops.logical_not(x > 0),
                ops.where(x > 0, x, 3.0), ops.masked_fill(x, x > 0, 7.0), (x * 9).astype(ms.int32) // 4,
                (x * 9).astype(ms.int32) % 4)


class Shapes(nn.Cell):
    def construct(self, x):
        return (x.reshape(x.shape[0], -1), x.reshape(-1, 4), x.transpose(0, 2, 3, 1), x.swapaxes(1, 3),
                ops.flatten(x), mint.flatten(x, 2), x.expand_dims(1), mint.unsqueeze(x, -1), x[:, :1].squeeze(1),
                ops.stack((x, x), 2), ops.concat((x, x + 1), 1), ops.tile(x, (1, 2, 1, 3)),
                ops.broadcast_to(x[:, :1], (-1, 4, -1, -1)), ops.zeros_like(x) + x, ops.ones_like(x),
                ops.full_like(x, 2.5), ops.zeros(x.shape, ms.float32),
                x.reshape(x.shape[0], 2, 2, 6, 6).swapaxes(1, 2).reshape(x.shape), x.shape[0] * x)


class Cuts(nn.Cell):
    def construct(self, x):
        return (x[:, 1:3], x[..., ::2], x[:, -1], x[:, None, 1], x[:, :, 1:-1, 2], x[:, :, ::-1],
                ops.split(x, 2, 1), ops.split(x, (1, 3), 1), ops.chunk(x, 2, 2), mint.split(x, (1, 3), 1),
                mint.chunk(x, 2, 1), ops.unbind(x, 1), ops.narrow(x, 2, 1, 3), ops.flip(x, (2, 3)),
                ops.gather(x, ms.Tensor([2, 0], ms.int32), 1),
                mint.select(x, 1, 2),
                ops.slice(x, (0, 1, 0, 0), (x.shape[0], 2, 6, 5)))


class Pads(nn.Cell):
    def construct(self, x):
        return (ops.pad(x, (1, 2, 0, 3)), ops.pad(x, (1, 2), value=1.5), ops.pad(x, (1, 2, 3, 1), mode="reflect"),
                ops.pad(x, (1, 2, 3, 1), mode="replicate"),
                ops.pixel_shuffle(x, 2), ops.pixel_unshuffle(x, 2))


class Reductions(nn.Cell):
    def construct(self, x):
        return (x.mean(1), x.mean((2, 3), keep_dims=True), x.sum(-1), ops.amax(x, 1), ops.amin(x, (1, 2), True),
                ops.prod(x, 2), mint.mean(x, (2, 3)), mint.sum(x, 1, True), ops.logsumexp(x, 1),
                ops.var(x, (2, 3)), ops.std(x, 1, 1, True), ops.norm(x, dim=1),
                ops.norm(x, 1, dim=(2,)), ops.cumsum(x, 1), (x > 0).all(1), (x > 0).any(2),
                ops.softmax(x, 1), ops.log_softmax(x, -1), ops.L2Normalize(1)(x))


class Indices(nn.Cell):
    def construct(self, x):
        return (ops.argmax(x, 1), ops.argmin(x, 2), ops.max(x, 1), ops.min(x, -1, True), ops.topk(x, 2),
                ops.sort(x, 1), ops.sort(x, -1, True),
                ops.gather_elements(x, 1, ops.argmax(x, 1, True).astype(ms.int32)),
                ops.one_hot(ops.argmax(x, 1), 4, ms.Tensor(2.0), ms.Tensor(-1.0)))


class Sizes(nn.Cell):
    def construct(self, x):
        return (ops.interpolate(x, size=(12, 18), mode="nearest"), ops.interpolate(x, size=(9, 8), mode="nearest"),
                ops.interpolate(x, size=(12, 9), mode="bilinear", align_corners=False),
                ops.interpolate(x, size=(12, 9), mode="bilinear", align_corners=True),
                ops.ResizeNearestNeighbor((12, 12))(x), ops.ResizeBilinearV2()(x, (11, 13)),
                ops.ResizeNearestNeighbor((11, 11), align_corners=True)(x))


class Products(nn.Cell):
    def construct(self, x):
        return (ops.matmul(x, x.swapaxes(2, 3)), ops.BatchMatMul(transpose_b=True)(x, x),
                ops.BatchMatMul(transpose_a=True)(x, x), mint.matmul(x, x), ops.bmm(x[:, 0], x[:, 1]))


FUNCTIONS = (Unary, Positive, Binary, Shapes, Cuts, Pads, Reductions, Indices, Sizes, Products)


def convolution(*arguments, **options):
    return nn.Conv2d(*arguments, has_bias=True, **options)


def convolutions():
    return [convolution(4, 6, 3), convolution(4, 6, 4, stride=2), convolution(4, 6, 3, pad_mode="valid"),
            convolution(4, 6, 3, pad_mode="pad", padding=(0, 1, 2, 3), dilation=(2, 1)), nn.Conv2d(4, 8, 3, group=4),
            nn.Conv2d(4, 6, (3, 2), 2, pad_mode="pad", padding=(1, 1, 0, 0), group=2)]


def transposed():
    return [nn.Conv2dTranspose(4, 6, 3), nn.Conv2dTranspose(4, 6, 2, stride=2, has_bias=True),
            nn.Conv2dTranspose(4, 6, 4, stride=2, pad_mode="pad", padding=1),
            nn.Conv2dTranspose(4, 6, 3, stride=2, pad_mode="valid"), nn.Conv2dTranspose(4, 4, 3, group=2)]


def pooling():
    return [nn.MaxPool2d(2, 2), nn.MaxPool2d(3, 2, pad_mode="same"), nn.MaxPool2d(3, 2, pad_mode="pad", padding=1),
            nn.AvgPool2d(2, 2), nn.AvgPool2d(3, 1, pad_mode="same"), nn.AvgPool2d(3, 2, pad_mode="pad", padding=1),
            nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d((4, 5)), nn.AdaptiveAvgPool2d((2, 3)),
            nn.AdaptiveMaxPool2d((4, 3))]


def norms():
    return [nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm((6,)), nn.LayerNorm((6, 6), 2, 2), nn.PReLU(4),
            nn.PReLU(), nn.Dense(6, 5), nn.Dense(6, 5, has_bias=False)]


LAYERS = {"convolutions": convolutions, "transposed": transposed, "pooling": pooling, "norms": norms}


def exported(net, tmp_path, shape=(2, 4, 6, 6)):
    """The worst difference at the traced batch and at another one."""
    path = export_onnx(net, shape, tmp_path / "net")
    images = [image(batch, *shape[1:], seed=batch) for batch in (2, 5)]
    return max(worst_difference(path, net, x) for x in images)


@pytest.mark.parametrize("functions", FUNCTIONS)
def test_functions(functions, tmp_path):
    assert exported(functions(), tmp_path) <= 1e-5


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_layers(layers, tmp_path):
    assert exported(randomise(Layers(*layers())), tmp_path) <= 1e-5
