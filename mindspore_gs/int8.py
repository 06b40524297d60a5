"""INT8 files for devices: onnxruntime's static quantisation of an exported network."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mindspore_gs._files import checked_path, path_with_suffix, scratch_folder, whole_file
from mindspore_gs.errors import ExportError, first_line
from mindspore_gs.export.sessions import open_session
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
        file: what :func:`~mindspore_gs.export_onnx` wrote; ``.onnx`` may be left out.
        data: calibration batches, such as a few hundred training images: arrays or tensors of the shapes and types
            that the file takes, prepared as the network's inputs are; for a network of several inputs, tuples of them,
            or dicts by the names of the file's inputs. A batch ``(images, labels)`` of a file with one input is taken
            without its labels.
        file_name: path of the new file; ``.onnx`` is appended where it is missing. It is replaced once it is complete.

    Returns:
        Path of the new file.

    Raises:
        TypeError: ``data`` are no batches, or a path is no path.
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
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise ExportError("INT8 needs onnxruntime: pip install 'mindspore-gs-pruner[onnx]'") from error
    path = path_with_suffix("quantize_onnx()", "file_name", file_name, ".onnx")
    check_batches("quantize_onnx", data)
    if not checked_path("quantize_onnx()", "file", file).is_file():
        file = path_with_suffix("quantize_onnx()", "file", file, ".onnx")
    if not Path(file).is_file():
        raise ExportError(f"there is no ONNX file at {file}.")
    try:
        batches = _Batches(open_session(str(file)).get_inputs(), iter(data))
        with whole_file(path) as done, scratch_folder() as folder:
            prepared = folder / "prepared.onnx"
            quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)  # which would need sympy
            quantize_static(str(prepared), str(done), batches.reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=True)
            if not batches.count:
                raise ExportError("INT8 needs at least one calibration batch, but got none.")
            open_session(str(done))  # which refuses what it cannot run
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
        where = f"calibration batch {self.count + 1}"
        for entry, value in zip(self.inputs, values := self._values(batch, where)):
            _check(entry, value, where)
        self.count += 1
        return {entry.name: value for entry, value in zip(self.inputs, values)}

    def _values(self, batch: Any, where: str) -> list[np.ndarray]:
        """An array for each input of the file."""
        names = [entry.name for entry in self.inputs]
        if isinstance(batch, Mapping):
            missing = [name for name in names if name not in batch]
            if missing:
                raise ExportError(f"{where} is a dict without {missing[0]!r}; the file's inputs are called {names}, "
                                  f"but its keys are {list(batch)}.")
            parts = [batch[name] for name in names]
        else:
            parts = list(batch) if isinstance(batch, (tuple, list)) else [batch]
            parts = parts[:1] if len(names) == 1 else parts
        if len(parts) != len(names):
            raise ExportError(f"the file takes {len(names)} inputs, but {where} has {len(parts)}.")
        return [_array(part, entry) for part, entry in zip(parts, self.inputs)]


_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
          "tensor(bool)": "bool"}  # integers are called alike


def _type(entry: Any) -> np.dtype:
    return np.dtype(_TYPES.get(entry.type, entry.type.removeprefix("tensor(").removesuffix(")")))


def _array(value: Any, entry: Any) -> np.ndarray:
    """An array of the type that the file takes, where that is of the same kind."""
    found = value.asnumpy() if hasattr(value, "asnumpy") else np.asarray(value)
    alike = any(np.issubdtype(found.dtype, kind) and np.issubdtype(_type(entry), kind)
                for kind in (np.floating, np.integer))
    return found.astype(_type(entry)) if alike else found


def _check(entry: Any, value: np.ndarray, where: str) -> None:
    """Numbers of the type and shape of an input.

    Raises:
        ExportError: they are something else.
    """
    wanted = f"{where} must be numbers of type {_type(entry)} and shape {entry.shape} for the input {entry.name!r}, but"
    if len(entry.shape) != value.ndim or not value.size or any(
            isinstance(size, int) and size != got for size, got in zip(entry.shape, value.shape)):
        raise ExportError(f"{wanted} has shape {list(value.shape)}.")
    if value.dtype != _type(entry):
        raise ExportError(f"{wanted} has type {value.dtype}; prepare it as the network's inputs are in training.")
    if not np.isfinite(value).all():
        raise ExportError(f"{wanted} has numbers that are not finite.")
