"""ONNX rules of operators that are rare in networks, each against MindSpore at the traced batch and at another one."""

import mindspore as ms
import pytest
from mindspore import Tensor, nn, ops

from mindspore_gs import export_onnx
from mindspore_gs.errors import ExportError
from tests.export.run_onnx import worst_difference, worst_of_batches
from tests.helpers import image

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
onnx = pytest.importorskip("onnx")

SHAPE = (2, 4, 6, 6)


class Running(nn.Cell):
    def construct(self, x):
        return (ops.cummax(x, 1), ops.cummin(x, -1), ops.cummax((x * 2).astype(ms.int32), 3), ops.logcumsumexp(x, 1),
                ops.nansum(x, 1), ops.norm(x, ord=float("-inf"), dim=1), ops.norm(x, ord=0, dim=1),
                ops.norm(x, ord=3, dim=(2,)), ops.cdist(x[:, 0], x[:, 1]), ops.cdist(x[:, 0], x[:, 1, :3], 3.0))


class Diagonals(nn.Cell):
    def construct(self, x):
        return (ops.diag_embed(x), ops.diag_embed(x[:, 0], 1, 1, 2), ops.diag_embed(x[:, 0], -1),
                ops.matrix_band_part(x, 1, 2), ops.MatrixBandPart()(x, -1, 0),
                ops.matrix_diag_part(x, Tensor(0, ms.int32), Tensor(0.0)),
                ops.matrix_diag_part(x, Tensor([-1, 2], ms.int32), Tensor(0.5)),
                ops.matrix_diag_part(x, Tensor([-1, 2], ms.int32), Tensor(0.5), "LEFT_RIGHT"),
                ops.matrix_set_diag(x, x[:, :, :2], Tensor([0, 1], ms.int32)),
                ops.matrix_diag(x[:, :, 0], Tensor(-2, ms.int32)))


class Entries(nn.Cell):
    def construct(self, x):
        places = Tensor([0, 2], ms.int32)
        return (ops.index_fill(x, 1, places, 3.0),
                ops.reverse_sequence(x, Tensor([1, 2, 3, 6], ms.int32), 2, 1),
                ops.searchsorted(Tensor([-0.5, 0.0, 0.5, 1.0]), x),
                ops.searchsorted(ops.sort(x, -1)[0], x, right=True))


class Added(nn.Cell):
    """By itself, because MindSpore's operator writes into what it reads."""

    def construct(self, x):
        return ops.index_add(x + 1, Tensor([0, 2], ms.int32), x[:, :2], 1)


class Meshes(nn.Cell):
    """Numbers of the code only, which are constants in the file."""

    def construct(self, x):
        line = ops.linspace(-1.0, 1.0, 6)
        one, two = ops.meshgrid(line, line * 0.5, indexing="xy")
        rows, columns = ops.meshgrid(ops.arange(6), ops.arange(4), indexing="ij")
        both = ops.stack(ops.meshgrid(line, line, indexing="xy"), -1)
        return x + one, x - two, x.sum() + rows - columns, ops.stack(ops.meshgrid(line, line), 0) + x[:, :2], x.view_as(
            x + 1), ops.grid_sample(x, ops.tile(both[None] * 0.9, (x.shape[0], 1, 1, 1)))


class Integers(nn.Cell):
    """Compared with numbers between them, divided, rounded; and counted as far as the batch."""

    def construct(self, x):
        n = ops.floor(ops.abs(x) * 3).astype(ms.int32)
        return (n > 0.5, n >= 0.5, n == 1.5, n * 0.5, n / 2, n // 2, n % 2, 2 - n, n ** 2, -n, ops.where(n > 2, n, 0),
                ops.round(x * 2.5), (x > 0) * (x < 1), x[:, 0] + ops.arange(x.shape[0]).reshape(-1, 1, 1),
                ops.arange(1, x.shape[0] * 2, 2))


class Places(nn.Cell):
    """Places that each sample has of its own, places that are none, and floats of integers."""

    def construct(self, x):
        n = ops.floor(ops.abs(x) * 3).astype(ms.int32)
        rows, places = x[:, :, 0, :], n[:, 0, :3, 0] % 4
        hot = n[:, 0] - 1
        return (ops.gather(rows, places, 1, 1), ops.gather(rows, places, 2, 1), ops.gather(x, places, -1, 1),
                ops.one_hot(hot, 3), ops.one_hot(hot, 3, 2.0, -1.0, 1), ops.one_hot(hot.astype(ms.int64), 4, 1, 0),
                1 / (n + 1), ops.sqrt(n), ops.sqrt(n.astype(ms.int64)), ops.rsqrt(n + 1))


class Lines(nn.Cell):
    """Lines of another length, and windows whose sums are divided by a number of the code."""

    def construct(self, x):
        line = x[:, 0]
        return (ops.interpolate(line, size=9, mode="linear"), ops.interpolate(line, size=4, mode="linear"),
                ops.interpolate(line, size=9, mode="linear", align_corners=True),
                ops.avg_pool2d(x, 3, 2, 1, divisor_override=4), ops.avg_pool2d(x, 3, 2, 1, False, False, 4))


class OwnFilters(nn.Cell):
    """Filters of each sample's own, as many groups as samples, or as channels of all samples: modulated convolutions,
    and trackers that look for one image in another."""

    def __init__(self):
        super().__init__()
        self.weight = ms.Parameter(image(2, 6, 2, 3, 2, seed=4))

    def construct(self, x):
        batch, channels, height, width = x.shape
        mixed = ops.matmul(ops.softmax(x[:, :2, 0, 0], 1), self.weight.view(2, -1)).view(batch * 6, 2, 3, 2)
        flat = x.view(1, -1, height, width)
        own = ops.conv2d(flat, mixed, None, (2, 1), "pad", (1, 0), (1, 2), batch * 2)
        found = ops.conv2d(flat, x[:, :, 1:4, 2:5].reshape(-1, 1, 3, 3), None, 1, "same", 0, 1, batch * channels)
        return own.view(batch, 6, *own.shape[2:]), found.view(batch, channels, *found.shape[2:])


