"""Exported files compute what the network computes; a failed export leaves nothing behind."""

import builtins

import mindspore as ms
import numpy as np
import pytest

from mindspore_gs import PrunerFtCompressAlgo, export_mindir, export_onnx, load_mindir
from mindspore_gs.errors import ExportError
from tests import networks
from tests.helpers import evaluate, image, masked, randomise, relative_difference, same_state, state

SHAPE = (1, 3, 8, 8)


@pytest.fixture(scope="module", params=["keep", "couple"])
def slim_network(request):
    return PrunerFtCompressAlgo().convert(masked(randomise(networks.Long()), residual=request.param))


def test_the_reloaded_mindir_is_equal(slim_network, tmp_path, mode):
    slim_network.set_train(True)
    slim_network.bn0.set_train(False)
    before = state(slim_network)
    path = export_mindir(slim_network, SHAPE, tmp_path / "new" / "net")
    assert path == tmp_path / "new" / "net.mindir" and [p.name for p in path.parent.iterdir()] == ["net.mindir"]
    assert same_state(before, state(slim_network))
    assert path.stat().st_mode & 0o777 == 0o644
    x = image(*SHAPE, seed=5)
    assert relative_difference(load_mindir(path)(x), evaluate(slim_network, x)) <= 1e-5


@pytest.mark.parametrize("inputs", [SHAPE, [SHAPE], ms.Tensor(np.zeros(SHAPE, np.float32)), np.zeros(SHAPE, np.float32),
                                    (ms.Tensor(np.zeros(SHAPE, np.float32)),)],
                         ids=["shape", "list of shapes", "tensor", "array", "tuple of tensors"])
def test_what_inputs_may_be(inputs, tmp_path):
    path = export_mindir(randomise(networks.Chain()), inputs, tmp_path / "net.mindir")
    assert path == tmp_path / "net.mindir"
    assert load_mindir(path)(image(*SHAPE)).shape == (1, 4, 8, 8)


def test_several_inputs_and_outputs(tmp_path):
    net = randomise(networks.TwoInputs())
    path = export_mindir(net, [(2, 3, 8, 8), (2, 2, 8, 8)], tmp_path / "two")
    x, y = image(2, 3, 8, 8), image(2, 2, 8, 8, seed=1)
    got = load_mindir(path)(x, y)
    logits, (auxiliary, mean) = evaluate(net, x, y)
    flat = [t for item in got for t in (item if isinstance(item, tuple) else (item,))]
    assert relative_difference(tuple(flat), (logits, auxiliary, mean)) <= 1e-5


def test_half_precision(tmp_path):
    net = randomise(networks.Options(ms.float16))
    path = export_mindir(net, ms.ops.zeros(SHAPE, ms.float16), tmp_path / "half")
    x = image(*SHAPE, dtype=ms.float16)
    assert relative_difference(load_mindir(path)(x), evaluate(net, x)) <= 1e-2


def test_onnx_computes_the_same(slim_network, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = export_onnx(slim_network, SHAPE, tmp_path / "net")
    assert path == tmp_path / "net.onnx" and path.is_file()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = image(*SHAPE, seed=5)
    got = session.run(None, {session.get_inputs()[0].name: x.asnumpy()})[0]
    assert relative_difference(ms.Tensor(got), evaluate(slim_network, x)) <= 1e-5


def test_onnx_without_onnxruntime_is_written_unchecked(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert export_onnx(randomise(networks.Chain()), SHAPE, tmp_path / "net").stat().st_size > 1000


@pytest.mark.parametrize("export", [export_mindir, export_onnx], ids=["mindir", "onnx"])
def test_a_place_that_cannot_be_written(export, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ExportError, match=r"Chain cannot be exported to .*file/net\.(mindir|onnx): "):
        export(randomise(networks.Chain()), SHAPE, tmp_path / "file" / "net")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("export, suffix", [(export_mindir, ".mindir"), (export_onnx, ".onnx")], ids=["mindir", "onnx"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(export, suffix, tmp_path, monkeypatch):
    net = randomise(networks.Chain())
    path = export(net, SHAPE, tmp_path / "net")
    before = path.read_bytes()

    def full(net, *inputs, file_name, file_format):
        with open(file_name + suffix, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ms, "export", full)
    with pytest.raises(ExportError, match="cannot be exported to .*No space left on device"):
        export(net, SHAPE, path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_file_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    net, other, real = randomise(networks.Chain()), randomise(networks.Chain(), seed=8), ms.export
    monkeypatch.setattr(ms, "export", lambda net, *inputs, **options: real(other.set_train(False), *inputs, **options))
    with pytest.raises(ExportError, match=r"reloaded MINDIR differs from the network by \S+ \(relative, allowed 1e"):
        export_mindir(net, SHAPE, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_half_written_file_is_not_kept(tmp_path, monkeypatch):
    real = ms.export

    def cut(net, *inputs, file_name, **options):
        real(net, *inputs, file_name=file_name, **options)
        with open(file_name + ".mindir", "r+b") as file:
            file.truncate(200)

    monkeypatch.setattr(ms, "export", cut)
    with pytest.raises(ExportError):
        export_mindir(randomise(networks.Chain()), SHAPE, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_inputs_that_do_not_fit(tmp_path):
    with pytest.raises(ExportError, match="Chain cannot be exported to"):
        export_mindir(networks.Chain(), (1, 5, 8, 8), tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("export", [export_mindir, export_onnx], ids=["mindir", "onnx"])
def test_what_is_no_network(export, tmp_path):
    with pytest.raises(TypeError, match="the network to export must be a mindspore.nn.Cell, but got 'str'"):
        export("net", SHAPE, tmp_path / "net")


def test_a_mindir_that_cannot_be_loaded(tmp_path):
    with pytest.raises(ExportError, match="there is no MindIR at"):
        load_mindir(tmp_path / "none.mindir")
    (tmp_path / "text.mindir").write_text("hello")
    with pytest.raises(ExportError, match="text.mindir cannot be loaded"):
        load_mindir(tmp_path / "text.mindir")
