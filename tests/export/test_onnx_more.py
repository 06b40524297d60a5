"""More ONNX rules, each against MindSpore at the traced batch and at another one."""

import mindspore as ms
import pytest
from mindspore import Tensor, mint, nn, ops

from mindspore_gs import export_onnx
from tests.export.exported import Layers
from tests.export.run_onnx import worst_difference, worst_of_batches
from tests.helpers import image, randomise

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
onnx = pytest.importorskip("onnx")

SHAPE = (2, 4, 6, 6)
LINE = (2, 4, 6)
VOLUME = (2, 4, 5, 6, 7)


class Activations(nn.Cell):
    def construct(self, x):
        return (ops.celu(x, 0.7), ops.hardshrink(x, 0.3), ops.softshrink(x, 0.4), ops.glu(x, 1),
                mint.nn.functional.softplus(x, 2.0, 1.5), ops.logsigmoid(x), ops.threshold(x, 0.1, 2.0),
                ops.softmin(x, 1), ops.tanhshrink(x), ops.fast_gelu(x), ops.relu6(x))


class Arithmetic(nn.Cell):
    def construct(self, x):
        y = ops.abs(x.swapaxes(2, 3)) + 0.3
        return (ops.fmod(x, y), ops.truncate_div(x, y), ops.truncate_mod(x, y), ops.floor_mod(x, 0.4), ops.trunc(x * 3),
                ops.atan2(x, y - 0.7), ops.atan2(y, x * 0), ops.log2(y), ops.log10(y), ops.erfc(x),
                ops.isfinite(x / 0.0), ops.xlogy(x, y), ops.lerp(x, y, 0.3), ops.addcmul(x, y, y), ops.addcdiv(x, y, y),
                ops.asinh(x), ops.acosh(y + 1), ops.atanh(ops.clamp(x, -0.9, 0.9)), ops.acos(ops.clamp(x, -0.9, 0.9)),
                ops.nan_to_num(x / 0.0 * 0.0 + 1.0), ops.heaviside(x, y), ops.cross(x[:, :3], x[:, 1:], 1),
                ops.logaddexp(x, y), ops.hypot(x, y), ops.sinc(x), ops.logical_not(x), mint.eq(x, 0.5), ops.frac(x))


class Layouts(nn.Cell):
    def construct(self, x):
        return (ops.tril(x), ops.triu(x, 1), ops.repeat_interleave(x, 2, 1), ops.diagonal(x, 1, 2, 3),
                x + ops.arange(6).astype(ms.float32), x + ops.eye(6), x + ops.linspace(0.0, 1.0, 6),
                x.new_zeros((6,)) + x, ops.rot90(x, 1, (2, 3)), ops.movedim(x, 1, 3))


class Windows(nn.Cell):
    def construct(self, x):
        windows = ops.unfold(x, (2, 3), 2, 1, (2, 1))
        return ops.unfold(x, 3, 1, 1, 2), ops.fold(windows, Tensor([6, 6], ms.int32), (2, 3), 2, 1, (2, 1))


class Lists(nn.Cell):
    """Indices in a list, for which MindSpore counts along the batch as well."""

    def construct(self, x):
        return x[:, [0, 2]], x[..., Tensor([3, 0], ms.int32)]


class Scatters(nn.Cell):
    def construct(self, x):
        largest = ops.argmax(x, 1, True).astype(ms.int32)
        return (ops.tensor_scatter_elements(x, largest, ops.ones_like(x[:, :1]), 1),
                ops.tensor_scatter_elements(x, largest, ops.ones_like(x[:, :1]), 1, "add"))


class Rows(nn.Cell):
    """Places in the first axis, which is one sample's here."""

    def construct(self, x):
        rows, places = x[:, 0, 0], Tensor([[0], [2]], ms.int32)
        line = rows.swapaxes(0, 1)
        return (ops.tensor_scatter_update(line, places, line[:2]), ops.tensor_scatter_add(line, places, line[:2]))


class Orders(nn.Cell):
    def construct(self, x):
        return (ops.median(x, 1), ops.median(x, -1, True), ops.cumprod(x, 1), ops.CumProd(True, True)(x, 2),
                ops.count_nonzero(ops.relu(x), 1), mint.bmm(x[:, 0], x[:, 1]), ops.argsort(x, 1),
                ops.topk(x, 2, 1, False))


class Resizes(nn.Cell):
    def construct(self, x):
        return (ops.interpolate(x, size=(9, 13), mode="bicubic"), ops.interpolate(x, size=(3, 4), mode="bicubic"),
                ops.interpolate(x, size=(9, 13), mode="bicubic", align_corners=True),
                ops.interpolate(x, size=(9, 13), mode="nearest-exact"), ops.interpolate(x, size=(3, 4), mode="area"))


class Samples(nn.Cell):
    """On a grid that leaves the image a little."""

    def construct(self, x):
        grid = ops.clamp(x[:, :2].transpose(0, 2, 3, 1), -0.8, 1.1)
        return (ops.grid_sample(x, grid), ops.grid_sample(x, grid, padding_mode="border", align_corners=True),
                ops.grid_sample(x, grid, "nearest", padding_mode="reflection"))


@pytest.mark.parametrize("functions", [Activations, Arithmetic, Layouts, Windows, Lists, Scatters, Orders, Resizes,
                                       Samples])
