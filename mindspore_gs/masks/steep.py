"""Functions without a finite slope at zero, such as roots and angles: they make a masked channel's gradient NaN."""

from collections.abc import Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, in_mode, switched, tensors_in
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import ChannelGraph, Group
from mindspore_gs.masks.masks import Masks
from mindspore_gs.slim.check import as_tensors, inputs_for


def check_slopes(net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group]) -> None:
    """Refuse a network whose gradients are numbers, but no longer where channels are masked.

    Costs one forward and backward pass where a root reads channels that may be masked, and nothing elsewhere.

    Args:
        net: the network in its original form; it stays as it is.
        graph: its channel graph.
        groups: the groups that may lose channels.

    Raises:
        PruningError: names the operator, the layers in front of it, and what to do.
    """
    found = [(node, group) for group in groups if group.size > 1
             for ids, node in graph.channels.steep if np.isin(ids, graph.ids_of(group)).any()]
    if not found:
        return
    choice = {group: np.arange(group.size) % 2 == 0 for _, group in found}
    masked = copy_network(net)
    Masks.attach(masked, graph, choice).set(choice)
    inputs = as_tensors(inputs_for(net, graph))
    with in_mode(ms.PYNATIVE_MODE), nothing_left_behind():
        try:
            trains = _has_numbers(copy_network(net), inputs)
        except Exception:  # what has no gradient even without masks says so itself when it is trained
            return
        if not trains or _has_numbers(masked, inputs):
            return
    node = found[0][0]
    layers = ", ".join(repr(member) for member in dict.fromkeys(m for _, group in found for m in group.members))
    raise PruningError(
        f"{type(net).__name__} cannot be trained with masks: {node.op} in {node.scope or 'the network'} has no finite "
        "slope at zero, which is where a masked channel is, so that all gradients in front of it would be NaN. Remove "
        f"the channels without training in between: prune(net, ...), or add {layers} to 'ignore'.")


def _has_numbers(net: nn.Cell, inputs: tuple[ms.Tensor, ...]) -> bool:
    """Whether all gradients of a sum of what the network returns in training mode are finite."""
    weights = switched(net, True).trainable_params()

    def total(*given: ms.Tensor) -> Any:
        return sum((part.astype(ms.float32) ** 2).mean() for part in tensors_in(net(*given))
                   if part.is_floating_point())

    gradients = ms.grad(total, grad_position=None, weights=weights)(*inputs)
    return all(np.isfinite(gradient.float().asnumpy()).all() for gradient in gradients)
