"""Programs end without a word of MindSpore's cells, and real errors are seen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NETWORKS = """
import sys
import mindspore as ms
from mindspore import nn
{imports}
ms.set_context(mode=ms.{mode})
network = nn.SequentialCell(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
network(ms.ops.zeros((1, 3, 8, 8), ms.float32))
networks = [nn.SequentialCell(nn.Dense(2, 2), nn.Dense(2, 2)) for _ in range(5)]
sys.modules_of_a_test_runner = dict(sys.modules)  # keeps modules until the interpreter empties them
"""


def run(tmp_path, text):
    script = tmp_path / "script.py"
    script.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOG_v": "4", "PYTHONWARNINGS": "ignore"}
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, env=environment,
                          timeout=300)


@pytest.mark.parametrize("mode", ["PYNATIVE_MODE", "GRAPH_MODE"])
def test_networks_in_globals(mode, tmp_path):
    done = run(tmp_path, NETWORKS.format(imports="import mindspore_gs", mode=mode))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_mindspore_does_by_itself(tmp_path):
    done = run(tmp_path, NETWORKS.format(imports="", mode="PYNATIVE_MODE"))
    assert done.stderr.count("Exception ignored in: <function Cell.__del__") > 5


def test_real_errors_are_seen(tmp_path):
    done = run(tmp_path, NETWORKS.format(imports="import mindspore_gs", mode="PYNATIVE_MODE") + """
class Own(nn.Cell):
    def __del__(self):
        raise OSError("in a __del__ of the user's own")

own = Own()
raise KeyError("at the end")
""")
    assert done.returncode == 1 and "Cell.__del__" not in done.stderr.replace("Own.__del__", "")
    assert "KeyError: 'at the end'" in done.stderr and "OSError: in a __del__ of the user's own" in done.stderr


def test_cells_release_their_graphs_until_then(tmp_path):
    done = run(tmp_path, NETWORKS.format(imports="import mindspore_gs", mode="GRAPH_MODE") + """
before = nn.Cell.total_instance_count
del network, networks
print(before - nn.Cell.total_instance_count)
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, "19\n", "")
