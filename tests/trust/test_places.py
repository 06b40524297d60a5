"""Where files are written: full disks, folders that are read only, names of every kind. For every file that is written.

A file system of its own is mounted for it (tmpfs), which takes root's rights; without them the tests are skipped.
"""

import atexit
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from mindspore import nn
from src.files import save_checkpoint, save_json

from mindspore_gs import ChannelPruner, export_mindir, export_onnx, load_mindir, load_pruned, save_pruned
from mindspore_gs._files import whole_file
from mindspore_gs.cli.commands import commands
from mindspore_gs.cli.errors import CommandError
from mindspore_gs.cli.plot import draw
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import trace
from mindspore_gs.int8 import quantize_onnx
from mindspore_gs.quantization import SlbQuantAwareTraining
from mindspore_gs.quantization.constant import QuantDtype
from mindspore_gs.quantization.storage import load_quantized, save_quantized
from mindspore_gs.runs.inspection import inspect_graph
from tests.helpers import image, randomise
from tests.trust.readers import samples

SHAPE = (1, 16, 6, 6)
ODD = "with space 中文 ä=ö [1] 'x'"


def network():
    """Files of it have more than ten kilobytes, whatever they are."""
    return nn.SequentialCell(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 16, 3))


@cache
def slim():
    pruner = ChannelPruner(prune_rate=0.5, input_shape=SHAPE)
    return pruner.convert(pruner.apply(randomise(network()))).set_train(False)


@cache
def quantised():
    algorithm = SlbQuantAwareTraining(quant_dtype=(QuantDtype.INT8, QuantDtype.INT4))
    wide = nn.SequentialCell(nn.Conv2d(16, 128, 3), nn.ReLU(), nn.Conv2d(128, 16, 3))
    return algorithm.convert(algorithm.apply(randomise(wide)))


@cache
def elsewhere(name):
    """A folder with files that others are made from."""
    folder = Path(tempfile.mkdtemp(prefix="places"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    export_onnx(slim(), SHAPE, folder / "float.onnx")
    (folder / "results.json").write_bytes(samples("record")[0].replace(b'"c"', b'"' + b"c" * 9000 + b'"'))
    return folder / name


def write_page(path):
    done = CliRunner().invoke(commands, ["report", str(elsewhere("results.json")), "--out", str(path)])
    if done.exit_code:
        raise OSError(done.stderr.strip())


def write_whole(path):
    with whole_file(path) as draft:
        draft.write_text("x" * 9000)


WRITERS = {  # file, how it is written, how it is read
    "net.ckpt": (lambda path: save_pruned(slim(), path), lambda path: load_pruned(network, path)),
    "net.mindir": (lambda path: export_mindir(slim(), SHAPE, path), lambda path: load_mindir(path)(image(*SHAPE))),
    "net.onnx": (lambda path: export_onnx(slim(), SHAPE, path), None),
    "int8.onnx": (lambda path: quantize_onnx(elsewhere("float.onnx"), [image(*SHAPE).asnumpy()], path), None),
    "net.slb": (lambda path: save_quantized(quantised(), path), None),
    "page.html": (write_page, lambda path: path.read_text()),
    "whole.json": (write_whole, lambda path: path.read_text()),
    "picture.png": (lambda path: draw(inspect_graph(trace(slim(), SHAPE), "net", "couple"), path), None),
    "example.ckpt": (lambda path: save_checkpoint(slim(), path), None),
    "example.json": (lambda path: save_json(path, {"text": "x" * 9000}), lambda path: path.read_text()),
}


@pytest.fixture
def disk(tmp_path):
    """A disk of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True,
                      check=False).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def refused(write, path):
    """The one line that comes out."""
    with pytest.raises((OSError, PruningError, CommandError)) as raised:
        write(path)
    return str(raised.value)


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk(name, disk):
    """The old file is there, and nothing else is left; once there is room, the same call works."""
    path, write = disk / name, WRITERS[name][0]
    elsewhere("x"), slim(), quantised()
    path.write_bytes(b"old")
    with suppress(OSError):
        (disk / "filler").write_bytes(bytes(64 * 1024))
    (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free + (disk / "filler").stat().st_size - 4096))
    text = refused(write, path)
    assert "No space left" in text and "\n" not in text, text
    assert name in text or str(disk) in text
    assert path.read_bytes() == b"old" and sorted(p.name for p in disk.iterdir()) == sorted(["filler", name])
    (disk / "filler").unlink()
    if name != "picture.png":
        write(path)
        assert path.read_bytes() != b"old"


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_is_read_only(name, disk):
    path, write = disk / name, WRITERS[name][0]
    path.write_bytes(b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    text = refused(write, path)
    assert "Read-only file system" in text and "\n" not in text and str(disk) in text, text
    assert path.read_bytes() == b"old" and [p.name for p in disk.iterdir()] == [name]


@pytest.mark.parametrize("name", WRITERS)
def test_names(name, tmp_path):
    """Folder and file have a name with everything in it that has made trouble."""
    path = tmp_path / ODD / f"{ODD} {name}"
    path.parent.mkdir()
    write, read = WRITERS[name]
    write(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name] and path.stat().st_size > 1000
    if read is not None:
        read(path)


def test_what_was_packed_is_read_again_from_such_a_place(tmp_path):
    path = save_quantized(quantised(), tmp_path / ODD)
    wide = nn.SequentialCell(nn.Conv2d(16, 128, 3), nn.ReLU(), nn.Conv2d(128, 16, 3))
    again = load_quantized(lambda: wide, path)
    assert all(np.array_equal(a.asnumpy(), b.asnumpy()) for a, b in zip(again.get_parameters(),
                                                                       quantised().get_parameters()))


def test_temporary_files_in_such_a_place(tmp_path, monkeypatch):
    """TMPDIR itself may have such a name: MindSpore's own files go elsewhere then."""
    place = tmp_path / ODD
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    path = export_mindir(slim(), SHAPE, tmp_path / "net")
    assert load_mindir(path)(image(*SHAPE)).shape == (1, 16, 6, 6)
