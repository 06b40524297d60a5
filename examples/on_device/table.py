"""Slim networks in MindSpore Lite: exported, converted, run by the program of this folder, compared, and timed.

    bash examples/on_device/build.sh FOLDER
    python examples/on_device/table.py FOLDER
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("GLOG_v", "3")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "examples" / "resnet50_cifar10")]

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from mindspore import nn  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.randomise import calibrate, images, randomise  # noqa: E402
from mindspore_gs import export_onnx, prune  # noqa: E402
from mindspore_gs._cells import tensors_in  # noqa: E402

IMAGES = 16  # whose statistics BatchNorms have


def networks() -> dict[str, tuple[Callable[[], nn.Cell], tuple[int, ...]]]:
    """How to build networks with random weights, and the shape of their input; YOLOv8-n where mindyolo is installed."""
    found: dict[str, tuple[Callable[[], nn.Cell], tuple[int, ...]]] = {
        "ResNet-20": (_resnet20, (1, 3, 32, 32)), "MobileNetV2": (_mobilenet, (1, 3, 64, 64))}
    if find_spec("mindyolo") is not None:
        found["YOLOv8-n"] = (_yolo, (1, 3, 64, 64))
    return found


def _resnet20() -> nn.Cell:
    from src.models import build
    return build("resnet20")


def _mobilenet() -> nn.Cell:
    from mindcv import models
    return models.mobilenet_v2_100(num_classes=10)


def _yolo() -> nn.Cell:
    from benchmarks.recipes import recipe
    return recipe("mindyolo/yolov8n").build()


def run_lite(folder: Path, net: nn.Cell, x: ms.Tensor, scratch: Path, repeats: int) -> tuple[int, float, float]:
    """Bytes of the .ms file, milliseconds of an inference, and the largest relative difference from MindSpore.

    Raises:
        RuntimeError: a program failed, or the outputs differ by more than 1e-5.
    """
    onnx = export_onnx(net, x, scratch / "net.onnx", open_batch=False)
    _call([folder / "convert", "2", onnx, scratch / "net", "1"])
    np.moveaxis(x.asnumpy(), 1, -1).tofile(scratch / "x.bin")
    outputs = [output.asnumpy().ravel() for output in tensors_in(net.set_train(False)(x))]
    np.concatenate(outputs).tofile(scratch / "expected.bin")
    said = _call([folder / "run", scratch / "net.ms", scratch / "x.bin", scratch / "y.bin", "1", str(repeats),
                  scratch / "expected.bin"])
    values = {name: float(value) for name, value in re.findall(r"(median ms|difference) ([0-9.e+-]+)", said)}
    return (scratch / "net.ms").stat().st_size, values["median ms"], values["difference"]


def _call(command: list) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where build.sh put convert and run")
    parser.add_argument("--runs", type=int, default=200, help="inferences of each network")
    options = parser.parse_args()
    table = Table(title="MindSpore Lite 2.0.0, batch 1, one thread; half of the MACs, multiples of 8")
    for name in ("network", ".ms, bytes", "ms", "largest difference"):
        table.add_column(name, justify="left" if name == "network" else "right")
    for name, (build, shape) in networks().items():
        x = images(shape)
        # A new YOLOv8-n answers the same to every image; and statistics of one image alone blow up every rounding.
        net = calibrate(randomise(build()), images((IMAGES, *shape[1:]), 1))
        slim = {policy: prune(net, target={"macs": 0.5}, inputs=shape, residual=policy, round_to=8)
                for policy in ("keep", "couple", "inner")}
        for kind, cell in {"dense": net, **slim}.items():
            with tempfile.TemporaryDirectory() as scratch:
                try:
                    size, milliseconds, difference = run_lite(options.folder, cell, x, Path(scratch), options.runs)
                except RuntimeError as error:
                    raise SystemExit(f"error: {name}, {kind}: {error}") from error
            table.add_row(f"{name}, {kind}", f"{size:,}", f"{milliseconds:.3f}", f"{difference:.1e}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
