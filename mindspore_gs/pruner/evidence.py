"""What data say of channels: one pass over batches, with the gradient of a gate at each channel."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindspore_gs._cells import copy_network, owners_by_name
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import PruningError, first_line
from mindspore_gs.graph import ChannelGraph, Group, Role
from mindspore_gs.progress import tracked
from mindspore_gs.pruner.batches import number_of, rows_of
from mindspore_gs.pruner.channels import Evidence

Loss = Callable[..., Any]


def observe(net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group], data: Any,
            loss_fn: Loss | None = None) -> Evidence:
    r"""The squared gradient of the loss with respect to a gate at each channel, averaged over batches.

    A gate :math:`z_j` multiplies channel j, and is 1. Removing the channel sets it to 0, which changes the loss L by
    about :math:`-\partial L / \partial z_j`. The gate multiplies what makes the channel or shifts it, so its gradient
    is :math:`g_j = \sum w \, \partial L / \partial w` over those parameters; behind a convolution with BatchNorm that
    is :math:`\gamma_j \, \partial L / \partial \gamma_j + \beta_j \, \partial L / \partial \beta_j`. No hook and no
    cell is needed for it. The network is copied, runs in evaluation mode, and stays as it is.

    Source: Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019.

    Args:
        net: the network, plain cells.
        graph: its channel graph.
        groups: free groups of it.
        data: batches ``(inputs..., label)``: a ``mindspore.dataset`` or an iterable of tuples.
        loss_fn: ``loss_fn(output, label)`` gives the loss. Default: cross entropy, for labels that are class numbers
            and outputs of shape (samples, classes).

    Returns:
        ``{"gradient": {name of a layer's weight: mean of g squared, one number for each of its channels}}``.

    Raises:
        TypeError: a batch holds other things than tensors, or no label.
        ValueError: there is no batch.
        PruningError: the network or the loss does not take a batch, or a gradient is not finite.

    Examples:
        >>> import numpy as np
        >>> from mindspore import nn
        >>> from mindspore_gs.graph import trace
        >>> from mindspore_gs.pruner.evidence import observe
        >>> net = nn.SequentialCell(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 3))
        >>> graph = trace(net, (1, 4))
        >>> batch = np.ones((2, 4), np.float32), np.array([0, 2], np.int32)
        >>> evidence = observe(net, graph, graph.groups()[:1], [batch])
        >>> evidence["gradient"]["0.weight"].shape
        (8,)
    """
    parts = {group: graph.silencers(group) for group in groups}
    names = list(dict.fromkeys(part.parameter for found in parts.values() for part in found))
    twin = copy_network(net).set_train(False)
    owned = owners_by_name(twin)
    weights = [getattr(owned[name][0][1], owned[name][0][2]) for name in names]
    for weight in weights:
        weight.requires_grad = True
    gradients = ms.value_and_grad(_forward(twin, loss_fn or _cross_entropy), None, weights)
    sums, count = {group: np.zeros(group.size) for group in groups}, 0
    for count, batch in enumerate(tracked(rows_of("observe", data), "gradients", number_of(data)), 1):
        with _clear(net, batch, count), nothing_left_behind():
            if loss_fn is None and count == 1:
                _check_default_loss(twin(*batch[:-1]), batch[-1])
            found = gradients(*batch)[1]
        products = {name: weight.asnumpy().astype(np.float64) * gradient.asnumpy()
                    for name, weight, gradient in zip(names, weights, found)}
        for group in groups:
            sums[group] += _gate(products, parts[group], group.size) ** 2
    if not count:
        raise ValueError("observe() needs at least one batch, but the data are empty.")
    _check_finite(sums)
    return {"gradient": _by_weight({group: total / count for group, total in sums.items()}, graph)}


def _forward(net: nn.Cell, loss_fn: Loss) -> Callable[..., Any]:
    def forward(*batch: ms.Tensor) -> Any:
        return loss_fn(net(*batch[:-1]), batch[-1])

    return forward


def _cross_entropy(output: Any, label: ms.Tensor) -> Any:
    return ops.cross_entropy(output.float(), label)


def _check_default_loss(output: Any, label: ms.Tensor) -> None:
    if not isinstance(output, ms.Tensor) or output.ndim != 2 or label.ndim != 1 or label.is_floating_point():
        raise PruningError("the default loss is cross entropy, for outputs of shape (samples, classes) and labels of "
                           "shape (samples,) that are class numbers. Give 'loss_fn', a function of output and label.")


def _gate(products: dict[str, np.ndarray], parts: Iterable[Any], size: int) -> np.ndarray:
    """The gradient of the gate of each channel, from weight times gradient."""
    total = np.zeros(size)
    for part in parts:
        total += np.moveaxis(products[part.parameter], part.axis, 0)[part.indices].reshape(size, -1).sum(axis=1)
    return total


def _by_weight(means: dict[Group, np.ndarray], graph: ChannelGraph) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for group, mean in means.items():
        for part in group.slices:
            if part.role is Role.FILTER:
                length = graph.graph.parameters[part.parameter][part.axis]
                found.setdefault(part.parameter, np.zeros(length))[part.indices] = mean[:, None]
    return found


def _check_finite(sums: dict[Group, np.ndarray]) -> None:
    for group, total in sums.items():
        if not np.isfinite(total).all():
            raise PruningError(f"the gradients of {group.name!r} are not finite: look for NaN or infinite numbers in "
                               "the weights and the data, or for a loss that overflows.")


@contextmanager
def _clear(net: nn.Cell, batch: tuple[ms.Tensor, ...], count: int) -> Any:
    """What goes wrong in a batch is said with its shapes."""
    try:
        yield
    except PruningError:
        raise
    except Exception as error:
        shapes = ", ".join(str(tuple(x.shape)) for x in batch)
        raise PruningError(f"{type(net).__name__} or the loss cannot be run on batch {count}, whose inputs and label "
                           f"have the shapes {shapes}: {first_line(error)}") from error
