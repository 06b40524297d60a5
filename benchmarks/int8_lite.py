"""MindSpore Lite's own post-training quantisation of the networks of int8.py: bytes, accuracy, and time.

Its converter reads calibration inputs as files, one for each call of the network, with the channels last.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mindspore_gs.engines import LITE_FOLDER, _call

TESTED = 1000  # test images: its INT8 kernels are made for ARM and slow elsewhere
CALIBRATED = 100  # images that show which range activations have; its converter runs them slowly, too
KINDS = ("lite float32", "lite int8")

_SETTINGS = """[common_quant_param]
quant_type=FULL_QUANT
bit_num=8

[data_preprocess_param]
calibrate_path={name}:{folder}
calibrate_size={count}
input_type=BIN

[full_quant_param]
activation_quant_method=MAX_MIN
bias_correction=true
"""


def lite_rows(onnx_file: Path, batches: Sequence[np.ndarray], images: Any,
              normalise: Callable[[np.ndarray], np.ndarray] | None) -> list[dict]:
    """Float and INT8 ``.ms`` file of an ONNX file with an open batch; none where Lite's programs are missing.

    Args:
        onnx_file: the network; its ``.ms`` files, for batch 1, lie beside it.
        batches: calibration batches, channels first.
        images: test images, or None.
        normalise: makes inputs of their pixels.

    Returns:
        For each kind ``kind``, ``file``, ``bytes``, ``accuracy`` (percent of the first 1,000 images; None without
        images) and ``tested``.
    """
    if LITE_FOLDER not in os.environ:
        return []
    rows = []
    for kind in KINDS:
        file = _converted(onnx_file, onnx_file.with_name(f"{onnx_file.stem}-{kind.replace(' ', '-')}"), 1, kind,
                          [image[None] for batch in batches for image in batch][:CALIBRATED])
        accuracy = None
        if images is not None and normalise is not None:
            with TemporaryDirectory() as scratch:
                many = _converted(onnx_file, Path(scratch) / "many", len(batches[0]), kind,
                                  batches[:-(-CALIBRATED // len(batches[0]))])
                accuracy = _accuracy(many, images, normalise, len(batches[0]), Path(scratch))
        rows.append({"kind": kind, "file": file.name, "bytes": file.stat().st_size, "accuracy": accuracy,
                     "tested": None if accuracy is None else TESTED})
    return rows


def _converted(onnx_file: Path, target: Path, batch: int, kind: str, inputs: Sequence[np.ndarray]) -> Path:
    """The ``.ms`` file for a fixed batch."""
    import onnx

    model = onnx.load(onnx_file)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    with TemporaryDirectory() as scratch:
        fixed, settings = Path(scratch) / "fixed.onnx", Path(scratch) / "settings.cfg"
        onnx.save(model, fixed)
        arguments = ["2", str(fixed), str(target), "1"]
        if kind == "lite int8":
            calibration = Path(scratch) / "calibration"
            calibration.mkdir()
            for number, value in enumerate(inputs):
                np.moveaxis(value, 1, -1).tofile(calibration / f"{number:05}.bin")
            settings.write_text(_SETTINGS.format(name=model.graph.input[0].name, folder=calibration, count=len(inputs)))
            arguments.append(str(settings))
        _call(Path(os.environ[LITE_FOLDER]), "convert", *arguments)
    return target.with_name(target.name + ".ms")


def _accuracy(file: Path, images: Any, normalise: Callable[[np.ndarray], np.ndarray], batch: int,
              scratch: Path) -> float:
    """Percent of the first images that a file classifies rightly."""
    right = 0
    for begin in range(0, TESTED, batch):
        part = images.part(slice(begin, begin + batch))
        np.moveaxis(normalise(part.pixels), 1, -1).tofile(scratch / "x.bin")
        _call(Path(os.environ[LITE_FOLDER]), "run", str(file), str(scratch / "x.bin"), str(scratch / "y.bin"), "1", "0")
        scores = np.fromfile(scratch / "y.bin", np.float32).reshape(batch, -1)
        right += int((scores.argmax(1) == part.labels).sum())
    return 100 * right / TESTED
