"""Peak memory of a process that loads a MindIR and runs it.

    python benchmarks/memory.py net.mindir 1 3 224 224

prints megabytes: VmHWM of the process, so Linux only. What MindSpore needs without any network is in it. (ru_maxrss
would not do: a new process starts with that of its parent.)
"""

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

RUNS = 3


def peak_memory(file: Path, shape: tuple[int, ...]) -> int:
    """Megabytes, measured in a process of its own.

    Raises:
        subprocess.CalledProcessError: the file cannot be run.
    """
    command = [sys.executable, str(Path(__file__).resolve()), str(file), *map(str, shape)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def main() -> None:
    """Run the file in this process and print the peak."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("shape", type=int, nargs="+", help="shape of the input")
    options = parser.parse_args()

    import mindspore as ms
    ms.set_context(mode=ms.GRAPH_MODE)
    cell = ms.nn.GraphCell(ms.load(str(options.file)))
    x = ms.ops.zeros(tuple(options.shape), ms.float32)
    for _ in range(RUNS):
        cell(x).asnumpy()
    status = Path("/proc/self/status").read_text()
    print(next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM:")))


if __name__ == "__main__":
    main()
