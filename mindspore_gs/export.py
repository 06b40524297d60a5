"""Export a network and prove that the file computes the same."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import evaluating
from mindspore_gs._export_inputs import ExportInputs
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import ExportError, first_line
from mindspore_gs.slim.check import Verdict, compare
from mindspore_gs.slim.difference import differences
from mindspore_gs.slim.fold import fold_batch_norm


def export_mindir(net: nn.Cell, inputs: Any, file_name: str | os.PathLike) -> Path:
    """Export ``net`` to MindIR, load the file, and compare what it computes with what ``net`` computes.

    The file holds the network for evaluation: BatchNorms are folded into the convolutions in front of them
    (:func:`~mindspore_gs.slim.fold_batch_norm`), unless the folded network differs by more than is allowed.
    ``mindspore.export`` exports the network as it is.

    Args:
        net: the network, usually a slim one.
        inputs: what it is called with: a tensor, an array, a shape, or a list of them. The exported file takes
            these shapes. A first size of None or -1, as in ``(None, 3, 224, 224)``, or a dynamic tensor
            (``Tensor(shape=[None, 3, 224, 224], dtype=float32)``) leaves the batch open; the file is then run with
            two sizes of it.
        file_name: path of the file; ``.mindir`` is appended where it is missing. It is replaced only once it is
            complete and equal.

    Returns:
        Path of the file.

    Raises:
        TypeError: ``net`` is not a Cell.
        ValueError: another size than that of the batch is left open, or a size is not positive.
        ExportError: the network cannot be exported, the file cannot be written, or it computes something else
            (more than 1e-5 relative in float32; see :func:`~mindspore_gs.slim.check.check_equal` for outputs that are
            random or at the mercy of rounding).
    """
    return _export(net, inputs, Path(file_name), "MINDIR", ".mindir", _run_mindir)


def export_onnx(net: nn.Cell, inputs: Any, file_name: str | os.PathLike) -> Path:
    """Export ``net`` to ONNX, where MindSpore can; compared through onnxruntime where that is installed.

    Arguments, result and errors are those of :func:`export_mindir`, with the suffix ``.onnx``. MindSpore
    writes no ONNX with an open batch, so every size must be given.
    """
    return _export(net, inputs, Path(file_name), "ONNX", ".onnx", _run_onnx)


def _export(net: nn.Cell, inputs: Any, path: Path, kind: str, suffix: str, run: Any) -> Path:
    if not isinstance(net, nn.Cell):
        raise TypeError(f"the network to export must be a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    taken = ExportInputs.of(inputs)
    if taken.open_batch and kind == "ONNX":
        raise ExportError(f"{type(net).__name__} cannot be exported to {path}: MindSpore writes no ONNX with an open "
                          "batch; give every size, such as (1, 3, 224, 224), or export to MindIR.")
    path = path if path.suffix == suffix else path.with_name(path.name + suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder, evaluating(net), nothing_left_behind():
            _write_equal(net, taken, Path(folder) / path.name, kind, run)
            for part in Path(folder).iterdir():
                part.chmod(0o644)
                part.replace(path.parent / part.name)
    except ExportError:
        raise
    except Exception as error:
        how = " with an open batch" if taken.open_batch else ""
        raise ExportError(f"{type(net).__name__} cannot be exported{how} to {path}: {first_line(error)}") from error
    return path


def _write_equal(net: nn.Cell, inputs: ExportInputs, path: Path, kind: str, run: Any) -> None:
    """Write the network with its BatchNorms folded, or as it is where that is not equal."""
    for candidate in (fold_batch_norm(net, *inputs.probes[0]).set_train(False), net):
        ms.export(candidate, *inputs.exported, file_name=str(path.with_suffix("")), file_format=kind)
        verdicts = [_verdict(net, probe, run(path, probe)) for probe in inputs.probes]
        doubtful = [v for v in verdicts if v is not None and (v.different or v.unknown or not v.counted)]
        if not doubtful:
            return
    verdict = doubtful[0]
    if verdict.different:
        raise ExportError(f"the reloaded {kind} differs from the network by {verdict.worst:.1e} (relative, allowed "
                          f"{verdict.allowed:.0e}).")
    why = "one rounding of the input changes an output as much" if verdict.unknown else "every output is random"
    raise ExportError(f"whether the reloaded {kind} equals the network is unknown: {why}. mindspore.export() writes "
                      "the file without a comparison.")


def _verdict(net: nn.Cell, probe: tuple[ms.Tensor, ...], got: Any) -> Verdict | None:
    """What the difference between network and file means; None where the file was not run."""
    if got is None:
        return None
    return compare(net, None, probe, differences(_tensors(got), _tensors(net(*probe))), _tensors)


def _tensors(output: Any) -> list[Any]:
    """The tensors of an output in their order: a file keeps neither the keys of dicts nor what is no tensor."""
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, (tuple, list)):
        return [tensor for item in output for tensor in _tensors(item)]
    return [output] if isinstance(output, (ms.Tensor, np.ndarray)) else []


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
