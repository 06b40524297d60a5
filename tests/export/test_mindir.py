"""An exported MindIR computes what the network computes; a failed export leaves nothing behind."""

import os

import mindspore as ms
import numpy as np
import pytest

from mindspore_gs import PrunerFtCompressAlgo, export_mindir, export_onnx, load_mindir
from mindspore_gs.errors import ExportError, PruningError, TraceError
from mindspore_gs.graph import trace
from tests import networks
from tests.export.exported import FixedBatch
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
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(ExportError, match=r"net.onnx is an ONNX file, and load_mindir\(\) reads MindIR"):
        load_mindir(tmp_path / "net.onnx")
    with pytest.raises(ExportError, match="text.mindir is cut short, damaged, or no MindIR"):
        load_mindir(tmp_path / "text.mindir")


class Shuffled(networks.nn.Cell):
    """Reads the batch from the shape, as channel shuffles do."""

    def __init__(self):
        super().__init__()
        self.chain, self.fc = networks.Chain(), networks.nn.Dense(4, 5)

    def construct(self, x):
        x = self.chain(x)
        n, c, h, w = x.shape
        x = x.reshape(n, 2, c // 2, h, w).transpose(0, 2, 1, 3, 4).reshape(n, c, h, w)
        return self.fc(x.mean((2, 3)))


OPEN = {"none": (None, 3, 8, 8), "minus one": (-1, 3, 8, 8), "in a list": [(None, 3, 8, 8)], "list": [None, 3, 8, 8],
        "tensor": ms.Tensor(shape=[None, 3, 8, 8], dtype=ms.float32)}


@pytest.mark.parametrize("inputs", OPEN.values(), ids=OPEN)
def test_an_open_batch(inputs, tmp_path):
    net = randomise(Shuffled())
    net.set_train(True)
    before = state(net)
    path = export_mindir(net, inputs, tmp_path / "net")
    assert same_state(before, state(net)) and net.get_inputs() is None
    for batch in (1, 4, 7):
        x = image(batch, 3, 8, 8, seed=batch)
        assert relative_difference(load_mindir(path)(x), evaluate(net, x)) <= 1e-5


def test_an_open_batch_of_a_slim_network(slim_network, tmp_path, mode):
    path = export_mindir(slim_network, (None, 3, 8, 8), tmp_path / "net")
    x = image(5, 3, 8, 8)
    assert relative_difference(load_mindir(path)(x), evaluate(slim_network, x)) <= 1e-5


def test_an_open_batch_of_two_inputs(tmp_path):
    net = randomise(networks.TwoInputs())
    path = export_mindir(net, [(None, 3, 8, 8), (None, 2, 8, 8)], tmp_path / "two")
    x, y = image(3, 3, 8, 8), image(3, 2, 8, 8, seed=1)
    got = load_mindir(path)(x, y)
    flat = [t for item in got for t in (item if isinstance(item, tuple) else (item,))]
    assert relative_difference(flat[0], evaluate(net, x, y)[0]) <= 1e-5


def test_an_open_batch_that_the_network_does_not_allow(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExportError, match=r"FixedBatch cannot be exported with an open batch to .*net\.mindir: "):
        export_mindir(FixedBatch(), (None, 3, 8, 8), tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("inputs", [(1, 3, None, None), (None, 3, -1, 8), (-2, 3, 8, 8), [(1, 3, 8, 8), (2, None)],
                                    ms.Tensor(shape=[1, 3, None, 8], dtype=ms.float32)],
                         ids=["height", "height too", "unknown rank", "second input", "tensor"])
def test_only_the_batch_may_be_open(inputs, tmp_path):
    with pytest.raises(ValueError, match=r"positive sizes, and of None or -1 for an open batch in front, such as "):
        export_mindir(networks.Chain(), inputs, tmp_path / "net")


class Several(networks.nn.Cell):
    """A dict with numbers drawn at each call, and what is no tensor."""

    def __init__(self, ordinary):
        super().__init__()
        self.chain, self.ordinary = networks.Chain(), ordinary

    def construct(self, x):
        y = self.chain(x)
        drawn = y + ms.ops.standard_normal(y.shape)
        return {"drawn": drawn, "mean": y, "text": "head"} if self.ordinary else drawn


def test_dicts_and_random_outputs(tmp_path):
    net = randomise(Several(True))
    path = export_mindir(net, SHAPE, tmp_path / "net")
    x = image(*SHAPE, seed=5)
    assert relative_difference(load_mindir(path)(x)[1], evaluate(net, x)["mean"]) <= 1e-5
    with pytest.raises(ExportError, match="equals the network is unknown: every output is random. mindspore.export"):
        export_mindir(Several(False), SHAPE, tmp_path / "other")


def test_failures_leave_nothing_where_the_user_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MS_OM_PATH", raising=False)
    with pytest.raises(ExportError):
        export_mindir(networks.Chain(), (1, 5, 8, 8), tmp_path / "net")
    with pytest.raises(TraceError):
        trace(networks.Chain(), (1, 5, 8, 8))
    with pytest.raises(PruningError, match="LiteralReshape cannot be pruned as it is"):
        masked(randomise(networks.LiteralReshape()))
    assert list(tmp_path.iterdir()) == [] and "MS_OM_PATH" not in os.environ


def test_a_folder_of_the_users_own_for_failures_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("MS_OM_PATH", str(tmp_path / "failures"))
    with pytest.raises(TraceError):
        trace(networks.Chain(), (1, 5, 8, 8))
    assert (tmp_path / "failures" / "rank_0" / "om" / "analyze_fail.ir").is_file()
