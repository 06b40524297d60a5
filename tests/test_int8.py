"""INT8 files: near to the float ones, a quarter of the bytes, and bad calibration data is one clear error."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import export_onnx, prune
from mindspore_gs.errors import ExportError
from tests.helpers import randomise

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")

from mindspore_gs.int8 import quantize_onnx  # noqa: E402

SHAPE = (2, 3, 8, 8)


def batches(count=4, shape=SHAPE):
    return [np.random.default_rng(k).random(shape, np.float32) for k in range(count)]


@pytest.fixture(scope="module")
def float32(tmp_path_factory):
    net = randomise(nn.SequentialCell(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 128, 3), nn.ReLU(),
                                      nn.Conv2d(128, 16, 1)))
    small = prune(net, target={"macs": 0.5}, inputs=SHAPE)
    return export_onnx(small, SHAPE, tmp_path_factory.mktemp("int8") / "float32")


def run(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


class Sum(nn.Cell):
    """Two inputs, one of them of another type."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(4, 3)

    def construct(self, x, count):
        return self.dense(x) * count.astype(ms.float32)


def test_batches_of_several_inputs(tmp_path):
    """In the order of the file's inputs, or by their names."""
    import onnx
    tuples = [(x, np.arange(2).reshape(2, 1) + 1) for x in batches(shape=(2, 4))]
    file = export_onnx(Sum(), [ms.Tensor(tuples[0][0]), ms.Tensor([[1], [2]], ms.int32)], tmp_path / "float32")
    by_order, by_name = (quantize_onnx(file, data, tmp_path / name) for name, data in (
        ("order", tuples), ("name", [{"count": count, "x": x, "label": 3} for x, count in tuples])))
    assert by_order.read_bytes() == by_name.read_bytes()
    assert "DequantizeLinear" in {node.op_type for node in onnx.load(by_name).graph.node}
    with pytest.raises(ExportError, match="the file takes 2 inputs, but calibration batch 1 has 1"):
        quantize_onnx(file, batches(shape=(2, 4)), tmp_path / "int8")


@pytest.mark.parametrize("with_labels", [False, True])
def test_it_computes_nearly_the_same_from_fewer_bytes(float32, with_labels, tmp_path):
    data = [(x, np.zeros(2)) for x in batches()] if with_labels else (x.astype(np.float64) for x in batches())
    int8 = quantize_onnx(float32.with_suffix(""), data, tmp_path / "int8")
    expected, got = run(float32, batches()[0]), run(int8, batches()[0])
    assert 0 < np.abs(got - expected).max() < 0.05 * np.abs(expected).max()
    assert int8.stat().st_size < 0.45 * float32.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["int8.onnx"]


def test_sums_of_large_products_do_not_overflow(tmp_path):
    """Two products of eight bits each are more than sixteen bits hold, in which processors without VNNI add them."""
    import onnx
    data = [0.9 + 0.1 * x for x in batches(shape=(2, 64, 8, 8))]
    float32 = export_onnx(nn.Conv2d(64, 64, 1, weight_init="ones"), (2, 64, 8, 8), tmp_path / "float32")
    int8 = quantize_onnx(float32, data, tmp_path / "int8")
    expected = run(float32, data[0])
    assert np.abs(run(int8, data[0]) - expected).max() < 0.02 * expected.max()
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(int8).graph.initializer]
    assert max(np.abs(array.astype(int)).max() for array in weights if array.dtype == np.int8 and array.ndim == 4) == 64


@pytest.mark.parametrize(("data", "message"), [
    ([], "at least one calibration batch, but got none"),
    (batches(1, (2, 4, 8, 8)), r"batch 1 must be .* shape \[.*, 3, 8, 8\] .* but has shape \[2, 4, 8, 8\]"),
    ([np.full(SHAPE, np.nan, np.float32)], "numbers that are not finite"),
    ([*batches(1), np.zeros((0, 3, 8, 8), np.float32)], r"batch 2 must be .* but has shape \[0, 3, 8, 8\]"),
    ([np.zeros(SHAPE, np.uint8)], "must be numbers of type float32 .* but has type uint8; prepare it as the network's"),
    ([{"image": batches(1)[0]}], r"is a dict without '\w+'; the file's inputs are called .* its keys are \['image'\]"),
    (["images"], r"but has shape \[\]"),
], ids=["none", "shape", "nan", "no sample", "type", "keys", "text"])
def test_bad_calibration_data(float32, data, message, tmp_path):
    with pytest.raises(ExportError, match=message):
        quantize_onnx(float32, data, tmp_path / "int8")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_there_or_no_onnx(tmp_path):
    with pytest.raises(ExportError, match="there is no ONNX file at"):
        quantize_onnx(tmp_path / "none.onnx", batches(), tmp_path / "int8")
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(ExportError, match="text.onnx cannot be quantised"):
        quantize_onnx(tmp_path / "text.onnx", batches(), tmp_path / "int8")
