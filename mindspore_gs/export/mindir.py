"""Export a network to MindIR and prove that the file computes the same."""

import os
import shutil
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import nn

from mindspore_gs._cells import switched
from mindspore_gs._checkpoint_file import DamagedError
from mindspore_gs._export_inputs import ExportInputs
from mindspore_gs._files import checked_path, path_with_suffix, scratch_folder
from mindspore_gs.errors import ExportError
from mindspore_gs.export.files import exporting
from mindspore_gs.export.proof import first_doubt, refuse
from mindspore_gs.graph._mindir import check_mindir, write_canonical
from mindspore_gs.slim.fold import fold_batch_norm


def export_mindir(net: nn.Cell, inputs: Any, file_name: str | os.PathLike) -> Path:
    """Export ``net`` to MindIR, load the file, and compare what it computes with what ``net`` computes.

    The file holds the network for evaluation: BatchNorms are folded into the convolutions in front of them
    (:func:`~mindspore_gs.slim.fold_batch_norm`), unless the folded network differs by more than is allowed.
    ``mindspore.export`` exports the network as it is.

    Equal networks give equal bytes, in every process: the names of operators, their order and the time, which
    ``mindspore.export`` makes up anew each time, follow from the network here.

    Args:
        net: the network, usually a slim one.
        inputs: what it is called with: a tensor, an array, a shape, or a list of them. The exported file takes
            these shapes. A first size of None or -1, as in ``(None, 3, 224, 224)``, or a dynamic tensor
            (``Tensor(shape=[None, 3, 224, 224], dtype=float32)``) leaves the batch open; the file is then run with
            two sizes of it. The comparison uses the data of a tensor or array, and random numbers where there are
            none, or one float everywhere.
        file_name: path of the file; ``.mindir`` is appended where it is missing. It is replaced only once it is
            complete and equal. Spaces and letters of any language are allowed.

    Returns:
        Path of the file.

    Raises:
        TypeError: ``net`` is not a Cell, ``inputs`` are neither shapes nor numbers, or ``file_name`` is no path.
        ValueError: another size than that of the batch is left open, a size is not positive, or ``file_name`` is empty
            or a folder.
        ExportError: the network cannot be exported, the file cannot be written, or it computes something else
            (more than 1e-5 relative in float32; see :func:`~mindspore_gs.slim.check.check_equal` for outputs that are
            random or at the mercy of rounding).
    """
    if not isinstance(net, nn.Cell):
        raise TypeError(f"the network to export must be a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    taken = ExportInputs.of(inputs)
    path = path_with_suffix("export_mindir()", "file_name", file_name, ".mindir")
    with exporting(net, path, " with an open batch" if taken.open_batch else "") as place:
        _write_equal(net, taken, place)
    return path


def _write_equal(net: nn.Cell, inputs: ExportInputs, path: Path) -> None:
    """Write the network with its BatchNorms folded, or as it is where that is not equal."""
    doubt = None
    for candidate in (switched(fold_batch_norm(net, *inputs.probes[0])), net):
        ms.export(candidate, *inputs.exported, file_name=str(path.with_suffix("")), file_format="MINDIR")
        write_canonical(path)
        doubt = first_doubt(net, lambda probe: load_mindir(path)(*probe), inputs.probes)
        if doubt is None:
            return
    if doubt is not None:
        refuse(doubt, "MINDIR")


def load_mindir(path: str | os.PathLike) -> nn.Cell:
    """The network in a MindIR file, ready to be called.

    Args:
        path: the ``.mindir`` file. Spaces and letters of any language are allowed.

    Returns:
        A cell that takes inputs of the shapes that the file was exported with.

    Raises:
        TypeError, ValueError: ``path`` is no path of a file.
        ExportError: the file is not there, is damaged, or cannot be read. What :func:`export_mindir` wrote has a
            checksum; of other files the structure is checked before MindSpore loads them.
    """
    path = checked_path("load_mindir()", "path", path)
    if not path.is_file():
        raise ExportError(f"there is no MindIR at {path}.")
    if Path(path).suffix == ".onnx":
        raise ExportError(f"{path} is an ONNX file, and load_mindir() reads MindIR. Run it with onnxruntime, as "
                          "examples/inference/with_onnxruntime.py does, or export the network as MindIR.")
    try:
        check_mindir(path)
        with scratch_folder() as folder:  # MindSpore reads no other paths than plain ones
            plain = shutil.copyfile(path, folder / "network.mindir")
            return nn.GraphCell(ms.load(str(plain)))
    except DamagedError as error:
        raise ExportError(f"{path} {error}; copy it again, or export it again.") from error
    except Exception as error:
        raise ExportError(f"{path} cannot be loaded: {type(error).__name__}") from error
