"""A frozen copy of a network, and places where MindSpore does not look for parameters."""

from math import inf
from typing import Any

from mindspore import nn

from mindspore_gs._cells import copy_network, every_cell


def frozen_copy(net: nn.Cell, prefix: str) -> nn.Cell:
    """An independent copy in evaluation mode whose parameters are not trained.

    Args:
        net: the network, which stays as it is.
        prefix: what the names of the parameters get in front. Graph mode wants names that occur once, and a teacher
            usually has those of its student.

    Returns:
        The copy. Held in a tuple (``self.held = (copy,)``) it is no child: its parameters are in no list of
        parameters and no checkpoint, and ``set_train`` does not reach it.
    """
    twin = copy_network(net)
    for parameter in twin.get_parameters():
        parameter.name = prefix + parameter.name
        parameter.requires_grad = False
    for cell in every_cell(twin):
        cell.set_train(False)
    return twin


def check_networks(owner: str, **networks: Any) -> None:
    """Refuse what is no network, and one network in two parts.

    Raises:
        TypeError: one is not a Cell, or is a loss.
        ValueError: two are the same object.
    """
    for name, net in networks.items():
        if not isinstance(net, nn.Cell):
            raise TypeError(f"For '{owner}', the '{name}' must be a mindspore.nn.Cell, but got "
                            f"'{type(net).__name__}'.")
        if isinstance(net, nn.LossBase):
            raise TypeError(f"For '{owner}', the '{name}' must be a network, but got the loss '{type(net).__name__}'; "
                            "mind the order of the arguments.")
    if len({id(net) for net in networks.values()}) < len(networks):
        raise ValueError(f"For '{owner}', {' and '.join(networks)} are the same object, which would teach itself. "
                         "Build the teacher from the constructor and load the dense checkpoint into it.")


def check_number(owner: str, name: str, value: Any, low: float, high: float, open_below: bool = False) -> float:
    """A number within bounds, as float; it is finite, whatever they are.

    Raises:
        TypeError: it is no number.
        ValueError: it is out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"For '{owner}', the '{name}' must be a number, but got '{type(value).__name__}'.")
    if not (low < value if open_below else low <= value) or not value <= high or value == inf:
        brackets = "(" if open_below else "[", ")" if high == inf else "]"
        raise ValueError(f"For '{owner}', the '{name}' must be in {brackets[0]}{low:g}, {high:g}{brackets[1]}, but got "
                         f"{value!r}.")
    return float(value)
