"""train.py is killed, started again with the same command, and ends as if nothing had happened."""
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from src.config import Config, override
from src.files import save_json, write_whole
from src.resume import Run

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "resnet50_cifar10" / "train.py"
TINY = ("--config_path demo_digits.yaml --train_images 64 --batch_size 32 --epochs 1 --warmup_epochs 0 --kf_steps 2 "
        "--recalibrate_steps 1 --ft_epochs 1 --eval_images 48 --eval_batch_size 48 --export false --output_path out "
        "--results_json out/results.json")


def settings(folder, **values):
    return override(Config(), {"output_path": str(folder), **values})


def test_what_is_done_is_known_to_the_next_process(tmp_path):
    run = Run(settings(tmp_path))
    assert run.begin("dense") is None
    run.finish("dense", [{"epoch": 1, "loss": 0.5}])
    again = Run(settings(tmp_path, results_json="elsewhere.json"))
    assert again.begin("dense") == {"log": [{"epoch": 1, "loss": 0.5}]} and again.begin("knockoff") is None
    again.end()
    assert Run(settings(tmp_path)).begin("dense") is None and [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_stage_whose_file_is_another_one_is_done_again(tmp_path):
    run = Run(settings(tmp_path))
    (tmp_path / "dense.ckpt").write_bytes(b"weights")
    run.finish("dense", [], "dense.ckpt")
    assert Run(settings(tmp_path)).begin("dense", "dense.ckpt") == {"log": []}
    (tmp_path / "dense.ckpt").write_bytes(b"of another run")
    assert Run(settings(tmp_path)).begin("dense", "dense.ckpt") is None
    (tmp_path / "dense.ckpt").unlink()
    assert Run(settings(tmp_path)).begin("dense", "dense.ckpt") is None


def test_what_was_measured_is_not_measured_again(tmp_path):
    Run(settings(tmp_path)).once("accuracy dense", lambda: 0.5)
    assert Run(settings(tmp_path)).once("accuracy dense", lambda: 1 / 0) == 0.5


def test_every_file_of_a_run_is_named(tmp_path):
    run = Run(settings(tmp_path))
    (tmp_path / "dense.ckpt").write_bytes(b"weights")
    run.finish("dense", [], "dense.ckpt")
    note = json.loads((tmp_path / "run.json").read_text())
    assert note["files"] == {"dense.ckpt": hashlib.sha256(b"weights").hexdigest()} and note["run"] == run.name
    assert Run(settings(tmp_path, output_path="elsewhere")).name == run.name != Run(settings(tmp_path, seed=2)).name


@pytest.mark.parametrize("values", [{"seed": 2}, {"lr": 0.2}, {"net": "resnet56"}, {"kf_config": "{batch_axis: 0}"}])
def test_other_settings_start_anew(values, tmp_path):
    Run(settings(tmp_path)).finish("dense", [])
    assert Run(settings(tmp_path, **values)).begin("dense") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"settings": {}}'])
def test_a_note_that_cannot_be_read_counts_as_none(text, tmp_path):
    (tmp_path / "run.json").write_text(text)
    assert Run(settings(tmp_path)).begin("dense") is None


def test_every_stage_starts_from_the_seed(tmp_path):
    drawn = []
    for before in (0, 5):
        ms.ops.rand(before + 1)
        np.random.random(before)
        Run(settings(tmp_path, seed=7)).begin("knockoff")
        drawn.append((ms.ops.rand(3).asnumpy().tolist(), np.random.random(2).tolist()))
    assert drawn[0] == drawn[1]


WRITER = """
import sys, time
sys.path.insert(0, {source!r})
from pathlib import Path
from src.files import write_whole
def slowly(place):
    place.write_text("half")
    print("writing", flush=True)
    time.sleep(100)
write_whole(Path({target!r}), slowly)
"""


def test_killed_while_a_file_is_written(tmp_path):
    """The old file is there, and the next save removes what the killed one has left."""
    target = tmp_path / "report.json"
    save_json(target, {"old": 1})
    code = WRITER.format(source=str(SCRIPT.parent), target=str(target))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                               env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert process.stdout.readline() == "writing\n"
    process.kill()
    process.wait()
    assert json.loads(target.read_text()) == {"old": 1}
    assert len(list(tmp_path.glob(".report.json.*.draft"))) == 1
    save_json(target, {"new": 2})
    assert json.loads(target.read_text()) == {"new": 2} and [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_a_draft_of_a_living_process_stays(tmp_path):
    def write(place):
        save_json(tmp_path / "a.json", {"inner": 1})
        place.write_text("outer")

    write_whole(tmp_path / "a.json", write)
    assert (tmp_path / "a.json").read_text() == "outer" and len(list(tmp_path.iterdir())) == 1


def start(folder):
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("a") as log:
        return subprocess.Popen([sys.executable, str(SCRIPT), *TINY.split()], cwd=folder, stdout=log, stderr=log,
                                env=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.mark.slow
def test_killed_between_stages(tmp_path):
    """Killed when dense.ckpt is there, then when knockoff.ckpt is: all files end up with the same bytes of weights."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(whole).wait(timeout=900) == 0
    for name in ("dense", "knockoff"):
        process = start(broken)
        while process.poll() is None and f'"{name}": {{' not in _note(broken):
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert start(broken).wait(timeout=900) == 0
    assert (broken / "log").read_text().count("already done") == 3  # dense twice, knockoff once
    for name in ("dense", "knockoff", "masked", "slim"):
        one, other = (folder / "out" / f"{name}.ckpt" for folder in (whole, broken))
        assert one.read_bytes() == other.read_bytes(), name
    assert sorted(p.name for p in (broken / "out").iterdir()) == sorted(p.name for p in (whole / "out").iterdir())


def _note(folder):
    note = folder / "out" / "run.json"
    try:
        return note.read_text()
    except FileNotFoundError:
        return ""
