"""Export a network to ONNX from its traced graph, and prove that the file computes the same."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import switched, wait_for
from mindspore_gs._config import boolean
from mindspore_gs._export_inputs import ExportInputs
from mindspore_gs._files import path_with_suffix
from mindspore_gs.errors import ExportError, TraceError
from mindspore_gs.export.batch import FixedBatchError, with_open_batch
from mindspore_gs.export.files import exporting
from mindspore_gs.export.onnx_judge import Judge
from mindspore_gs.export.onnx_model import build_model
from mindspore_gs.export.proof import refuse
from mindspore_gs.graph._mindir import export_graph
from mindspore_gs.graph.ir import Graph
from mindspore_gs.norms import batch_norm
from mindspore_gs.slim.check import Verdict
from mindspore_gs.slim.fold import fold_batch_norm as folded

_log = logging.getLogger("mindspore_gs")

_TRACED = (2, 3)  # batches whose graphs are compared: MindSpore leaves operators out where the batch is 1
_OTHERS = (3, 1)  # batches that an open file is tried with besides the user's own


def export_onnx(net: nn.Cell, inputs: Any, file_name: str | os.PathLike, *,
                input_names: Sequence[str] | None = None, output_names: Sequence[str] | None = None,
                fold_batch_norm: bool = True, open_batch: bool = True) -> Path:
    """Export ``net`` to ONNX, and compare what the file computes with what ``net`` computes.

    The file is written from the traced graph, one rule for each operator, in opset 17. Weights keep their names.

    The batch is open wherever the network allows it, whatever batch ``inputs`` have: the network is traced with two
    batches, and each size that differs becomes a multiple of the batch. Otherwise the file takes the batch of
    ``inputs`` only; a warning of the logger ``mindspore_gs`` and the file's metadata (``batch``) say why.

    The file passes ONNX's checker. Where onnxruntime is installed, it runs the file with the batch of ``inputs`` and,
    where the batch is open, with the batches 1 and 3 as well.

    Args:
        net: the network, usually a slim one.
        inputs: what it is called with: a tensor, an array, a shape, or a list of them. A first size of None or -1, as
            in ``(None, 3, 224, 224)``, demands an open batch. The comparison uses the data of a tensor or array, and
            random numbers where there are none, or one float everywhere.
        file_name: path of the file; ``.onnx`` is appended where it is missing. It is replaced only once it is complete
            and equal. Spaces and letters of any language are allowed.
        input_names: a name for each input; default: the names of ``construct``'s arguments.
        output_names: a name for each tensor that the network returns, in order; default: ``output``, or ``output_0``,
            ``output_1`` where there are several.
        fold_batch_norm: make BatchNorms part of the convolutions in front of them
            (:func:`~mindspore_gs.slim.fold_batch_norm`), unless the folded network differs by more than is allowed.
        open_batch: False for a file that takes the batch of ``inputs`` only, which engines for small devices want:
            they plan their memory for fixed sizes.

    Returns:
        Path of the file.

    Raises:
        TypeError: ``net`` is not a Cell, ``inputs`` are neither shapes nor numbers, ``file_name`` is no path, or a
            switch is not True or False.
        ValueError: another size than that of the batch is left open, a size is not positive, ``file_name`` is empty,
            or ``inputs`` leave the
            batch open and ``open_batch`` does not.
        ExportError: an operator has no rule, the batch cannot be open although it is demanded, the names are not as
            many as inputs or outputs, the file cannot be written, or it computes something else (more than 1e-5
            relative in float32; see :func:`~mindspore_gs.slim.check.check_equal` for outputs that are random or at
            the mercy of rounding). MindSpore's tanh on a CPU is right to 1e-4 only, so where a file with tanh
            differs, it is compared once more with that tanh in it.

    Examples:
        >>> import tempfile
        >>> from mindspore import nn
        >>> from mindspore_gs import export_onnx
        >>> net = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export_onnx(net, (1, 3, 16, 16), folder + "/net").name
        'net.onnx'
    """
    if not isinstance(net, nn.Cell):
        raise TypeError(f"the network to export must be a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    taken = ExportInputs.of(inputs)
    path = path_with_suffix("export_onnx()", "file_name", file_name, ".onnx")
    for name, value in (("fold_batch_norm", fold_batch_norm), ("open_batch", open_batch)):
        boolean("export_onnx", name, value)
    if taken.open_batch and not open_batch:
        raise ValueError(f"the inputs {inputs!r} leave the batch open, but open_batch is False; give the batch.")
    _need_onnx()
    with exporting(net, path, " with an open batch" if taken.open_batch else "") as place:
        _write_equal(net, taken, place, _Wishes(input_names, output_names, fold_batch_norm, open_batch))
    return path


@dataclass(frozen=True)
class _Wishes:
    inputs: Sequence[str] | None = None
    outputs: Sequence[str] | None = None
    fold: bool = True
    open_batch: bool = True


_FIXED = "the user wants it so"


def _need_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ExportError("export_onnx() needs the package onnx: pip install 'mindspore-gs-pruner[onnx]'.") from error


def _write_equal(net: nn.Cell, inputs: ExportInputs, path: Path, wishes: _Wishes) -> None:
    """Write the network folded or as it is, with an open batch or a fixed one: the first of these that is equal."""
    doubt, batch = None, None
    for candidate in _candidates(net, inputs, wishes.fold):
        graph, reason = _traced(candidate, inputs) if wishes.open_batch else (_closed(candidate, inputs), _FIXED)
        if reason is None and not inputs.open_batch:
            reason = _opened(net, candidate, graph, inputs, path, wishes)
            if reason is None:
                return
            graph = _closed(candidate, inputs)
        _save(candidate, graph, inputs, path, wishes, reason)
        doubt, batch = _first_doubt(Judge(net, path, candidate is net), inputs)
        if doubt is None:
            if reason not in (None, _FIXED):
                _log.warning("%s: the batch of the ONNX file is fixed: %s", type(net).__name__, reason)
            return
    if doubt is not None:
        refuse(doubt, "ONNX" if batch is None else f"ONNX, with batch {batch},")


def _first_doubt(judge: Judge, inputs: ExportInputs) -> tuple[Verdict | None, int | None]:
    """What is wrong with the file, and at which batch where it has to take any."""
    for probe in inputs.probes:
        doubt = judge.doubt(probe)
        if doubt is not None:
            return doubt, next(len(x) for x in probe if x.shape) if inputs.open_batch else None
    return None, None


def _candidates(net: nn.Cell, inputs: ExportInputs, fold: bool) -> Iterator[nn.Cell]:
    """The folded network, where there is something to fold, and the network itself."""
    if fold and any(batch_norm(cell) is not None for _, cell in net.cells_and_names()):
        yield switched(folded(net, *inputs.probes[0]))
    yield net


def _traced(net: nn.Cell, inputs: ExportInputs) -> tuple[Graph, str | None]:
    """The graph, and why its batch is fixed; None where it is open."""
    opened = inputs.opened()
    if opened is None:
        return _closed(net, inputs), "no input has a batch"
    try:
        one, other = (export_graph(net, opened.with_batch(batch)) for batch in _TRACED)
        return with_open_batch(one, other, _TRACED), None
    except (TraceError, FixedBatchError) as error:
        if inputs.open_batch:
            raise ExportError(f"the batch is not open: {error}") from error
        return _closed(net, inputs), str(error)


def _closed(net: nn.Cell, inputs: ExportInputs) -> Graph:
    return export_graph(net, inputs.probes[0])


def _save(net: nn.Cell, graph: Graph, inputs: ExportInputs, path: Path, wishes: _Wishes, reason: str | None) -> None:
    """Write the model; ONNX's checker looks at types and shapes as well."""
    import onnx

    dtypes = {name: tensor.asnumpy().dtype.name for name, tensor in zip(graph.inputs, inputs.probes[0])}
    model = build_model(graph, _weights(net, graph), dtypes, wishes.inputs, wishes.outputs)
    batch = "open" if reason is None else f"fixed: {reason}"
    onnx.helper.set_model_props(model, {"batch": batch})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def _opened(net: nn.Cell, candidate: nn.Cell, graph: Graph, inputs: ExportInputs, path: Path,
            wishes: _Wishes) -> str | None:
    """Write the file with an open batch, and try it with the user's and others; why it has to be fixed, or None."""
    opened = inputs.opened()
    try:
        _save(candidate, graph, inputs, path, wishes, None)
    except ExportError as error:  # if the batch is not what is in the way, the file for one batch fails as well
        return str(error)
    tried = [(inputs.batch, inputs.probes[0])]
    if opened is not None:
        others = ((batch, opened.with_batch(batch)) for batch in _OTHERS if batch != inputs.batch)
        tried += [(batch, probe) for batch, probe in others if _takes(net, probe)]
    judge = Judge(net, path, candidate is net)
    return next((why for why in (_why_not(judge, *each) for each in tried) if why), None)


