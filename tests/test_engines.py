"""Engines: each runs its own kind of file, a function may time it, and what is missing is said."""

import os
import stat
import sys

import pytest
from mindspore import nn

from mindspore_gs import prune
from mindspore_gs.engines import LITE_FOLDER, engine
from mindspore_gs.errors import EngineError
from tests.helpers import image, randomise


def small_network():
    return randomise(nn.SequentialCell(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(),
                                       nn.Conv2d(16, 4, 1)))


@pytest.mark.parametrize("name", ["mindspore", "onnxruntime"])
def test_an_engine_times_its_own_file(name, tmp_path, monkeypatch):
    if name == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
    monkeypatch.setattr("mindspore_gs.engines.RUNS", 3)
    x = image(1, 3, 8, 8)
    found = engine(name)
    files = [found.export(small_network(), [x], tmp_path / name) for name in ("a", "b")]
    assert {file.suffix for file in files} == {".mindir" if name == "mindspore" else ".onnx"}
    times = found.time(files, [x])
    assert len(times) == 2 and all(0 < seconds < 10 for seconds in times)


def test_a_function_of_the_users_times_onnx_files():
    """The clock is the size of the file, so the target is one of bytes."""
    pytest.importorskip("onnx", reason="onnx is not installed (extra 'onnx')")
    seen = []

    def size(path):
        seen.append(path.suffix)
        return path.stat().st_size / 1e6

    net = small_network()
    small = prune(net, target={"latency": 0.6, "engine": size}, inputs=(1, 3, 8, 8))
    assert set(seen) == {".onnx"} and small[0].weight.shape[0] < 16


@pytest.mark.parametrize("returned", [0.0, -1.0, float("nan"), "fast", None, True])
def test_a_function_that_returns_no_time(returned):
    with pytest.raises(EngineError, match="must return the seconds of one inference as a positive number"):
        engine(lambda path: returned).time(["a"], [])


def test_an_unknown_engine():
    with pytest.raises(ValueError, match=r"For 'ChannelPruner', the 'target\['engine'\]' must be one of \('mindspore', "
                                         r"'onnxruntime', 'lite'\) or a function"):
        prune(small_network(), target={"latency": 0.5, "engine": "tvm"}, inputs=(1, 3, 8, 8))


def test_an_engine_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"pip install 'mindspore-gs-pruner\[onnx\]'"):
        engine("onnxruntime")
    monkeypatch.delenv(LITE_FOLDER, raising=False)
    with pytest.raises(EngineError, match="examples/on_device/build.sh"):
        engine("lite")


def test_lite_reads_what_its_program_prints(tmp_path, monkeypatch):
    """With programs that only print: what is called, and what is made of it."""
    for name, text in (("convert", 'touch "$3.ms"'), ("run", 'echo "inputs 1: 1 8 8 3"; echo "median ms 2.500"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        os.chmod(tmp_path / name, stat.S_IRWXU)
    monkeypatch.setenv(LITE_FOLDER, str(tmp_path))
    assert engine("lite").time([tmp_path / "net.ms"], [image(1, 3, 8, 8)]) == [0.0025]
    (tmp_path / "run").write_text("#!/bin/sh\necho build failed; exit 1\n")
    with pytest.raises(EngineError, match="MindSpore Lite's run failed: build failed"):
        engine("lite").time([tmp_path / "net.ms"], [image(1, 3, 8, 8)])
