"""Files of any name; whole or not at all; nothing left behind."""

import os
import subprocess

import pytest

from mindspore_gs import export_mindir, export_onnx, load_mindir
from mindspore_gs._files import _draft_of
from mindspore_gs.errors import ExportError
from mindspore_gs.export.files import put
from tests import networks
from tests.helpers import evaluate, image, randomise, relative_difference

SHAPE = (1, 3, 8, 8)
NAME = "a folder=1/模型 für äöü/net v1.0 (final)=2"


def test_a_mindir_of_any_name(tmp_path):
    net = randomise(networks.Chain())
    path = export_mindir(net, SHAPE, tmp_path / NAME)
    assert path == (tmp_path / NAME).with_name("net v1.0 (final)=2.mindir") and path.is_file()
    assert relative_difference(load_mindir(path)(image(*SHAPE)), evaluate(net, image(*SHAPE))) <= 1e-5
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_an_onnx_of_any_name(tmp_path):
    pytest.importorskip("onnx")
    path = export_onnx(randomise(networks.Chain()), SHAPE, tmp_path / NAME)
    assert path.stat().st_size > 1000 and [p.name for p in path.parent.iterdir()] == ["net v1.0 (final)=2.onnx"]


def test_errors_name_the_users_path(tmp_path):
    with pytest.raises(ExportError, match="Chain cannot be exported to .*模型 für.*mindir: "):
        export_mindir(networks.Chain(), (1, 5, 8, 8), tmp_path / NAME)


def test_a_file_is_replaced_only_when_it_is_whole(tmp_path, monkeypatch):
    (tmp_path / "new").write_bytes(b"new" * 1000)
    (tmp_path / "net.onnx").write_bytes(b"old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mindspore_gs.export.files.shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        put(tmp_path / "new", tmp_path / "net.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx", "new"]
    assert (tmp_path / "net.onnx").read_bytes() == b"old"


def test_leftovers_of_killed_processes_are_removed(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / "new").write_bytes(b"new")
    gone, writing = (tmp_path / f"{_draft_of(tmp_path / 'net.onnx')}.{pid}.x.draft" for pid in (dead.pid, os.getppid()))
    for folder in (gone, writing):
        folder.mkdir()
        (folder / "net.onnx").write_bytes(b"half")
    put(tmp_path / "new", tmp_path / "net.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == [writing.name, "net.onnx", "new"]
