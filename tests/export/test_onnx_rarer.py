"""ONNX rules of operators that are rarer still, and of types that onnxruntime does not choose between."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from tests.export.run_onnx import worst_of_batches

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")

SHAPE = (2, 4, 6, 6)


class Chosen(nn.Cell):
    """Truth values and short integers that are chosen between, and numbers that are taken for truth values."""

    def construct(self, x):
        short = (x * 9).astype(ms.int16)
        return (ops.where(x > 0, x > 1, x < -1), ops.masked_fill(x > 0, x > 1, False), ops.where(x > 0, short, -short),
                ops.logical_or(x, x > 1), ops.logical_xor(x > 0, ops.relu(x)))


class Rarer(nn.Cell):
    def __init__(self):
        super().__init__()
        self.lookup, self.table = ops.EmbeddingLookup(), Tensor(np.arange(12).reshape(4, 3), ms.float32)
        self.put, self.added = ops.IndexPut(), ops.IndexPut(1)
        self.upper, self.lower = ops.TriuIndices(4, 5, 1), ops.TrilIndices(4, 5, -1, ms.int64)

    def construct(self, x):
        index = ops.floor(x[:, 0, :, 0] * 3).astype(ms.int32)
        theta = x[:, :2, 0, :3] * 0.5
        zeros = ops.relu(x)
        places = (Tensor([0, 2], ms.int32), Tensor([1, 1], ms.int32))
        return (ops.channel_shuffle(x, 2), self.lookup(self.table, index, 1), ops.det(x),
                ops.DivNoNan()(x, zeros), ops.MulNoNan()(x / zeros, zeros), self.upper(), self.lower(),
                ops.affine_grid(theta, (x.shape[0], 4, 5, 3), False),
                ops.affine_grid(theta, (x.shape[0], 4, 5, 3), True),
                self.put(self.table, Tensor([7.0, 8.0]), places),
                self.added(x.sum() + self.table, x[:1, 0, 0, 0], places))


@pytest.mark.parametrize("functions", [Chosen, Rarer])
def test_functions(functions, tmp_path):
    assert worst_of_batches(functions(), tmp_path, SHAPE) <= 1e-5
