"""An exported ONNX file: names, batch, several inputs and outputs, what is refused, and what is left behind."""

import builtins
import logging

import mindspore as ms
import numpy as np
import pytest

from mindspore_gs import PrunerFtCompressAlgo, export_onnx
from mindspore_gs.errors import ExportError
from mindspore_gs.export import onnx_rule
from tests import networks
from tests.export.exported import FixedBatch
from tests.export.run_onnx import run_onnx, worst_difference
from tests.helpers import image, masked, randomise, same_state, state

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
SHAPE = (1, 3, 8, 8)


@pytest.mark.parametrize("residual", ["keep", "couple"])
def test_a_slim_network(residual, tmp_path):
    net = PrunerFtCompressAlgo().convert(masked(randomise(networks.Long()), residual=residual))
    net.set_train(True)
    before = state(net)
    path = export_onnx(net, SHAPE, tmp_path / "new" / "net")
    assert path == tmp_path / "new" / "net.onnx" and [p.name for p in path.parent.iterdir()] == ["net.onnx"]
    assert same_state(before, state(net)) and path.stat().st_mode & 0o777 == 0o644
    assert max(worst_difference(path, net, image(batch, 3, 8, 8, seed=batch)) for batch in (1, 3, 5)) <= 1e-5


def test_names(tmp_path):
    net = randomise(networks.Chain())
    model = onnx.load(export_onnx(net, SHAPE, tmp_path / "net"))
    assert [v.name for v in model.graph.input] == ["x"] and [v.name for v in model.graph.output] == ["output"]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    sizes = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", 3, 8, 8] and [(p.key, p.value) for p in model.metadata_props] == [("batch", "open")]
    model = onnx.load(export_onnx(net, SHAPE, tmp_path / "net", input_names=["image"], output_names=["scores"],
                                  fold_batch_norm=False))
    assert [v.name for v in model.graph.input] == ["image"] and [v.name for v in model.graph.output] == ["scores"]
    weights = {p.name for p in net.get_parameters()}
    assert weights <= {tensor.name for tensor in model.graph.initializer}
    assert "BatchNormalization" in {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("names", [{"input_names": ["a", "b"]}, {"output_names": "output"}, {"output_names": []},
                                   {"input_names": [1]}], ids=["two", "text", "none", "number"])
def test_names_that_do_not_fit(names, tmp_path):
    with pytest.raises(ExportError, match=r"put_names must be 1 different names, one for each (in|out)put, but got "):
        export_onnx(networks.Chain(), SHAPE, tmp_path / "net", **names)
    assert list(tmp_path.iterdir()) == []


def test_several_inputs_and_outputs(tmp_path):
    net = randomise(networks.TwoInputs())
    path = export_onnx(net, [(2, 3, 8, 8), (2, 2, 8, 8)], tmp_path / "two")
    assert len(onnx.load(path).graph.output) == 3
    assert worst_difference(path, net, image(3, 3, 8, 8), image(3, 2, 8, 8, seed=1)) <= 1e-5


def test_half_precision(tmp_path):
    net = randomise(networks.Options(ms.float16))
    path = export_onnx(net, ms.ops.zeros(SHAPE, ms.float16), tmp_path / "half")
    assert worst_difference(path, net, image(*SHAPE, dtype=ms.float16)) <= 1e-2


def test_a_batch_that_cannot_be_open(tmp_path, caplog):
    net = randomise(FixedBatch())
    with caplog.at_level(logging.WARNING, "mindspore_gs"):
        path = export_onnx(net, SHAPE, tmp_path / "net")
    assert "FixedBatch: the batch of the ONNX file is fixed: " in caplog.text
    assert onnx.load(path).metadata_props[0].value.startswith("fixed: ")
    assert onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    assert worst_difference(path, net, image(*SHAPE)) <= 1e-5
    with pytest.raises(ExportError, match=r"FixedBatch cannot be exported with an open batch to .*other\.onnx: "):
        export_onnx(net, (None, 3, 8, 8), tmp_path / "other")
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


class Shrunk(networks.nn.Cell):
    """A number that depends on the batch, as an attribute of an operator."""

    def construct(self, x):
        return ms.ops.hardshrink(x, 1 / x.shape[0])


def test_a_number_that_follows_the_batch_fixes_it(tmp_path):
    path = export_onnx(Shrunk(), (3, 4), tmp_path / "net")
    assert onnx.load(path).metadata_props[0].value.startswith("fixed: ")
    assert worst_difference(path, Shrunk(), image(3, 4)) <= 1e-5


class Looked(networks.nn.Cell):
    """A table of which rows are looked up."""

    def __init__(self):
        super().__init__()
        self.table = networks.nn.Embedding(10, 4)

    def construct(self, indices):
        return self.table(indices).sum(1)


def test_the_users_own_data_are_compared(tmp_path):
    """Random indices would be zeros; with other rows than MindSpore's the file would not be kept."""
    net = randomise(Looked())
    indices = ms.Tensor([[1, 9, 3], [0, 2, 7]], ms.int32)
    path = export_onnx(net, indices, tmp_path / "net")
    assert worst_difference(path, net, ms.Tensor([[5, 5, 8]], ms.int32)) <= 1e-5


class Turned(networks.nn.Cell):
    """An operator that no rule describes."""

    def __init__(self):
        super().__init__()
        self.conv = networks.conv3(3, 4)

    def construct(self, x):
        return ms.ops.digamma(self.conv(x) + 2)


def test_an_operator_without_a_rule(tmp_path):
    with pytest.raises(ExportError, match=r"Turned cannot be exported to .*net\.onnx: operator Digamma in Default has "
                                          r"no ONNX rule; .*mindspore_gs\.export\.onnx_rule\('Digamma'\)"):
        export_onnx(Turned(), SHAPE, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_second_rule_is_refused():
    with pytest.raises(ValueError, match="operator ReLU has an ONNX rule already"):
        onnx_rule("ReLU")(lambda node, writer: "")


def test_a_rule_that_is_wrong_is_found(tmp_path, monkeypatch):
    from mindspore_gs.export.onnx_rules import registry
    monkeypatch.setitem(registry._RULES, "ReLU", lambda node, writer: writer.add("Tanh", writer.tensor(node.inputs[0])))
    with pytest.raises(ExportError, match=r"reloaded ONNX differs from the network by \S+ \(relative, allowed 1e"):
        export_onnx(randomise(networks.Chain()), SHAPE, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_without_onnxruntime_it_is_written_unchecked(tmp_path, monkeypatch, caplog):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with caplog.at_level(logging.WARNING, "mindspore_gs"):
        path = export_onnx(randomise(networks.Chain()), SHAPE, tmp_path / "net")
    assert "has not been run: onnxruntime is not installed" in caplog.text
    monkeypatch.setattr(builtins, "__import__", real)
    assert np.isfinite(run_onnx(path, image(*SHAPE))[0]).all()
