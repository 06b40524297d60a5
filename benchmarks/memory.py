"""Peak memory of a process that loads an exported file and runs it: MindIR, ONNX, or MindSpore Lite's .ms.

    python benchmarks/memory.py net.mindir 1 3 224 224

prints megabytes: VmHWM of the process, so Linux only. What the engine needs without any network is in it: MindSpore
some 410 MB, onnxruntime in Python 60 MB. (ru_maxrss would not do: a new process starts with that of its parent.)
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

RUNS = 3


def peak_memory(file: Path, shape: tuple[int, ...]) -> int:
    """Megabytes, measured in a process of its own; a ``.ms`` file is run by the program of examples/on_device.

    Raises:
        subprocess.CalledProcessError: the file cannot be run.
    """
    if file.suffix == ".ms":
        return _of_lite(file, shape)
    command = [sys.executable, str(Path(__file__).resolve()), str(file), *map(str, shape)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def _of_lite(file: Path, shape: tuple[int, ...]) -> int:
    import numpy as np

    program = Path(os.environ["MINDSPORE_GS_LITE"]) / "run"
    with tempfile.TemporaryDirectory() as folder:
        np.zeros(shape, np.float32).tofile(f"{folder}/x")
        command = [str(program), str(file), f"{folder}/x", f"{folder}/y", "1", str(RUNS)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(told.partition("peak MB ")[2].split()[0])


def main() -> None:
    """Run the file in this process and print the peak."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("shape", type=int, nargs="+", help="shape of the input")
    options = parser.parse_args()
    (_run_onnx if options.file.suffix == ".onnx" else _run_mindir)(options.file, tuple(options.shape))
    status = Path("/proc/self/status").read_text()
    print(next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM:")))


def _run_mindir(file: Path, shape: tuple[int, ...]) -> None:
    import mindspore as ms
    ms.set_context(mode=ms.GRAPH_MODE)
    cell = ms.nn.GraphCell(ms.load(str(file)))
    x = ms.ops.zeros(shape, ms.float32)
    for _ in range(RUNS):
        wait(cell(x))


def wait(outputs: Any) -> None:
    """Wait for nested tuples and lists of tensors. The package can do that too, but its own memory would count here."""
    if isinstance(outputs, (tuple, list)):
        for value in outputs:
            wait(value)
    else:
        outputs.asnumpy()


def _run_onnx(file: Path, shape: tuple[int, ...]) -> None:
    import numpy as np
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    for _ in range(RUNS):
        session.run(None, {session.get_inputs()[0].name: np.zeros(shape, np.float32)})


if __name__ == "__main__":
    main()
