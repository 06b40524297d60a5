"""A file's batch is open where every batch computes what the network does, and its values have names of their own."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindspore_gs import export_onnx
from mindspore_gs.errors import ExportError
from mindspore_gs.export.onnx import _weights
from tests.export.run_onnx import run_onnx, worst_difference
from tests.helpers import image, randomise
from tests.networks import Ranked

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
onnx = pytest.importorskip("onnx")


class Squeezed(nn.Cell):
    """Of a single sample the batch goes as well."""

    def construct(self, x):
        return x.mean((2, 3), keep_dims=True).squeeze()


@pytest.mark.parametrize("batch", [1, 2])
def test_a_network_that_treats_a_single_sample_otherwise(batch, tmp_path):
    """Its file was refused for a single sample, and said to be open for two."""
    path = export_onnx(Squeezed(), (batch, 4, 3, 3), tmp_path / "net")
    assert onnx.load(path).metadata_props[0].value.startswith("fixed: with batch 1, from inputs of the shapes [(1, 4, ")
    assert worst_difference(path, Squeezed(), image(batch, 4, 3, 3)) <= 1e-6


def test_an_open_batch_that_is_demanded_of_it_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"with an open batch to .*shapes \[\(1, 4\)\], but the network \[\(4,\)\]"):
        export_onnx(Squeezed(), (None, 4, 3, 3), tmp_path / "net")


class Second(nn.Cell):
    """Takes no single sample."""

    def construct(self, x):
        return x + x[1]


def test_a_batch_that_the_network_does_not_take_is_not_tried(tmp_path):
    path = export_onnx(Second(), (2, 4), tmp_path / "net")
    assert onnx.load(path).metadata_props[0].value == "open"
    assert worst_difference(path, Second(), image(3, 4)) <= 1e-6


class Counted(nn.Cell):
    """The mean over as many entries as a second input says."""

    def construct(self, x, count):
        return ops.relu(x).sum(1) / count


def test_integers_that_are_all_the_same_are_data(tmp_path, monkeypatch):
    """With zeros, every number that is compared would be infinite."""
    seen = []
    monkeypatch.setattr("mindspore_gs.export.onnx_judge.first_doubt",
                        lambda net, run, probes, kinds: seen.extend(probe[1].asnumpy() for probe in probes))
    export_onnx(Counted(), [image(2, 4), Tensor([4, 4], ms.int32)], tmp_path / "net")
    assert [len(count) for count in seen] == [2, 3, 1] and all((count == 4).all() for count in seen)


class Edges(nn.Cell):
    """A graph network: any number of nodes, and edges as another input."""

    def construct(self, x, edges):
        return ops.unsorted_segment_sum(ops.gather(x, edges[0], 0), edges[1], x.shape[0])


def test_segments_as_many_as_the_batch(tmp_path):
    edges = Tensor([[0, 1, 2, 4, 4], [1, 0, 1, 3, -1]], ms.int32)
    path = export_onnx(Edges(), [image(5, 3), edges], tmp_path / "net")
    assert onnx.load(path).metadata_props[0].value == "open"
    assert worst_difference(path, Edges(), image(7, 3), edges) <= 1e-6


class Named(nn.Cell):
    """Input, output and parameters of the same names."""

    def __init__(self):
        super().__init__()
        self.x, self.output = (Parameter(Tensor([value]), name) for value, name in ((2.0, "x"), (3.0, "output")))

    def construct(self, x):
        return ops.relu(x * self.x + self.output)


def test_names_that_weights_have_already(tmp_path):
    model = onnx.load(path := export_onnx(Named(), (2, 4), tmp_path / "net"))
    assert [v.name for v in (*model.graph.input, *model.graph.output)] == ["x_1", "output_1"]
    assert worst_difference(path, Named(), image(3, 4)) <= 1e-6
    with pytest.raises(ExportError, match="the name 'x' of an input or output belongs to another value of the network"):
        export_onnx(Named(), (2, 4), tmp_path / "net", input_names=["x"])
    inside = export_onnx(Named(), (2, 4), tmp_path / "net", input_names=["Mul"], output_names=["Add"])
    np.testing.assert_array_equal(run_onnx(inside, Tensor([[1.0, -9.0, 0.0, 2.0]]))[0], [[5, 0, 3, 7]])


class Returned(nn.Cell):
    """Inputs, constants and one tensor several times."""

    def construct(self, output, count):
        y = output + 1
        return output, y, y, Tensor([1.0, 2.0]), (output, y), ops.ones((output.shape[0], 2), ms.float32), count


def test_what_a_network_may_return(tmp_path):
    inputs = image(2, 4), Tensor([[1], [2]], ms.int32)
    path = export_onnx(Returned(), inputs, tmp_path / "net")
    assert onnx.load(path).metadata_props[0].value == "open"
    assert worst_difference(path, Returned(), image(3, 4), Tensor([[3], [4], [5]], ms.int32)) == 0


def test_a_ranking_that_rounding_changes_is_judged_by_its_layers(tmp_path, caplog):
    """YOLOv10 was refused: its boxes are ranked by scores."""
    net = randomise(Ranked())
    path = export_onnx(net, (2, 3, 8, 8), tmp_path / "net")
    assert worst_difference(path, net, image(2, 3, 8, 8)) > 0.1
    assert onnx.load(path).metadata_props[0].value == "open"
    assert "does not show whether the ONNX file is equal. All its layers are." in caplog.text


@pytest.mark.parametrize("wrong", ["bn.gamma", "box.weight", "score.weight"])
def test_a_wrong_layer_of_a_ranking_is_not_excused(wrong, tmp_path, monkeypatch):
    def changed(net, graph):
        return {name: value * (1.001 if name == wrong else 1) for name, value in _weights(net, graph).items()}

    monkeypatch.setattr("mindspore_gs.export.onnx._weights", changed)
    with pytest.raises(ExportError, match="whether the reloaded ONNX equals the network is unknown|differs from"):
        export_onnx(randomise(Ranked()), (2, 3, 8, 8), tmp_path / "net")
