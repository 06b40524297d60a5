"""What of a network's code is no arithmetic in an ONNX file: branches, loops, prints, numbers that are returned."""

import mindspore as ms
import pytest
from mindspore import Tensor, nn, ops

from mindspore_gs import export_onnx
from mindspore_gs.errors import ExportError
from tests.export.run_onnx import worst_difference, worst_of_batches
from tests.helpers import image

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
onnx = pytest.importorskip("onnx")

SHAPE = (2, 4)


class Pair(nn.Cell):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Dense(4, 4), nn.Dense(4, 4)


class Early(Pair):
    def construct(self, x):
        if x.mean() > 0:
            return self.one(x)
        return self.two(x) * 2


class Nested(Pair):
    def construct(self, x):
        y = self.one(x)
        if x.mean() > 0:
            if x.max() > 1:  # noqa: SIM108
                y = y + 1
            else:
                y = self.two(y)
        return y


class Several(Pair):
    def construct(self, x):
        if x.mean() > 0:
            one, two = self.one(x), x
        else:
            one, two = x, self.two(x)
        return one, two


@pytest.mark.parametrize("branch", [Early, Nested, Several])
def test_either_side_of_a_branch_that_data_decides(branch, tmp_path):
    net = branch().set_train(False)
    path = export_onnx(net, SHAPE, tmp_path / "net")
    assert onnx.load(path).metadata_props[0].value == "open"
    values = ops.abs(image(3, 4, seed=1)) + 0.1
    for x in (values, -values, values * 0.01, values[:1] * 3):
        assert worst_difference(path, net, x) <= 1e-6


class Masked(nn.Cell):
    """Attention with a mask for all samples and a number."""

    def construct(self, x, mask, temperature):
        return ops.matmul(ops.softmax(ops.matmul(x, x.swapaxes(1, 2)) / temperature + mask, -1), x)


def test_inputs_of_another_first_size_are_no_batch(tmp_path):
    mask, number = image(5, 5, seed=3), Tensor(1.5)
    path = export_onnx(Masked(), [image(2, 5, 4), mask, number], tmp_path / "net")
    model = onnx.load(path)
    assert model.metadata_props[0].value == "open"
    sizes = [[d.dim_param or d.dim_value for d in entry.type.tensor_type.shape.dim] for entry in model.graph.input]
    assert sizes == [["batch", 5, 4], [5, 5], []]
    assert worst_difference(path, Masked(), image(3, 5, 4, seed=1), mask, number) <= 1e-6


class Rounds(Pair):
    def construct(self, x):
        n = Tensor(0)
        while n < 3 and x.mean() < 10:
            x, n = self.one(x), n + 1
        return x


def test_a_loop_whose_rounds_data_decides_is_refused(tmp_path):
    with pytest.raises(ExportError, match="runs as often as data decides, which has no ONNX rule; give it a fixed"):
        export_onnx(Rounds(), SHAPE, tmp_path / "net")


class Loud(Pair):
    def __init__(self):
        super().__init__()
        self.show = ops.Print()

    def construct(self, x):
        y = self.one(x)
        self.show("mean", y.mean())
        return self.two(y)


class Numbers(Pair):
    def construct(self, x):
        return self.one(x), 3, None, (x.shape[0], self.two(x)), {"width": 1.5, "x": x}


@pytest.mark.parametrize("net, tensors", [(Loud, 1), (Numbers, 3)])
def test_a_file_has_the_tensors_that_are_returned_and_nothing_else(net, tensors, tmp_path):
    assert worst_of_batches(net(), tmp_path, SHAPE) <= 1e-6
    assert len(onnx.load(tmp_path / "net.onnx").graph.output) == tensors


class Counting(Pair):
    """How often it has run."""

    def __init__(self):
        super().__init__()
        self.runs = ms.Parameter(Tensor(0.0), "runs", requires_grad=False)

    def construct(self, x):
        self.runs += 1
        return self.one(x) * self.runs


def test_a_parameter_that_running_changes(tmp_path):
    with pytest.raises(ExportError, match="writes into a parameter while the network runs, and a file keeps nothing"):
        export_onnx(Counting(), SHAPE, tmp_path / "net")


class HalfInCode(Pair):
    def construct(self, x):
        return ops.softmax(self.one(x).astype(ms.float16) * 3, -1).astype(ms.float32) + self.two(x)


def test_half_precision_in_the_code_is_compared_as_such(tmp_path):
    assert worst_of_batches(HalfInCode(), tmp_path, SHAPE) <= 2e-3


class Brain(nn.Cell):
    def construct(self, x):
        return (x.astype(ms.bfloat16) * 2).astype(ms.float32)


def test_a_type_that_engines_do_not_have_is_named(tmp_path):
    with pytest.raises(ExportError, match="a type that NumPy and ONNX's engines do not have, such as bfloat16"):
        export_onnx(Brain(), SHAPE, tmp_path / "net")
