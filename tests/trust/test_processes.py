"""Several processes, started by msrun on this CPU: all of them get what one process with all data gets."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs import load_pruned, recalibrate
from tests import networks
from tests.helpers import image, randomise

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("recalibrate_on_a_rank.py")
TRAIN = Path(__file__).with_name("train_on_a_rank.py")
MSRUN = shutil.which("msrun", path=str(Path(sys.executable).parent)) or shutil.which("msrun")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def msrun(folder, script, *arguments):
    """Two processes of a script."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    folder.mkdir(exist_ok=True)
    done = subprocess.run([MSRUN, "--worker_num=2", "--local_worker_num=2", f"--master_port={free_port()}",
                           f"--log_dir={folder / 'logs'}", "--join=True", str(script), *map(str, arguments)],
                          env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}, capture_output=True, text=True,
                          timeout=500, cwd=folder)
    return done, "\n".join(log.read_text()[-3000:] for log in sorted((folder / "logs").glob("worker*.log")))


@pytest.mark.slow
@pytest.mark.skipif(MSRUN is None, reason="msrun is not installed")
@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_all_phases_on_two_ranks(mode, tmp_path):
    """Both processes get the same, and what one process with the whole batch gets; the checkpoint is whole."""
    done, logs = msrun(tmp_path, TRAIN, tmp_path, mode, "together")
    assert done.returncode == 0, logs
    subprocess.run([sys.executable, str(TRAIN), str(tmp_path), str(mode), "alone"], check=True, timeout=500,
                   env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path)
    one, other, alone = (np.load(tmp_path / f"{name}.npz") for name in ("together0", "together1", "alone0"))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    for name in ("masks", "masks_of_taylor"):
        np.testing.assert_array_equal(one[name], alone[name], err_msg=name)
    assert (one["scales"] != 0.5).any()
    for name in ("scales", "statistics", "fine_tuned"):
        np.testing.assert_allclose(one[name], alone[name], rtol=1e-4, atol=1e-5, err_msg=name)
    small = load_pruned(networks.Long, tmp_path / "slim.ckpt")
    assert not list(tmp_path.glob(".slim*")) and small.prune_plan is not None


@pytest.mark.slow
@pytest.mark.skipif(MSRUN is None, reason="msrun is not installed")
def test_a_rank_that_dies(tmp_path):
    """The run ends with an error instead of waiting for it, and the same command works afterwards."""
    done, logs = msrun(tmp_path, TRAIN, tmp_path, ms.PYNATIVE_MODE, "dies")
    assert done.returncode != 0 and not list(tmp_path.glob("*.npz")), logs
    assert "exit with exception. Error code: -9" in done.stdout + done.stderr  # msrun says which, and stops the other
    assert "worker 1 is the first one timed out" in (tmp_path / "logs" / "scheduler.log").read_text()
    again, logs = msrun(tmp_path / "again", TRAIN, tmp_path, ms.PYNATIVE_MODE, "together")
    assert again.returncode == 0 and len(list(tmp_path.glob("together*.npz"))) == 2, logs


@pytest.mark.slow
@pytest.mark.skipif(MSRUN is None, reason="msrun is not installed")
@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_two_ranks(mode, tmp_path):
    """Recalibration with three batches on the first rank and two on the second; then masks by measured latency."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run([MSRUN, "--worker_num=2", "--local_worker_num=2", f"--master_port={free_port()}",
                           f"--log_dir={tmp_path / 'logs'}", "--join=True", str(SCRIPT), str(tmp_path), str(mode)],
                          env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}, capture_output=True, text=True,
                          timeout=500, cwd=tmp_path)
    logs = "\n".join(log.read_text()[-2000:] for log in (tmp_path / "logs").glob("worker*.log"))
    assert done.returncode == 0, logs
    one = randomise(nn.SequentialCell(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.ReLU()))
    recalibrate(one, [image(4, 3, 8, 8, seed=k) * (k + 1) for k in range(5)])
    ranks = [np.load(tmp_path / f"rank{k}.npz") for k in (0, 1)]
    np.testing.assert_array_equal(ranks[0]["mean"], ranks[1]["mean"])
    np.testing.assert_array_equal(ranks[0]["variance"], ranks[1]["variance"])
    np.testing.assert_array_equal(ranks[0]["kept"], ranks[1]["kept"])
    assert abs(ranks[0]["kept"].sum() / 64 - 0.5) <= 0.02
    assert ranks[0]["measured"] >= 1 and ranks[1]["measured"] == 0
    np.testing.assert_allclose(ranks[0]["mean"], one[1].moving_mean.asnumpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ranks[0]["variance"], one[1].moving_variance.asnumpy(), rtol=1e-5)
