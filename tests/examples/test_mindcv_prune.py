"""examples/mindcv_prune as a user starts it, on an image folder that the test draws, and what its settings refuse."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mindspore_gs import load_mindir, load_pruned
from tests.examples.drawn import draw_folder
from tests.helpers import evaluate, image

FOLDER = Path(__file__).parents[2] / "examples" / "mindcv_prune"
needs_mindcv = pytest.mark.skipif(find_spec("mindcv") is None, reason="mindcv is not installed (extra 'zoo')")


def start(*arguments, folder):
    command = [sys.executable, str(FOLDER / "prune.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run with as few steps as there can be: compensation, fine-tuning with teacher, both files."""
    folder = tmp_path_factory.mktemp("mindcv")
    draw_folder(folder / "shapes", train=6, val=3)
    (folder / "own.yaml").write_text("model: mobilenet_v1_025\nimage_size: 32\nbatch_size: 9\nweight_decay: 1e-4\n")
    run = start("--config", "own.yaml", "--data", "shapes", "--epochs", 1, "--ft_epochs", 1, "--repair_steps", 2,
                "--repair", "compensate", "--macs", 0.4, folder=folder)
    assert run.returncode == 0, run.stderr[-3000:]
    return folder / "output", run.stdout, json.loads((folder / "output" / "results.json").read_text())


@needs_mindcv
def test_the_files_hold_the_small_network(done):
    from mindcv.models import create_model
    folder, _, results = done
    small = load_pruned(lambda: create_model("mobilenet_v1_025", num_classes=3), folder / "slim.ckpt")
    x = image(1, 3, 32, 32)
    assert abs(load_mindir(folder / "slim.mindir")(x) - evaluate(small, x)).max() < 1e-4
    params = results["params"]
    assert sum(p.size for p in small.trainable_params()) == params["after"] < params["before"]
    assert abs(results["macs"]["ratio"] - 0.4) <= 0.02
    assert results["files"] == {name: (folder / name).stat().st_size for name in results["files"]}
    assert set(results["files"]) == {"slim.ckpt", "slim.mindir", "slim.onnx"}


@needs_mindcv
def test_accuracy_is_measured_at_each_stage(done):
    _, output, results = done
    assert list(results["accuracy"]) == ["dense", "pruned", "fine-tuned"]
    assert {title: len(log) for title, log in results["training"].items()} == {"training": 1, "fine-tuning": 1}
    assert "Course of the training" in (done[0] / "report.html").read_text()
    assert all(round(9 * value) / 9 == value for value in results["accuracy"].values())  # nine images
    assert output.count(": accuracy ") == 3


@needs_mindcv
def test_mistakes_are_one_line(tmp_path):
    draw_folder(tmp_path / "shapes", train=1, val=1)
    for arguments, said in ((("--epochs", 1, "--data", "shapes"), "has less than batch_size (32) images"),
                            (("--epochs", 1, "--data", "nowhere"), "data must be a folder of images")):
        run = start(*arguments, folder=tmp_path)
        assert run.returncode == 2 and run.stderr.splitlines()[-1].startswith("error: ") and said in run.stderr


@pytest.fixture
def settings(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "settings", raising=False)
    import settings
    yield settings
    sys.modules.pop("settings", None)


@pytest.mark.parametrize("arguments, message", [
    ("", "the weights are those of an untrained network"),
    ("--epochs 1 --macs 50", "macs must be between 0 and 1, such as 0.5, but got 50.0"),
    ("--epochs many", "epochs must be int, but got 'many'"),
    ("--epochs 1 --residual none", "residual must be one of couple, keep, inner, but got 'none'"),
    ("--epochs 1 --config none.yaml", "the example has mobilenet_v2_folder.yaml, resnet18_cifar10.yaml"),
    ("--checkpoint x.ckpt --pretrained true", "give checkpoint or pretrained, not both"),
    ("--epoch 1", "unrecognized arguments: --epoch 1")])
def test_settings_are_refused(settings, arguments, message):
    with pytest.raises(settings.InputError) as error:
        settings.read_settings(arguments.split(), None)
    assert message in str(error.value)


def test_the_command_line_goes_over_the_file(settings):
    found = settings.read_settings(["--config", "resnet18_cifar10.yaml", "--lr", "1e-2", "--ignore", "conv1", "layer4"],
                                   None)
    assert (found.epochs, found.lr, found.weight_decay, found.ignore) == (30, 0.01, 5e-4, ["conv1", "layer4"])