class OneSample(nn.Cell):
    """Operators on one sample, so that places in the first axis are places of channels."""

    def construct(self, x):
        first, places = x[0], Tensor([[0], [2]], ms.int32)
        return (ops.trace(first[0]), ops.outer(first[0, 0], first[0, 1]), ops.diag(first[0, 0]),
                ops.tensor_scatter_sub(first, places, first[:2]),
                ops.unsorted_segment_sum(first, Tensor([0, -1, 0, 1], ms.int32), 2))


class Boxes(nn.Cell):
    def construct(self, x):
        boxes = Tensor([[0.0, 0.0, 0.0, 4.0, 4.0], [0.0, 1.0, 2.0, 9.0, 7.5]])
        return ops.ROIAlign(2, 3, 0.5, 2)(x, boxes), ops.ROIAlign(2, 2, 1.0, 2, 0)(x, boxes)


class Deformed(nn.Cell):
    """Windows whose places move, also out of the image; two groups, strides, dilations."""

    def __init__(self):
        super().__init__()
        self.weight = ms.Parameter(image(5, 4, 3, 3, seed=1))
        self.odd = ms.Parameter(image(5, 4, 2, 3, seed=2))

    def construct(self, x):
        moves = ops.concat((x,) * 14, 1) * 2
        plain = ops.deformable_conv2d(x, self.weight, moves[:, :27], (3, 3), (1, 1, 1, 1), (1, 1, 1, 1))
        odd = ops.deformable_conv2d(x, self.odd, moves[:, :36, ::2, ::2], (2, 3), (1, 1, 2, 2), (0, 1, 2, 0),
                                    deformable_groups=2)
        return plain, odd


class Unpooled(nn.Cell):
    """Where the maxima were is needed again, as in SegNet."""

    def construct(self, x):
        maxima, places = ops.max_pool2d(x, 2, return_indices=True)
        apart, others = ops.max_pool2d(x, 3, 2, 1, return_indices=True)
        return ops.max_unpool2d(maxima, places, 2), places, ops.max_unpool2d(apart, others, 2, output_size=(6, 6))


@pytest.mark.parametrize("functions", [Running, Diagonals, Entries, Added, Meshes, Integers, Places, Lines,
                                       OwnFilters, Deformed, Unpooled])
def test_functions(functions, tmp_path):
    assert worst_of_batches(functions(), tmp_path, SHAPE) <= 1e-5


@pytest.mark.parametrize("functions", [OneSample, Boxes])
def test_functions_of_one_batch(functions, tmp_path):
    net = functions()
    path = export_onnx(net, SHAPE, tmp_path / "net")
    assert worst_difference(path, net, image(*SHAPE)) <= 1e-5


class IdentityOfTheBatch(nn.Cell):
    def construct(self, x):
        return ops.matmul(ops.eye(x.shape[0]), x.reshape(x.shape[0], -1))


def test_a_rule_that_takes_no_open_batch_leaves_it_fixed(tmp_path, caplog):
    path = export_onnx(IdentityOfTheBatch(), SHAPE, tmp_path / "net")
    assert "the batch of the ONNX file is fixed: Eye" in caplog.text
    assert onnx.load(path).metadata_props[0].value.startswith("fixed: Eye")
    assert worst_difference(path, IdentityOfTheBatch(), image(*SHAPE)) <= 1e-6


class Inverse(nn.Cell):
    def construct(self, x):
        return ops.erfinv(ops.tanh(x))


def test_an_operator_without_a_rule_is_named(tmp_path):
    with pytest.raises(ExportError, match="operator Erfinv in Default has no ONNX rule; write that cell with other"):
        export_onnx(Inverse(), SHAPE, tmp_path / "net")


class LargestOnly(nn.Cell):
    """In PyNative mode MindSpore returns places, too."""

    def construct(self, x):
        return x.max(1)


def test_a_network_that_returns_something_else_in_graph_mode(tmp_path):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    with pytest.raises(ExportError, match=r"shapes \[\(2, 6, 6\)\], but the network \[\(2, 6, 6\), \(2, 6, 6\)\]"):
        export_onnx(LargestOnly(), SHAPE, tmp_path / "net")
    ms.set_context(mode=ms.GRAPH_MODE)
    assert worst_of_batches(LargestOnly(), tmp_path, SHAPE) <= 1e-6


class Boxes(nn.Cell):
    """The head of a detector: a distribution over distances, whose mean is a convolution of points."""

    def __init__(self, soft=True):
        super().__init__()
        self.conv, self.mean, self.soft = nn.Conv2d(3, 16, 3), nn.Conv2d(4, 1, 1, has_bias=True), soft

    def construct(self, x):
        y = self.conv(x)
        y = y.view(y.shape[0], 4, 4, -1).swapaxes(2, 1)
        return self.mean(ops.softmax(y, 1) if self.soft else y)


@pytest.mark.parametrize("soft", [True, False])
def test_a_convolution_of_points_behind_swapped_axes_is_a_product(soft, tmp_path):
    """MindSpore Lite's converter refuses the convolution there."""
    import onnx
    assert worst_of_batches(Boxes(soft), tmp_path, (2, 3, 6, 6)) <= 1e-5
    kinds = [node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node]
    assert kinds.count("Conv") == 1 and kinds.count("MatMul") == 1
