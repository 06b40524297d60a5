"""examples/on_device for real: the engine fetched, its programs built, slim networks equal to 1e-5. Opt-in: slow."""

import shutil
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from mindspore_gs import prune
from tests.helpers import randomise

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "on_device"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lite():
    """The folder with the two programs, kept in output/ from run to run."""
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ to build the programs with")
    folder = ROOT / "output" / "lite"
    done = subprocess.run(["bash", str(FOLDER / "build.sh"), str(folder)], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable})
    if done.returncode == 3:  # no compiler, no wheel for this machine, or no package index
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def table(monkeypatch):
    pytest.importorskip("onnx", reason="onnx is not installed (extra 'onnx')")
    monkeypatch.syspath_prepend(str(FOLDER))
    import table

    return table


@pytest.mark.parametrize("policy", ["keep", "couple", "inner"])
@pytest.mark.parametrize("name", ["ResNet-20", "MobileNetV2", "YOLOv8-n"])
def test_slim_networks_are_equal_in_lite(name, policy, lite, table, tmp_path):
    pytest.importorskip("mindcv", reason="mindcv is not installed (extra 'zoo')")
    if name not in table.networks():
        pytest.skip("mindyolo is not installed; benchmarks/requirements-coverage.txt has it")
    build, shape = table.networks()[name]
    net = build()
    x = ms.Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    slim = prune(randomise(net), target={"macs": 0.5}, inputs=shape, residual=policy, round_to=8)
    size, milliseconds, difference = table.run_lite(lite, slim, x, tmp_path, 3)
    assert size > 1000 and milliseconds > 0 and difference <= 1e-5