def _takes(net: nn.Cell, probe: tuple[ms.Tensor, ...]) -> bool:
    """Whether a network runs with another batch: code such as ``x[1]`` takes no single sample, and no file has to."""
    try:
        wait_for(net(*probe))
    except Exception as error:
        _log.debug("%s takes no inputs of the shapes %s: %s", type(net).__name__, [x.shape for x in probe], error)
        return False
    return True


def _why_not(judge: Judge, batch: int | None, probe: tuple[ms.Tensor, ...]) -> str | None:
    """What goes wrong with a file of an open batch at one batch, or None."""
    try:
        doubt = judge.doubt(probe)
    except ExportError as error:
        return f"with batch {batch}, {str(error).partition('. ')[0].rstrip('.')}"
    if doubt is None:
        return None
    return f"with batch {batch} it " + (f"differs by {doubt.worst:.1e}" if doubt.different else "cannot be compared")


def _weights(net: nn.Cell, graph: Graph) -> Mapping[str, np.ndarray]:
    values = {parameter.name: parameter for parameter in net.get_parameters()}
    unknown = [name for name in graph.parameters if name not in values]
    if unknown:
        raise ExportError(f"the traced network reads the parameter {unknown[0]!r}, which is none of its own")
    return {name: values[name].asnumpy() for name in graph.parameters}
