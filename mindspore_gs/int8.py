"""INT8 files for devices: onnxruntime's static quantisation of an exported network."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mindspore_gs._files import checked_path, path_with_suffix, scratch_folder, whole_file
from mindspore_gs.errors import ExportError, first_line
from mindspore_gs.pruner.batches import check_batches


def quantize_onnx(file: str | os.PathLike, data: Iterable[Any], file_name: str | os.PathLike) -> Path:
    r"""Quantise an ONNX file to INT8: weights per channel, activations by their range over calibration batches.

    A value :math:`x` is stored as :math:`q = \mathrm{round}(x / s) + z`, clipped to eight bits. The scale :math:`s` and
    the zero point :math:`z` of an activation come from the smallest and the largest value that it has for ``data``;
    those of a weight are one pair for each output channel. Weights use seven of the eight bits: processors without
    VNNI (x86 with AVX2 alone, for example) add two products in sixteen bits, and with eight bits that sum overflows,
    which cost a slim ResNet-20 on CIFAR-10 1.4% instead of 0.1%. The file holds QuantizeLinear and DequantizeLinear
    operators (QDQ), which onnxruntime and other engines fuse into integer kernels. Nothing is trained. Source:
    onnxruntime's documentation of ``onnxruntime.quantization.quantize_static``, which does the work.

    Args:
        file: what :func:`~mindspore_gs.export_onnx` wrote.
        data: calibration batches, such as a few hundred training images: arrays or tensors of the shapes that the
            file takes; for a network of several inputs, tuples of them. A batch ``(images, labels)`` of a file with
            one input is taken without its labels.
        file_name: path of the new file; ``.onnx`` is appended where it is missing. It is replaced once it is complete.

    Returns:
        Path of the new file.

    Raises:
        ExportError: onnxruntime is not installed, a file cannot be read or written, there is no batch, or a batch does
            not fit the file.

    Examples:
        >>> import numpy as np, tempfile, pathlib
        >>> from mindspore import nn
        >>> from mindspore_gs import export_onnx
        >>> from mindspore_gs.int8 import quantize_onnx
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> float32 = export_onnx(nn.Conv2d(3, 64, 3), (1, 3, 8, 8), folder / "float32")
        >>> images = [np.random.default_rng(k).random((1, 3, 8, 8), np.float32) for k in range(4)]
        >>> quantize_onnx(float32, images, folder / "int8").name
        'int8.onnx'
    """
    try:
        import onnxruntime
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise ExportError("INT8 needs onnxruntime: pip install 'mindspore-gs-pruner[onnx]'") from error
    path = path_with_suffix("quantize_onnx()", "file_name", file_name, ".onnx")
    check_batches("quantize_onnx", data)
    if not checked_path("quantize_onnx()", "file", file).is_file():
        raise ExportError(f"there is no ONNX file at {file}.")
    try:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        batches = _Batches(session.get_inputs(), iter(data))
        with whole_file(path) as done, scratch_folder() as folder:
            prepared = folder / "prepared.onnx"
            quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)  # which would need sympy
            quantize_static(str(prepared), str(done), batches.reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=True)
            if not batches.count:
                raise ExportError("INT8 needs at least one calibration batch, but got none.")
            onnxruntime.InferenceSession(str(done), providers=["CPUExecutionProvider"])
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"{file} cannot be quantised: {first_line(error)}") from error
    return path


class _Batches:
    """Calibration batches as onnxruntime asks for them: a dict by the name of the input, and None at the end."""

    def __init__(self, inputs: list[Any], batches: Iterator[Any]):
        self.inputs, self.batches, self.count = inputs, batches, 0

    def reader(self) -> Any:
        """The object that onnxruntime takes."""
        from onnxruntime.quantization import CalibrationDataReader

        source = self

        class Reader(CalibrationDataReader):
            """Hands out one batch after the other."""

            def get_next(self) -> dict[str, np.ndarray] | None:
                return source.next()

        return Reader()

    def next(self) -> dict[str, np.ndarray] | None:
        """One batch, checked against the shapes that the file takes."""
        batch = next(self.batches, None)
        if batch is None:
            if not self.count:
                raise ExportError("INT8 needs at least one calibration batch, but got none.")
            return None
        values = [_array(value) for value in (batch if isinstance(batch, (tuple, list)) else (batch,))]
        if len(self.inputs) == 1:
            values = values[:1]
        if len(values) != len(self.inputs):
            raise ExportError(f"the file takes {len(self.inputs)} inputs, but calibration batch {self.count + 1} has "
                              f"{len(values)}.")
        for entry, value in zip(self.inputs, values):
            fits = len(entry.shape) == value.ndim and all(
                not isinstance(size, int) or size == got for size, got in zip(entry.shape, value.shape))
            if not fits or not np.isfinite(value).all():
                raise ExportError(f"calibration batch {self.count + 1} must be finite numbers of shape {entry.shape} "
                                  f"for the input {entry.name!r}, but has shape {list(value.shape)}"
                                  + ("." if not fits else " and numbers that are not finite."))
        self.count += 1
        return {entry.name: value for entry, value in zip(self.inputs, values)}


def _array(value: Any) -> np.ndarray:
    found = value.asnumpy() if hasattr(value, "asnumpy") else np.asarray(value)
    return found.astype(np.float32) if found.dtype == np.float64 else found
