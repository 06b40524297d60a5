"""What is wrong with this installation or machine, and the remedy for each. Needs nothing but Python."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

SLOW = 2.0  # GFLOP/s; a convolution on oneDNN's reference code reaches 0.6, on its fast code tens of them
_WITHOUT_AVX512 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI")
_SUPPORTED = (2, 7), (2, 11)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: its name.
        level: ``"ok"``, ``"note"`` (something is missing that you may not need) or ``"problem"``.
        found: what is the case.
        remedy: what to do; empty where nothing is.
    """

    check: str
    level: str
    found: str
    remedy: str = ""

    def document(self) -> dict[str, str]:
        """As a dict."""
        return asdict(self)

    def line(self) -> str:
        """As text; the remedy is on a line of its own."""
        line = f"{self.level:8} {self.check:12} {self.found}"
        return line + (f"\n{'':9}-> {self.remedy}" if self.remedy else "")


def examine() -> list[Finding]:
    """Look at everything; takes a few seconds, most of them for one convolution."""
    return [python(), numpy_version(), mindspore_version(), owner_of_the_package(), *extras(), launcher(), plugins(),
            convolution(measure_convolution)]


def python() -> Finding:
    """MindSpore's wheels exist for Python 3.10 to 3.12 here."""
    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 10) <= sys.version_info[:2] <= (3, 12):
        return Finding("Python", "ok", found)
    return Finding("Python", "problem", found, "Use Python 3.10, 3.11 or 3.12.")


def numpy_version() -> Finding:
    """MindSpore's wheels are built for NumPy 1."""
    found = _version("numpy")
    if found is None or int(found.split(".")[0]) >= 2:
        return Finding("NumPy", "problem", found or "missing",
                       "MindSpore needs NumPy 1, and fails later with messages such as \"SystemError: pyboost_zeros\": "
                       "pip install 'numpy<2'. (Installing onnx or onnxruntime afterwards may bring NumPy 2 back.)")
    return Finding("NumPy", "ok", found)


def mindspore_version() -> Finding:
    """The range that this package is tested with."""
    found = _version("mindspore")
    if found is None:
        return Finding("MindSpore", "problem", "missing", "pip install 'mindspore>=2.7,<2.11'")
    parts = tuple(int(part) for part in found.split(".")[:2])
    if _SUPPORTED[0] <= parts < _SUPPORTED[1]:
        return Finding("MindSpore", "ok", found)
    return Finding("MindSpore", "problem", found, "This package is for 2.7 to 2.10: pip install 'mindspore>=2.7,<2.11'")


def owner_of_the_package() -> Finding:
    """Which ``mindspore_gs`` Python takes. Golden Stick's distribution has a package of the same name."""
    name, own = "mindspore_gs", Path(__file__).resolve().parents[1] / "mindspore_gs"
    found = PathFinder.find_spec(name, [os.getcwd(), *sys.path])
    folder = Path(next(iter((found and found.submodule_search_locations) or ()), own)).resolve()
    if found is not None and found.origin is None:
        return Finding(name, "problem", f"{folder} has no __init__.py: remains of another package of this name",
                       f"Remove {folder}, then pip install --force-reinstall --no-deps mindspore-gs-pruner.")
    origin = Path(found.origin).resolve() if found is not None and found.origin is not None else own / "__init__.py"
    if origin != own / "__init__.py":
        return Finding(name, "problem", f"Python takes {origin} for mindspore_gs, and not {own}",
                       "Move that file or folder away, or take its place off PYTHONPATH; it lies in front of this "
                       "package, in the current directory or on Python's path.")
    if _version("mindspore-gs") is None:
        return Finding(name, "ok", str(own))
    return Finding(name, "problem", f"{own}; mindspore-gs {_version('mindspore-gs')} (Golden Stick) is installed, too",
                   "Both are imported as mindspore_gs: pip uninstall mindspore-gs mindspore-gs-pruner, then install "
                   "the one that you want.")


def extras() -> list[Finding]:
    """Libraries that single commands need."""
    wanted = {"onnx": "ONNX files: pip install 'mindspore-gs-pruner[onnx]'",
              "onnxruntime": "checking ONNX files: pip install 'mindspore-gs-pruner[onnx]'",
              "matplotlib": "pictures: pip install 'mindspore-gs-pruner[plot]'"}
    return [Finding(name, "note", "missing", f"Needed for {what}") if _version(name) is None
            else Finding(name, "ok", str(_version(name))) for name, what in wanted.items()]


def launcher() -> Finding:
    """MindSpore's command for several processes."""
    found = shutil.which("msrun") or shutil.which(str(Path(sys.executable).parent / "msrun"))
    if found:
        return Finding("msrun", "ok", found)
    return Finding("msrun", "note", "not in PATH", "Needed for several processes; it comes with MindSpore. Activate "
                   "the environment, or add its bin folder to PATH.")


def plugins() -> Finding:
    """Device plugins beside the CPU."""
    package = distribution("mindspore").locate_file("mindspore/lib/plugin") if _version("mindspore") else ""
    folder = Path(str(package))
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    devices = [name for name in names if name.lower().startswith(("gpu", "ascend"))]
    return Finding("plugins", "ok", ", ".join(["cpu", *devices]))


def measure_convolution() -> float:
    """GFLOP/s of a 3x3 convolution, 64 to 64 channels at 28x28."""
    import mindspore as ms
    import numpy as np
    from mindspore import nn

    convolution = nn.Conv2d(64, 64, 3)
    x = ms.Tensor(np.ones((1, 64, 28, 28), np.float32))
    convolution(x).asnumpy()
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        convolution(x).asnumpy()
        seconds.append(time.perf_counter() - start)
    return 2 * 64 * 64 * 9 * 28 * 28 / min(seconds) / 1e9


def convolution(measure: Callable[[], float]) -> Finding:
    """oneDNN inside of MindSpore is slow on some CPUs unless it is told not to use AVX-512."""
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "not set")
    try:
        speed = measure()
    except Exception as error:  # whatever MindSpore raises: that it cannot compute is the finding
        return Finding("convolution", "problem", f"fails: {type(error).__name__}: {str(error).splitlines()[0][:120]}",
                       "See the findings above; a convolution must run before anything else does.")
    found = f"{speed:.1f} GFLOP/s, ONEDNN_MAX_CPU_ISA is {isa}"
    if speed >= SLOW:
        return Finding("convolution", "ok", found)
    if isa.upper() in _WITHOUT_AVX512:
        return Finding("convolution", "note", found, "That is slow, although the variable is set as it should be. The "
                       f"load is {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; measure again when the machine is "
                       "quiet.")
    return Finding("convolution", "problem", found, "Set ONEDNN_MAX_CPU_ISA=AVX2 before Python starts: on CPUs with "
                   "AVX-512 MindSpore's convolutions are about a hundred times slower without it.")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
