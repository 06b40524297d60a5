"""Training steps on GPU and Ascend in the simulator: compiled, kernels found, launched; numbers are garbage.

About six minutes, so slow: `pytest -m slow tests/portability`. Needs ../shared/portability and a C compiler.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SIMULATOR = ROOT.parent / "shared" / "portability" / "sim.py"
STEPS = {"training_steps.py": [f"{residual} {network}" for residual in ("keep", "couple")
                               for network in ("knockoff", "masked", "slim")],
         "learning_steps.py": ["slb 1", "slb 4", "jointrd", "teacher", "soft", "slimming", "group_lasso", "growing"]}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SIMULATOR.is_file(), reason=f"the simulator is not at {SIMULATOR}"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="the simulator needs gcc and g++"),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """Environment of a simulated run; the no-op libraries are built once."""
    settings = {"MSSIM_OUT": str(tmp_path_factory.mktemp("simulator")), "ONEDNN_MAX_CPU_ISA": "AVX2", "GLOG_v": "3",
                "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    environment = os.environ | settings
    subprocess.run([sys.executable, str(SIMULATOR), "build"], check=True, env=environment, capture_output=True)
    return environment


@pytest.mark.parametrize("script", STEPS)
@pytest.mark.parametrize("device", ["GPU", "Ascend"])
def test_training_steps_compile_and_launch(device, script, environment, tmp_path):
    """Every step of every network in both modes reaches its end."""
    command = [sys.executable, str(SIMULATOR), "run", device, str(HERE / script), device]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, cwd=tmp_path)
    passed = {line.removeprefix(f"passed {device} ") for line in run.stdout.splitlines()
              if line.startswith(f"passed {device} ")}
    assert passed == {f"{mode} {step}" for mode in ("GRAPH", "PYNATIVE") for step in STEPS[script]}, run.stderr[-2000:]


@pytest.mark.parametrize("device", ["GPU", "Ascend"])
def test_what_a_device_does_not_have_is_refused(device, environment, tmp_path):
    """The negative control: the simulator can say no."""
    command = [sys.executable, str(SIMULATOR), "run", device, str(HERE / "refused_step.py"), device]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, cwd=tmp_path)
    assert run.returncode != 0 and "passed" not in run.stdout
    assert ("RandpermV2" if device == "GPU" else "AdaptiveMaxPool3D") in run.stderr + run.stdout
