"""``mindspore-gs export``: a slim network as a file of the kind that was asked for."""

from pathlib import Path
from typing import Any

from mindspore import nn

from mindspore_gs._files import scratch_folder
from mindspore_gs.cli.errors import CommandError
from mindspore_gs.export import export_mindir, export_onnx
from mindspore_gs.int8 import quantize_onnx

SUFFIXES = {"mindir": ".mindir", "onnx": ".onnx", "int8": ".int8.onnx"}
KINDS = tuple(SUFFIXES)


def check_data(kind: str, data: str | None) -> None:
    """INT8 files need data, and others take none.

    Raises:
        CommandError: that is not so.
    """
    if kind == "int8" and data is None:
        raise CommandError("--format int8 needs --data module:callable, which gives batches such as a few hundred "
                           "training images: they show which range activations have.")
    if kind != "int8" and data is not None:
        raise CommandError(f"--data is for --format int8, but the format is {kind}.")


def write_file(kind: str, net: nn.Cell, inputs: Any, data: Any, path: Path) -> Path:
    """Write one file.

    Args:
        kind: one of :data:`KINDS`.
        net: the network.
        inputs: its shapes.
        data: calibration batches, for ``"int8"``.
        path: where the file goes.

    Raises:
        ExportError: it cannot be written, or computes something else.
    """
    if kind == "mindir":
        return export_mindir(net, inputs, path)
    if kind == "onnx":
        return export_onnx(net, inputs, path)
    with scratch_folder() as folder:
        return quantize_onnx(export_onnx(net, inputs, folder / "float32"), data, path)
