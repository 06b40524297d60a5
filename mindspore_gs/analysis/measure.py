"""One number for a network: its accuracy, its loss, or what a function of the user's says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import evaluating
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import PruningError, first_line
from mindspore_gs.pruner.batches import check_batches, rows_of, shapes_of


@dataclass(frozen=True)
class Measure:
    """What is measured.

    Attributes:
        name: ``"accuracy"``, ``"loss"``, or the name of the user's function.
        higher_is_better: whether a larger number is a better network.
        number: gives it.
    """

    name: str
    higher_is_better: bool
    number: Callable[[nn.Cell], Any]

    def __call__(self, net: nn.Cell) -> float:
        """Measure a network in evaluation mode; its training flags are as before afterwards.

        Raises:
            TypeError: the user's function gives no number.
            PruningError: the number is not finite, or the network does not take a batch.
        """
        with evaluating(net):
            found = self.number(net)
        try:
            value = float(found.asnumpy() if isinstance(found, ms.Tensor) else found)
        except (TypeError, ValueError) as error:
            raise TypeError(f"'metric' must be a function of the network that returns a number, but {self.name} "
                            f"returned {type(found).__name__!r}.") from error
        if not np.isfinite(value):
            raise PruningError(f"the {self.name} of {type(net).__name__} is {value}, which cannot be compared; look "
                               "for NaN or infinite numbers in the data, or for a loss that overflows.")
        return value

    def lost(self, value: float, baseline: float) -> float:
        """How much worse a value is than the baseline; negative where it is better."""
        return baseline - value if self.higher_is_better else value - baseline


def measure_of(caller: str, data: Any, metric: Any, loss_fn: Any) -> Measure:
    """What a user asks for: a function of the network (``metric``), a loss, or without both the accuracy.

    Args:
        caller: name of the function that the user has called.
        data: batches of the network's inputs and the label; None where ``metric`` is a function.
        metric: a function of the network, more is better; or None.
        loss_fn: a function of the output and the label, less is better; or None.

    Raises:
        TypeError, ValueError: one of them is something else, or they do not go together.
    """
    if metric is not None and loss_fn is not None:
        raise ValueError(f"for {caller}(), 'metric' and 'loss_fn' exclude each other, but got both; give one.")
    for name, value in (("metric", metric), ("loss_fn", loss_fn)):
        if value is not None and not callable(value):
            raise TypeError(f"for {caller}(), {name!r} must be a function, but got {value!r}.")
    if metric is not None:
        return Measure(name_of(metric), True, metric)
    if data is None:
        raise ValueError(f"for {caller}(), 'data' must be batches of inputs and labels, such as a list of "
                         "(images, labels), or 'metric' a function of the network, but got neither.")
    check_batches(caller, data)
    if isinstance(data, Iterator):
        raise ValueError(f"{caller}() reads 'data' many times, but an iterator can be read only once; give a list of "
                         "batches or a mindspore.dataset.")
    if loss_fn is not None:
        return Measure("loss", False, lambda net: _mean(caller, net, data, loss_fn))
    return Measure("accuracy", True, lambda net: _mean(caller, net, data, _right))


def name_of(function: Any) -> str:
    """What a function is called in files and messages."""
    return str(getattr(function, "__name__", None) or type(function).__name__)


def _mean(caller: str, net: nn.Cell, data: Any, function: Callable[[Any, ms.Tensor], Any]) -> float:
    """The mean over all samples of what a function says of each batch."""
    total, count = 0.0, 0
    for row in rows_of(caller, data):
        number = row[-1].shape[0] if row[-1].ndim else 1
        total += number * _of_batch(caller, net, row, function)
        count += number
    if not count:
        raise ValueError(f"{caller}() needs at least one batch, but the data are empty.")
    return total / count


def _of_batch(caller: str, net: nn.Cell, row: tuple[ms.Tensor, ...],
              function: Callable[[Any, ms.Tensor], Any]) -> float:
    try:
        with nothing_left_behind():
            found = function(net(*row[:-1]), row[-1])
            return float(found.asnumpy() if isinstance(found, ms.Tensor) else found)
    except PruningError:
        raise
    except Exception as error:
        raise PruningError(f"{caller}(): {type(net).__name__} or the loss cannot be run on a batch whose inputs and "
                           f"label have the shapes {shapes_of(row)}: {first_line(error)}") from error


def _right(output: Any, label: ms.Tensor) -> float:
    """The share of samples whose largest output is at the label."""
    if not isinstance(output, ms.Tensor) or output.ndim != 2 or label.shape != output.shape[:1] \
            or label.is_floating_point():
        raise PruningError("the accuracy is for outputs of shape (samples, classes) and labels of shape (samples,) "
                           "that are class numbers. Give 'loss_fn', a function of output and label, or 'metric', a "
                           "function of the network.")
    return float((output.float().asnumpy().argmax(axis=1) == label.asnumpy()).mean())
