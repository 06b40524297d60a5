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

from mindspore_gs import recalibrate
from tests.helpers import image, randomise

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("recalibrate_on_a_rank.py")
MSRUN = shutil.which("msrun", path=str(Path(sys.executable).parent)) or shutil.which("msrun")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


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
