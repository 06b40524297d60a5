"""train.py as a user starts it, on the digits, with as few steps as there can be; then the use of its files."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from src.config import parse_config
from src.data import load_data
from src.engine import accuracy, predict
from src.exports import export_network
from src.restore import deployable, restore

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "resnet50_cifar10"
TINY = ("--config_path demo_digits.yaml --train_images 64 --batch_size 32 --epochs 1 --warmup_epochs 0 --kf_steps 1 "
        "--recalibrate_steps 1 --ft_epochs 1 --eval_images 48 --eval_batch_size 48 --latency_runs 2 "
        "--fine_tune masked --output_path out --results_json out/results.json")


def start(script, *arguments, folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, str(EXAMPLE / script), *arguments], cwd=folder, env=environment, text=True,
                          capture_output=True, timeout=600)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    done = start("train.py", *TINY.split(), folder=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout, json.loads((folder / "out" / "results.json").read_text())


def settings(folder, kind):
    return parse_config(["--checkpoint_path", str(folder / "out" / f"{kind}.ckpt"), "--kind", kind],
                        "demo_digits.yaml", "about")


def test_train_ends_with_the_table(run):
    _, output, _ = run
    assert "using scikit-learn's 1,797 real digits" in output
    for row in ("accuracy", "parameters", "MACs, one image", "MindIR, bytes", "latency, ms"):
        assert f"│ {row}" in output


def test_the_results_say_what_was_done(run):
    folder, _, results = run
    assert results["params_before"] == 269_722 and results["macs_before"] == 40_551_040
    assert results["prune_rate"] is None and results["config"]["target_macs"] == 0.5
    assert abs(results["macs_ratio"] - 0.5) <= 0.02
    assert results["mindir_bytes_after"] == (folder / "out" / "slim.mindir").stat().st_size
    assert results["config"]["kf_steps"] == 1 and results["seed"] == 1
    assert results["command"].endswith(TINY) and results["versions"]["mindspore"]
    assert {name: len(log) for name, log in results["log"].items()} == {"scratch": 1, "knockoff": 1, "fine_tune": 1}
    assert set(results["accuracy"]) == {"dense", "masked", "fine_tuned"}


def test_nothing_half_written_is_left(run):
    folder, _, results = run
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "dense.ckpt", "dense.mindir", "knockoff.ckpt", "masked.ckpt", "pruned.ckpt", "results.json", "run.json",
        "slim.ckpt", "slim.mindir"]
    note = json.loads((folder / "out" / "run.json").read_text())
    assert note["complete"] and note["run"] == results["run"] and note["files"] == results["files"]
    assert sorted(note["files"]) == sorted({p.name for p in (folder / "out").iterdir()} - {"results.json", "run.json"})


def test_masked_and_slim_files_give_the_fine_tuned_network(run):
    folder, _, results = run
    images = load_data(None, eval_images=48).evaluation
    logits = {kind: predict(restore(settings(folder, kind), 10), images, 48) for kind in ("masked", "slim")}
    np.testing.assert_allclose(logits["slim"], logits["masked"], rtol=1e-4, atol=1e-5)
    assert np.mean(logits["slim"].argmax(1) == images.labels) == results["accuracy"]["fine_tuned"]
    assert accuracy(restore(settings(folder, "dense"), 10), images, 48) == results["accuracy"]["dense"]


def test_a_masked_checkpoint_is_exported_slim(run, tmp_path):
    folder, _, _ = run
    path = export_network(deployable(settings(folder, "masked"), 10), tmp_path / "net", (1, 3, 32, 32))
    assert path.suffix == ".mindir"
    assert path.stat().st_size < 0.7 * (folder / "out" / "dense.mindir").stat().st_size


def test_infer_names_classes_and_latency(run):
    folder, _, _ = run
    done = start("infer.py", "--mindir", "out/slim.mindir", "--latency_runs", "2", folder=folder)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 9
    assert lines[0].startswith("test image 0 (") and lines[-1].startswith("latency ")


def test_wrong_input_is_one_line_and_exit_code_2(tmp_path):
    done = start("train.py", "--net", "vgg", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: net is 'vgg', but must be one of resnet18, resnet20, ")
    assert "Traceback" not in done.stderr
