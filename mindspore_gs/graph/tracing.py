"""Trace a network into a channel graph, and find out which channels go together."""

import inspect
from collections import Counter
from dataclasses import replace
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import as_inputs
from mindspore_gs.errors import TraceError, first_line
from mindspore_gs.graph._mindir import export_graph
from mindspore_gs.graph.channel_graph import ChannelGraph
from mindspore_gs.graph.hidden import settle_with_hidden
from mindspore_gs.graph.layer_norms import NORMS
from mindspore_gs.graph.views import all_views
from mindspore_gs.progress import step

_SMALL_IMAGES = (32, 28, 64, 96, 224)
_LARGE_IMAGES = (224, 32, 256, 299, 192, 160, 128, 112, 96, 64, 28)


def trace(net: nn.Cell, *inputs: Any, norms: str = "keep") -> ChannelGraph:
    """Trace which channels of ``net`` depend on which, from its MindIR export.

    Args:
        net: the network. Its parameters, training flags and compiled graphs stay as they are.
        inputs: what the network is called with: tensors, arrays, or shapes such as ``(1, 3, 32, 32)``, which get
            the type of the first convolution's weight. Without any, the shape is guessed from the first
            convolution and a few usual image sizes.
        norms: ``"keep"``: channels that a layer normalisation computes over stay. ``"recompute"``: they may go, and it
            computes its mean and variance over what is left; see :class:`~mindspore_gs.ChannelPruner`.
            Default: ``"keep"``.

    Returns:
        The immutable channel graph; ``.groups()`` lists what can be removed together.

    Raises:
        TypeError: ``net`` is not a Cell.
        ValueError: ``norms`` is something else.
        TraceError: the network cannot be exported with these inputs, or no usual size fits.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs.graph import trace
        >>> net = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> for group in trace(net, (1, 3, 16, 16)).groups():
        ...     print(group.name, group.size, group.blocked_by)
        0 8 None
        3 4 REACHES_OUTPUT at Conv2D in Default/3-Conv2d: the channel is an output of the network
    """
    if not isinstance(net, nn.Cell):
        raise TypeError(f"trace() takes a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    if norms not in NORMS:
        raise ValueError(f"'norms' must be one of {NORMS}, but got {norms!r}.")
    with step(f"tracing {type(net).__name__}"):
        graph, tensors = _exported(net, inputs)
        found = settle_with_hidden(net, ChannelGraph.of(net, all_views(net, graph, tensors), tensors, norms), tensors)
    numbers = any(isinstance(value, (ms.Tensor, np.ndarray)) for value in inputs)
    return replace(found, given=tensors) if numbers else found


def trace_deployed(net: nn.Cell, *inputs: Any) -> ChannelGraph:
    """The channel graph of what evaluation computes, whatever else training does; for a network that is only run.

    Args:
        net: the network.
        inputs: as for :func:`trace`.

    Raises:
        TraceError: as :func:`trace`, but for what only training does.
    """
    with step(f"tracing {type(net).__name__}"):
        graph, tensors = _exported(net, inputs)
        return ChannelGraph.of(net, (graph,), tensors)


def _exported(net: nn.Cell, inputs: tuple[Any, ...]) -> tuple[Any, tuple[ms.Tensor, ...]]:
    """The graph that evaluation runs, and the inputs that it was exported with."""
    _check_number(net, len(inputs))
    _check_names(net)
    if not inputs:
        return _guess(net)
    tensors = as_inputs(inputs, _weight_type(net))
    return export_graph(net, tensors, explain=True), tensors


def _weight_type(net: nn.Cell) -> Any:
    """The type of the first convolution's weight; the network's inputs are expected to have it."""
    return next((cell.weight.dtype for _, cell in net.cells_and_names() if isinstance(cell, nn.Conv2d)), ms.float32)


def _check_number(net: nn.Cell, given: int) -> None:
    """Refuse fewer inputs than ``construct`` must have; without any, one image is guessed."""
    parameters = inspect.signature(net.construct).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if len(needed) > max(given, 1):
        got = f"{given} came" if given else "one image is all that can be guessed"
        raise TraceError(f"{type(net).__name__} is called with {len(needed)} inputs ({', '.join(needed)}), but {got}. "
                         "If it computes a loss, pass the network inside of it; else pass every input to trace(), or a "
                         "list of shapes as 'input_shape'.")


def _check_names(net: nn.Cell) -> None:
    """Refuse parameters of one name, which Graph mode, optimizers and checkpoints do not tell apart."""
    counts = Counter(parameter.name for parameter in net.get_parameters())
    name, number = max(counts.items(), key=lambda item: item[1], default=("", 0))
    if number > 1:
        raise TraceError(f"{number} parameters of {type(net).__name__} are called {name!r}, as auto_prefix=False, "
                         "insert_child_to_cell() or, in PyNative mode, a slice of cells such as self.layers[:-1] "
                         "leaves them. Give each the name of its place before anything else: "
                         "for name, parameter in net.parameters_and_names(): parameter.name = name")


def _guess(net: nn.Cell) -> tuple[Any, tuple[ms.Tensor, ...]]:
    """Export with the first usual image size that the network takes."""
    convolutions = [cell for _, cell in net.cells_and_names() if isinstance(cell, nn.Conv2d)]
    if not convolutions:
        raise TraceError(f"{type(net).__name__} has no nn.Conv2d to guess an input from; "
                         "pass inputs to trace(), or 'input_shape' in the configuration.")
    first = convolutions[0]
    large = first.stride[0] > 1 or first.kernel_size[0] > 5
    tried = []
    for size in _LARGE_IMAGES if large else _SMALL_IMAGES:
        tensors = as_inputs(((1, first.in_channels, size, size),), first.weight.dtype)
        try:
            return export_graph(net, tensors), tensors
        except TraceError as error:
            tried.append(size)
            last = error
    raise TraceError(f"{type(net).__name__} takes no single image of {first.in_channels} channels and size "
                     f"{', '.join(map(str, tried))}; pass inputs to trace(), or 'input_shape': "
                     f"(1, {first.in_channels}, H, W) in the configuration. (Of the last size MindSpore says: "
                     f"{first_line(last.__cause__ or last)})") from last
