"""Estimate the BatchNorm statistics anew, after channels have been masked."""

from collections.abc import Iterator
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindspore_gs._cells import NORMS, as_inputs, copy_network


def recalibrate(net: nn.Cell, dataset: Any, steps: int | None = None) -> nn.Cell:
    r"""Replace moving mean and variance of every BatchNorm by averages over training batches.

    Masking channels changes what the layers behind see, so the old statistics are wrong and the accuracy before
    fine-tuning says little. After step t the statistics are :math:`s_t = s_{t-1} + (batch_t - s_{t-1}) / t`, the
    plain mean over all batches. Weights stay as they are.

    Args:
        net: the network, changed in place.
        dataset: a ``mindspore.dataset`` or an iterable of batches; a batch is a tensor, or a tuple whose first
            entries are the network's inputs (all but the last, which is the label).
        steps: how many batches. Default: all.

    Returns:
        The same network.

    Raises:
        ValueError: there is no batch.
    """
    twin = copy_network(net)
    twin.set_train(False)
    norms = [_follow_batch(cell) for _, cell in twin.cells_and_names() if isinstance(cell, NORMS)]
    means: list[np.ndarray] = []
    count = 0
    for batch in _batches(dataset):
        if count == steps:
            break
        twin(*batch)
        count += 1
        found = [value.asnumpy() for cell in norms for value in (cell.moving_mean, cell.moving_variance)]
        means = [m + (f - m) / count for m, f in zip(means, found)] if means else [f.copy() for f in found]
    if not count:
        raise ValueError("recalibrate() needs at least one batch, but the dataset is empty or 'steps' is 0.")
    own = [cell for _, cell in net.cells_and_names() if isinstance(cell, NORMS)]
    targets = [parameter for cell in own for parameter in (cell.moving_mean, cell.moving_variance)]
    for parameter, value in zip(targets, means):
        parameter.set_data(ms.Tensor(value, parameter.dtype))
    return net


def _follow_batch(cell: nn.Cell) -> nn.Cell:
    """Let the moving statistics of one BatchNorm be those of the last batch."""
    cell.use_batch_statistics = True
    cell.bn_train = ops.BatchNorm(is_training=True, epsilon=cell.eps, momentum=1.0, data_format=cell.format)
    return cell


def _batches(dataset: Any) -> Iterator[tuple[ms.Tensor, ...]]:
    rows = dataset.create_tuple_iterator(num_epochs=1) if hasattr(dataset, "create_tuple_iterator") else dataset
    for row in rows:
        values = tuple(row) if isinstance(row, (tuple, list)) else (row,)
        yield as_inputs(values[:-1] if len(values) > 1 else values)
