"""The numbers of a run and of a training for TensorBoard (through tensorboardX) and for MindSpore's SummaryRecord."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore.train import Callback

from mindspore_gs._config import positive
from mindspore_gs._files import checked_folder
from mindspore_gs.masks import Masks, masked_groups
from mindspore_gs.pruner.scop.callback import scale_statistics
from mindspore_gs.runs.fields import check_document

__all__ = ["SummaryCallback", "SummaryWriter", "write_summaries"]

_log = logging.getLogger("mindspore_gs")


class SummaryWriter:
    """Writes numbers for two viewers at once.

    ``FOLDER/mindspore`` gets what MindSpore's ``SummaryRecord`` writes. ``FOLDER/tensorboard`` gets event files for
    ``tensorboard --logdir FOLDER``; they need tensorboardX (extra ``summary``), and without it only the first is
    written.

    Args:
        folder: made where it is missing.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from mindspore_gs.summaries import SummaryWriter
        >>> folder = tempfile.mkdtemp()
        >>> writer = SummaryWriter(folder)
        >>> writer.scalars({"accuracy/dense": 0.92}, 1)
        >>> writer.close()
        >>> len(list(Path(folder, "mindspore").iterdir()))
        1
    """

    def __init__(self, folder: str | Path):
        folder = checked_folder("SummaryWriter", "folder", folder)
        for kind in ("mindspore", "tensorboard"):
            (Path(folder) / kind).mkdir(parents=True, exist_ok=True)
        self._record = ms.SummaryRecord(str(Path(folder) / "mindspore"))
        self._board: Any = None
        if find_spec("tensorboardX") is not None:
            import tensorboardX
            self._board = tensorboardX.SummaryWriter(str(Path(folder) / "tensorboard"))
        else:
            (Path(folder) / "tensorboard").rmdir()
            _log.info("nothing is written for TensorBoard: pip install 'mindspore-gs-pruner[summary]'")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write numbers.

        Args:
            values: number by tag, such as ``"fine-tuning/loss"``.
            step: the place on the axis, at least 0.
        """
        for tag, value in values.items():
            self._record.add_value("scalar", tag, ms.Tensor(float(value), ms.float32))
            if self._board is not None:
                self._board.add_scalar(tag, float(value), step)
        self._record.record(step)

    def histograms(self, values: Mapping[str, np.ndarray], step: int) -> None:
        """Write distributions.

        Args:
            values: numbers by tag.
            step: the place on the axis, at least 0.
        """
        for tag, numbers in values.items():
            self._record.add_value("histogram", tag, ms.Tensor(np.asarray(numbers, np.float32)))
            if self._board is not None:
                self._board.add_histogram(tag, np.asarray(numbers, np.float64), step)
        self._record.record(step)

    def close(self) -> None:
        """Write what is left, and close the files."""
        self._record.close()
        if self._board is not None:
            self._board.close()


@contextmanager
def _writing(folder: str | Path) -> Iterator[SummaryWriter]:
    writer = SummaryWriter(folder)
    try:
        yield writer
    finally:
        writer.close()


def write_summaries(document: Mapping[str, Any], folder: str | Path) -> None:
    """Write the numbers of a run for both viewers.

    Args:
        document: what :meth:`mindspore_gs.runs.RunRecord.document` gives, or ``results.json`` holds.
        folder: see :class:`SummaryWriter`. Tags are ``run/...`` for shares, accuracies and milliseconds,
            ``channels/LAYER`` for the share of channels that stay, ``scores/LAYER`` for distributions of scores, and
            ``TITLE/loss`` for each training.

    Raises:
        TypeError, ValueError: ``folder`` is no path of a folder.
        PruningError: ``document`` is none of a run.
    """
    check_document(document, "write_summaries()")
    with _writing(folder) as writer:
        writer.scalars(_numbers(document), 0)
        scores = {f"scores/{row['layers'][0]}": np.array(row["scores"]) for row in document.get("scores", ())}
        if scores:
            writer.histograms(scores, 0)
        for title, log in document.get("training", {}).items():
            for entry in log:
                loss = float("nan") if entry["loss"] is None else entry["loss"]
                writer.scalars({f"{title}/loss": loss}, int(entry["epoch"]))


def _numbers(document: Mapping[str, Any]) -> dict[str, float]:
    numbers = {f"run/{name}_ratio": document[name]["ratio"] for name in ("params", "macs")}
    numbers |= {f"run/accuracy/{stage}": value for stage, value in document.get("accuracy", {}).items()}
    latency = document.get("latency") or {}
    numbers |= {f"run/latency_ms/{stage}": 1000 * latency[stage] for stage in ("before", "after") if stage in latency}
    for row in document["layers"]:
        kept, whole = row["channels"]
        numbers[f"channels/{row['layer'] or 'network'}"] = kept / whole if whole else 0.0
    return numbers


class SummaryCallback(Callback):
    """For ``Model.train``: writes the course of any phase for both viewers.

    At each step the loss. At the end of each epoch, in the knockoff phase, for each layer the mean scale and the share
    of channels that lose against their knockoffs; for a masked network, for each group the share of channels that stay.

    Args:
        folder: see :class:`SummaryWriter`.
        title: first part of every tag, such as ``"knockoff"`` or ``"fine-tuning"``. Default: ``"training"``.
        every: the loss is written every so many steps. Default: 1.

    Raises:
        TypeError: ``folder`` is no path, or ``every`` no int.
        ValueError: ``folder`` is a file, or ``every`` is less than 1.

    Examples:
        >>> from mindspore_gs.summaries import SummaryCallback
        >>> SummaryCallback("runs/1", "knockoff").title    # model.train(4, dataset, callbacks=[...])
        'knockoff'
    """

    def __init__(self, folder: str | Path, title: str = "training", every: int = 1):
        super().__init__()
        self.every = positive("SummaryCallback", "every", every)
        self.folder, self.title = checked_folder("SummaryCallback", "folder", folder), title
        self._writer: SummaryWriter | None = None

    def on_train_begin(self, run_context: Any) -> None:
        """Open the files."""
        self._writer = SummaryWriter(self.folder)

    def on_train_step_end(self, run_context: Any) -> None:
        """Write the loss."""
        state = run_context.original_args()
        outputs = state.net_outputs
        loss = outputs[0] if isinstance(outputs, (tuple, list)) else outputs
        if self._writer is not None and state.cur_step_num % self.every == 0 and hasattr(loss, "asnumpy"):
            self._writer.scalars({f"{self.title}/loss": float(loss.asnumpy().mean())}, state.cur_step_num)

    def on_train_epoch_end(self, run_context: Any) -> None:
        """Write scales and masks, where there are any."""
        state = run_context.original_args()
        numbers = {f"{self.title}/{tag}": value for tag, value in _scales_and_masks(state.network).items()}
        if self._writer is not None and numbers:
            self._writer.scalars(numbers, state.cur_step_num)

    def on_train_end(self, run_context: Any) -> None:
        """Close the files."""
        self._close()

    def __exit__(self, *error: Any) -> None:
        """``Model.train`` leaves here, also when a step has failed."""
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _scales_and_masks(net: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in scale_statistics(net):
        found |= {f"scale/{row['layer']}": row["mean"], f"losing/{row['layer']}": row["losing"]}
    for _, cell in net.cells_and_names():
        if masked_groups(cell):
            found |= {f"channels/{group.name}": float(keep.mean()) for group, keep in Masks(cell).read().items()}
            break
    return found