def test_functions(functions, tmp_path):
    assert worst_of_batches(functions(), tmp_path, SHAPE) <= 2e-5


def test_places_in_the_first_axis(tmp_path):
    path = export_onnx(Rows(), SHAPE, tmp_path / "net")
    assert worst_difference(path, Rows(), image(*SHAPE)) <= 1e-6


def paddings():
    two = (1, 2, 0, 3)
    return [nn.ReflectionPad2d(two), nn.ReplicationPad2d(two), nn.ConstantPad2d(two, 0.5), nn.ZeroPad2d(two),
            *(nn.Pad(((0, 0), (0, 0), (1, 2), (2, 0)), mode) for mode in ("CONSTANT", "REFLECT", "SYMMETRIC"))]


def poolings():
    return [nn.AdaptiveAvgPool3d((2, 3, 4)), nn.AdaptiveAvgPool3d(1), nn.AdaptiveMaxPool3d((2, 3, 4)),
            nn.MaxPool3d(2, 2), nn.AvgPool3d(3, 2, pad_mode="pad", padding=1, count_include_pad=False),
            # A last window would begin behind the input: MindSpore leaves it out, ONNX's ceil_mode does not.
            *(kind(2, 2, pad_mode="pad", padding=1, ceil_mode=True) for kind in (nn.MaxPool3d, nn.AvgPool3d))]


def lines():
    return [nn.MaxPool1d(2, 2), nn.AvgPool1d(3, 2, pad_mode="pad", padding=1, ceil_mode=True), nn.AdaptiveAvgPool1d(3),
            nn.AdaptiveMaxPool1d(2), nn.Conv1d(4, 6, 3, has_bias=True), nn.Conv1dTranspose(4, 6, 3, stride=2),
            nn.ReflectionPad1d((1, 2)), nn.BatchNorm1d(4)]


def volumes():
    return [nn.Conv3d(4, 6, (1, 3, 2), stride=2, pad_mode="pad", padding=(0, 0, 1, 1, 0, 1), has_bias=True),
            nn.Conv3dTranspose(4, 6, 3, stride=2, pad_mode="pad", padding=1, output_padding=1), nn.BatchNorm3d(4)]


class Circular(nn.Cell):
    def construct(self, x):
        return ops.pad(x, (1, 2, 2, 1), mode="circular"), ops.lrn(x, 2, 1.5, 0.3, 0.75)


LAYERS = {"paddings": (paddings, SHAPE), "poolings": (poolings, VOLUME), "lines": (lines, LINE),
          "volumes": (volumes, VOLUME)}


@pytest.mark.parametrize("layers, shape", LAYERS.values(), ids=LAYERS)
def test_layers(layers, shape, tmp_path):
    assert worst_of_batches(randomise(Layers(*layers())), tmp_path, shape) <= 1e-5


def test_circular_padding_and_local_response(tmp_path):
    assert worst_of_batches(Circular(), tmp_path, SHAPE) <= 1e-5


RECURRENT = {"one layer": {}, "two layers, two directions": {"num_layers": 2, "bidirectional": True},
             "no bias": {"has_bias": False}}


@pytest.mark.parametrize("options", RECURRENT.values(), ids=RECURRENT)
def test_lstm(options, tmp_path):
    """One operator of ONNX for each layer and direction."""
    net = randomise(nn.LSTM(6, 5, batch_first=True, **options))
    assert worst_of_batches(net, tmp_path, LINE) <= 1e-5
    operators = [node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node]
    assert operators.count("LSTM") == (4 if "num_layers" in options else 1)


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN])
def test_other_recurrent_layers(kind, tmp_path):
    assert worst_of_batches(randomise(kind(6, 5, batch_first=True)), tmp_path, LINE) <= 1e-4


class Saturated(nn.Cell):
    """Where MindSpore's tanh on a CPU is off by nearly 1e-4."""

    def construct(self, x):
        return ops.tanh(x * 0 + 4.9) + x * 0


def test_the_tanh_of_a_file_is_the_true_one(tmp_path, caplog):
    path = export_onnx(Saturated(), SHAPE, tmp_path / "net")
    assert 1e-5 < worst_difference(path, Saturated(), image(*SHAPE)) < 2e-4
    assert "MindSpore's tanh on a CPU is right to 1e-4 only" in caplog.text


class Bits(nn.Cell):
    def __init__(self, dtype, largest):
        super().__init__()
        self.dtype, self.largest = dtype, largest

    def construct(self, x):
        x = (x * 1000).astype(self.dtype) * self.largest
        y = 5 - x - x
        first = ops.bitwise_or(ops.bitwise_and(x, y), ops.bitwise_xor(x, 12345))
        return first, ops.bitwise_and(x > 0, y > 0), ops.invert(x.astype(ms.int16))


@pytest.mark.parametrize(("dtype", "largest"), [(ms.int16, 3), (ms.int32, 123457), (ms.int64, 2 ** 48 + 77)],
                         ids=["int16", "int32", "int64"])
def test_bits_of_integers(tmp_path, dtype, largest):
    net = Bits(dtype, largest)
    path = export_onnx(net, SHAPE, tmp_path / "net")
    assert worst_difference(path, net, image(*SHAPE)) == 0 == worst_difference(path, net, -image(*SHAPE))
