"""Export a network and prove that the file computes the same."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import as_inputs, evaluating
from mindspore_gs.errors import ExportError, first_line
from mindspore_gs.slim.check import random_inputs, relative_difference, tolerance_of
from mindspore_gs.slim.difference import parts
from mindspore_gs.slim.fold import fold_batch_norm


def export_mindir(net: nn.Cell, inputs: Any, file_name: str | os.PathLike) -> Path:
    """Export ``net`` to MindIR, load the file, and compare what it computes with what ``net`` computes.

    The file holds the network for evaluation: BatchNorms are folded into the convolutions in front of them
    (:func:`~mindspore_gs.slim.fold_batch_norm`), unless the folded network differs by more than is allowed.
    ``mindspore.export`` exports the network as it is.

    Args:
        net: the network, usually a slim one.
        inputs: what it is called with: a tensor, an array, a shape, or a list of them. The exported file takes
            these shapes.
        file_name: path of the file; ``.mindir`` is appended where it is missing. It is replaced only once it is
            complete and equal.

    Returns:
        Path of the file.

    Raises:
        TypeError: ``net`` is not a Cell.
        ExportError: the network cannot be exported, the file cannot be written, or it computes something else
            (more than 1e-5 relative in float32).
    """
    return _export(net, inputs, Path(file_name), "MINDIR", ".mindir", _run_mindir)


def export_onnx(net: nn.Cell, inputs: Any, file_name: str | os.PathLike) -> Path:
    """Export ``net`` to ONNX, where MindSpore can; compared through onnxruntime where that is installed.

    Arguments, result and errors are those of :func:`export_mindir`, with the suffix ``.onnx``.
    """
    return _export(net, inputs, Path(file_name), "ONNX", ".onnx", _run_onnx)


def _export(net: nn.Cell, inputs: Any, path: Path, kind: str, suffix: str, run: Any) -> Path:
    if not isinstance(net, nn.Cell):
        raise TypeError(f"the network to export must be a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    tensors = _probe(inputs)
    path = path if path.suffix == suffix else path.with_name(path.name + suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder, evaluating(net):
            _write_equal(net, tensors, Path(folder) / path.name, kind, run)
            for part in Path(folder).iterdir():
                part.chmod(0o644)
                part.replace(path.parent / part.name)
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"{type(net).__name__} cannot be exported to {path}: {first_line(error)}") from error
    return path


def _write_equal(net: nn.Cell, tensors: tuple[ms.Tensor, ...], path: Path, kind: str, run: Any) -> None:
    """Write the network with its BatchNorms folded, or as it is where that is not equal."""
    expected = net(*tensors)
    tolerance = tolerance_of(net, (str(x.dtype) for x in tensors))
    for candidate in (fold_batch_norm(net, *tensors).set_train(False), net):
        ms.export(candidate, *tensors, file_name=str(path.with_suffix("")), file_format=kind)
        got = run(path, tensors)
        difference = 0.0 if got is None else relative_difference(_leaves(got), _leaves(expected))
        if difference <= tolerance:
            return
    raise ExportError(f"the reloaded {kind} differs from the network by {difference:.1e} (relative, allowed "
                      f"{tolerance:.0e}).")


def _leaves(output: Any) -> list[Any]:
    """What an output holds, one after the other: files know no dicts and no nesting."""
    return list(parts(output).values())


def _probe(inputs: Any) -> tuple[ms.Tensor, ...]:
    """Random tensors of the given shapes, so that the comparison sees more than zeros."""
    several = isinstance(inputs, Sequence) and not all(isinstance(n, int) for n in inputs)
    tensors = as_inputs(tuple(inputs) if several else (inputs,))
    return random_inputs(tuple((tuple(x.shape), str(x.dtype)) for x in tensors))


def _run_mindir(path: Path, tensors: tuple[ms.Tensor, ...]) -> Any:
    return load_mindir(path)(*tensors)


def load_mindir(path: str | os.PathLike) -> nn.Cell:
    """The network in a MindIR file, ready to be called.

    Args:
        path: the ``.mindir`` file.

    Returns:
        A cell that takes inputs of the shapes that the file was exported with.

    Raises:
        ExportError: the file cannot be read.
    """
    if not Path(path).is_file():
        raise ExportError(f"there is no MindIR at {path}.")
    try:
        return nn.GraphCell(ms.load(str(path)))
    except Exception as error:
        raise ExportError(f"{path} cannot be loaded: {type(error).__name__}") from error


def _run_onnx(path: Path, tensors: tuple[ms.Tensor, ...]) -> Any:
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    values = session.run(None, dict(zip(names, (x.asnumpy() for x in tensors))))
    return tuple(np.asarray(value) for value in values)
