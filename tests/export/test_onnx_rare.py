"""ONNX rules of operators that are rare in networks, each against MindSpore at the traced batch and at another one."""

import mindspore as ms
import pytest
from mindspore import Tensor, nn, ops

from mindspore_gs import export_onnx
from mindspore_gs.errors import ExportError
from tests.export.run_onnx import worst_difference, worst_of_batches
from tests.helpers import image

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
pytest.importorskip("onnx")

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


@pytest.mark.parametrize("functions", [Running, Diagonals, Entries, Added, Deformed, Unpooled])
def test_functions(functions, tmp_path):
    assert worst_of_batches(functions(), tmp_path, SHAPE) <= 1e-5


@pytest.mark.parametrize("functions", [OneSample, Boxes])
def test_functions_of_one_batch(functions, tmp_path):
    net = functions()
    path = export_onnx(net, SHAPE, tmp_path / "net")
    assert worst_difference(path, net, image(*SHAPE)) <= 1e-5


class Inverse(nn.Cell):
    def construct(self, x):
        return ops.erfinv(ops.tanh(x))


def test_an_operator_without_a_rule_is_named(tmp_path):
    with pytest.raises(ExportError, match="operator Erfinv in Default has no ONNX rule; write that cell with other"):
        export_onnx(Inverse(), SHAPE, tmp_path / "net")
