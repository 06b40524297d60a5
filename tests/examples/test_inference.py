"""Exported files run without this package: with MindSpore alone, and with onnxruntime alone."""

import re
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from PIL import Image

from mindspore_gs import export_mindir, export_onnx, prune
from tests.helpers import evaluate, randomise

FOLDER = Path(__file__).parents[2] / "examples" / "inference"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a slim network in both formats and a picture, and the logits of the picture."""
    folder = tmp_path_factory.mktemp("inference")
    net = randomise(nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2),
                                      nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dense(16, 5)))
    small = prune(net, prune_rate=0.5, inputs=(1, 3, 24, 24))
    export_mindir(small, (1, 3, 24, 24), folder / "slim")
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "picture.png")
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = ((pixels / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
    return folder, small, evaluate(small, ms.Tensor(x)).asnumpy()[0]


def run(script, forbidden, *arguments):
    """Start a script in a Python in which ``forbidden`` cannot be imported."""
    code = (f"import runpy, sys; sys.modules.update(dict.fromkeys({forbidden!r})); "
            f"sys.path.insert(0, {str(FOLDER)!r}); sys.argv = {[script, *map(str, arguments)]!r}; "
            f"runpy.run_path({str(FOLDER / script)!r}, run_name='__main__')")
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)


def check(done, logits):
    share = np.exp(logits - logits.max())
    share = 100 * share / share.sum()
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.findall(r"class (\d+) ([\d.]+)%", done.stdout)
    assert done.stdout.startswith("picture.png: ") and [int(k) for k, _ in found] == np.argsort(-share)[:3].tolist()
    np.testing.assert_allclose([float(value) for _, value in found], np.sort(share)[::-1][:3], atol=0.06)


def test_with_nothing_but_mindspore(made):
    folder, _, logits = made
    check(run("with_mindspore.py", ["mindspore_gs", "onnx", "onnxruntime"], folder / "slim.mindir",
              folder / "picture.png", "--size", 24), logits)


def test_with_nothing_but_onnxruntime(made):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
    folder, small, logits = made
    export_onnx(small, (1, 3, 24, 24), folder / "slim")
    check(run("with_onnxruntime.py", ["mindspore_gs", "mindspore", "onnx"], folder / "slim.onnx",
              folder / "picture.png"), logits)


def test_what_is_forbidden_is_really_missing(made):
    done = run("with_mindspore.py", ["mindspore"], made[0] / "slim.mindir", made[0] / "picture.png")
    assert done.returncode == 1 and "ModuleNotFoundError: import of mindspore halted" in done.stderr
