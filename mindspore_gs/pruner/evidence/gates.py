"""The gradient of a gate at each channel, by batch and by sample."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindspore_gs._cells import copy_network, in_mode, owners_by_name, switched
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import ChannelGraph, Group, Role

Batch = tuple[ms.Tensor, ...]
Loss = Callable[..., Any]
_IGNORED = -100  # the label that cross entropy leaves out


class Gates:
    r"""Squared gradients of the loss with respect to a gate at each channel, averaged.

    A gate :math:`z_j` multiplies channel j, and is 1. It multiplies what makes the channel or shifts it, so its
    gradient is :math:`\sum w \, \partial L / \partial w` over those parameters; behind a convolution with BatchNorm
    that is :math:`\gamma_j \, \partial L / \partial \gamma_j + \beta_j \, \partial L / \partial \beta_j`. No hook and
    no cell is needed for it. The network is copied, and runs in evaluation mode.

    Args:
        net: the network, plain cells.
        graph: its channel graph.
        groups: free groups of it.
        kinds: ``"gradient"`` (one gradient for each batch), ``"fisher"`` (one for each sample), or both.
        loss_fn: ``loss_fn(output, label)``, or None for cross entropy.
    """

    def __init__(self, net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group], kinds: Sequence[str],
                 loss_fn: Loss | None):
        self._graph, self._loss_fn = graph, loss_fn
        self._parts = {group: graph.silencers(group) for group in groups}
        self._names = list(dict.fromkeys(part.parameter for found in self._parts.values() for part in found))
        self._twin = switched(copy_network(net))
        owned = owners_by_name(self._twin)
        self._weights = [getattr(owned[name][0][1], owned[name][0][2]) for name in self._names]
        for weight in self._weights:
            weight.requires_grad = True
        self._values = [_array(weight).astype(np.float64) for weight in self._weights]
        self._gradients = {kind: ms.value_and_grad(_forward(self._twin, loss_fn or _cross_entropy), None, self._weights)
                           for kind in kinds}
        self._sums = {kind: {group: np.zeros(group.size) for group in groups} for kind in kinds}
        self._counts = dict.fromkeys(kinds, 0)
        self._classes: int | None = None

    def take(self, batch: Batch) -> None:
        """Run a batch of inputs and a label, forwards and backwards."""
        if self._loss_fn is None:
            self._check_labels(batch)
        for kind, sums in self._sums.items():
            with in_mode(self._mode(kind)):
                for part in _samples(batch) if kind == "fisher" else (batch,):
                    self._counts[kind] += 1
                    for group, gate in self._gates(kind, part):
                        sums[group] += gate ** 2

    def result(self) -> dict[str, dict[Any, np.ndarray]]:
        """For each kind, by the name of a layer's weight, the mean of the squares for each of the layer's channels."""
        for group in (group for sums in self._sums.values() for group, total in sums.items()
                      if not np.isfinite(total).all()):
            raise PruningError(f"the gradients of {group.name!r} are not finite: look for NaN or infinite numbers in "
                               "the weights and the data, or for a loss that overflows.")
        if self._sums and not any(total.any() for sums in self._sums.values() for total in sums.values()):
            raise PruningError("every gradient is zero, so the loss says nothing about the channels. Let 'loss_fn' "
                               "depend on the network's output, and give it data on which the network errs.")
        return {kind: self._by_weight({group: total / self._counts[kind] for group, total in sums.items()})
                for kind, sums in self._sums.items()}

    def _check_labels(self, batch: Batch) -> None:
        """Refuse what cross entropy does not take, or takes for another class."""
        if self._classes is None:
            output = self._twin(*batch[:-1])
            _check_default_loss(output, batch[-1])
            self._classes = int(output.shape[1])
        labels = batch[-1].asnumpy()
        wrong = labels[((labels < 0) | (labels >= self._classes)) & (labels != _IGNORED)]
        if len(wrong):
            raise PruningError(f"the label {wrong[0]} is no class of a network with {self._classes} outputs, which are "
                               f"0 to {self._classes - 1}. Correct the labels, or give 'loss_fn'.")

    def _mode(self, kind: str) -> int:
        """Sample by sample, a compiled network is far faster. It compiles, since it was traced; a loss may not."""
        return int(ms.GRAPH_MODE if kind == "fisher" and self._loss_fn is None else ms.get_context("mode"))

    def _gates(self, kind: str, batch: Batch) -> Iterator[tuple[Group, np.ndarray]]:
        """For each group the gradient of the gate of each channel."""
        loss, found = self._gradients[kind](*batch)
        if not isinstance(loss, ms.Tensor):
            raise PruningError(f"'loss_fn' must return one tensor, the loss, but returned {type(loss).__name__!r}.")
        if not np.isfinite(_array(loss)).all():
            raise PruningError(f"the loss is {float(_array(loss).sum())}: look for NaN or infinite numbers in the data "
                               "and the labels, for an empty batch, or for a loss that overflows.")
        products = {name: value * _array(gradient) for name, value, gradient in zip(self._names, self._values, found)}
        for group, parts in self._parts.items():
            yield group, _gate(products, parts, group.size)

    def _by_weight(self, means: dict[Group, np.ndarray]) -> dict[Any, np.ndarray]:
        found: dict[Any, np.ndarray] = {}
        for group, mean in means.items():
            for part in group.slices:
                if part.role is Role.FILTER:
                    length = self._graph.graph.parameters[part.parameter][part.axis]
                    found.setdefault(part.parameter, np.zeros(length))[part.indices] = mean[:, None]
        return found


def _array(value: ms.Tensor) -> np.ndarray:
    found: np.ndarray = (value.float() if value.dtype == ms.bfloat16 else value).asnumpy()
    return found


def _forward(net: nn.Cell, loss_fn: Loss) -> Callable[..., Any]:
    def forward(*batch: ms.Tensor) -> Any:
        return loss_fn(net(*batch[:-1]), batch[-1])

    return forward


def _cross_entropy(output: Any, label: ms.Tensor) -> Any:
    return ops.cross_entropy(output.float(), label.astype(ms.int32))  # MindSpore's own data sets have uint32


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


def _samples(batch: Batch) -> Iterator[Batch]:
    """A batch as batches of one sample."""
    count = batch[0].shape[0] if batch[0].ndim else 1
    if count == 1:
        yield batch
        return
    if any(not x.ndim or x.shape[0] != count for x in batch):
        shapes = ", ".join(str(tuple(x.shape)) for x in batch)
        raise PruningError("the criterion looks at one sample after the other, so the samples must lie along axis 0 of "
                           f"every input and of the label, but their shapes are {shapes}. Give batches of one sample.")
    for k in range(count):
        yield tuple(x[k:k + 1] for x in batch)
