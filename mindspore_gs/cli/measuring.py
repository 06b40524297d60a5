"""What a run measures: the accuracy of a network on labelled batches, and the latency of two networks."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn

from mindspore_gs._cells import evaluating
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.cli.errors import CommandError
from mindspore_gs.engines import engine
from mindspore_gs.errors import first_line
from mindspore_gs.progress import tracked
from mindspore_gs.pruner.batches import check_batches, number_of_batches, rows_of
from mindspore_gs.slim.check import random_inputs


def accuracy_of(net: nn.Cell, batches: Any) -> float:
    """Share of the samples whose class, a number, has the highest output of all classes.

    Args:
        net: gives (samples, classes), or a tuple that begins with it.
        batches: (inputs, label) each, with one class number for each sample.

    Raises:
        CommandError: a batch does not fit the network, or there is none.
    """
    right = total = 0
    try:
        check_batches("--eval", batches)
        with evaluating(net):
            for batch in tracked(rows_of("--eval", batches), "accuracy", number_of_batches(batches)):
                logits = _logits(net, batch)
                right += int((logits.argmax(axis=1) == batch[-1].asnumpy()).sum())
                total += len(logits)
    except TypeError as error:  # what is no data, or has no labels
        raise CommandError(str(error)) from error
    if not total:
        raise CommandError("--eval gave no batch.")
    return right / total


def _logits(net: nn.Cell, batch: tuple[Any, ...]) -> np.ndarray:
    """What the network says of a batch, shape (samples, classes)."""
    try:
        with nothing_left_behind():
            found = net(*batch[:-1])
            logits = (found[0] if isinstance(found, tuple) else found).asnumpy()
    except Exception as error:
        shapes = ", ".join(str(tuple(value.shape)) for value in batch)
        raise CommandError(f"--eval: the network cannot be run on a batch whose inputs and label have the shapes "
                           f"{shapes}: {first_line(error)}", 1) from error
    if logits.ndim != 2 or tuple(batch[-1].shape) != logits.shape[:1]:
        raise CommandError("--eval is for outputs of shape (samples, classes) and labels of shape (samples,), but the "
                           f"network gives {logits.shape} for labels of shape {tuple(batch[-1].shape)}.")
    return logits


def latencies(dense: nn.Cell, small: nn.Cell, specification: Any) -> dict[str, Any]:
    """Median seconds of one inference of both MindIR files, which take turns so that both see the same machine.

    Args:
        dense: the network before.
        small: the slim one.
        specification: (shape, type) of each input.
    """
    runtime, inputs = engine("mindspore"), random_inputs(specification)
    with tempfile.TemporaryDirectory() as folder:
        files = [runtime.export(net, inputs, Path(folder) / name) for net, name in ((dense, "dense"), (small, "slim"))]
        before, after = runtime.time(files, inputs)
    return {"engine": runtime.name, "before": before, "after": after}
