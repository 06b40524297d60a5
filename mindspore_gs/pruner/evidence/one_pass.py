"""One pass over a user's data that collects whatever criteria ask for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import in_mode, parameters_by_name
from mindspore_gs._ranks import mean_over_ranks
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import PruningError, first_line
from mindspore_gs.graph import ChannelGraph, Group
from mindspore_gs.graph.restores import restore_path
from mindspore_gs.progress import tracked
from mindspore_gs.pruner.batches import batches_of, check_data, number_of_batches, rows_of, shapes_of
from mindspore_gs.pruner.channels import Evidence
from mindspore_gs.pruner.evidence.activations import Activations
from mindspore_gs.pruner.evidence.gates import Gates
from mindspore_gs.pruner.evidence.kinds import LABELLED, PHASE, kinds_of

Loss = Callable[..., Any]


def observe(net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group], data: Any, loss_fn: Loss | None = None,
            kinds: str | tuple[str, ...] = "gradient") -> Evidence:
    r"""Run data through a network once, and note down what criteria want to know of its channels.

    The network is copied, runs in evaluation mode, and stays as it is. On a terminal a line shows the time left. Kinds
    of evidence:

    - ``"gradient"``: :math:`E_b[g_j^2]`, where :math:`g_j` is the gradient of the loss with respect to a gate that
      multiplies channel j and is 1, and the mean is over batches. Removing the channel sets the gate to 0, which
      changes the loss L by about :math:`-g_j`. It is :math:`\sum w \, \partial L / \partial w` over what makes the
      channel or shifts it. Source: Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019.
    - ``"fisher"``: the same for each sample by itself, :math:`E_n[g_{jn}^2]`, which is the diagonal of the gates'
      Fisher information. One backward pass for each sample, in Graph mode unless ``loss_fn`` is given.
    - ``"mean"``, ``"variance"``: of the values of a channel, over samples and positions.
    - ``"zeros"``: the share of its values that are not above zero.
    - ``"rank"``: the rank of its feature map as a matrix, with values below zero as zero; mean over the first 500
      samples.
    - ``"independence"``: what its map adds to the nuclear norm of all maps of a sample, as a matrix of shape
      (channels, positions); mean over the first 128 samples.
    - ``"gram"``, ``"covariance"``: :math:`E[x x^T]` of all channels of the group, shape (channels, channels), with and
      without the means, at 24 random positions of each sample (more where a batch has few samples).
    - ``"contributions"``: :math:`\sum_o E[y_o y_o^T]` for what each channel adds to output o of the layer that reads
      it, at such positions, and for at most 8 outputs (more where positions are few), which stand for all. Only plain
      convolutions and dense layers of MindSpore's have it, and not transposed convolutions.

    The five in the middle are seen at each convolution that reads the channels, behind activation and pooling; where
    none does, at each layer that makes them, behind its BatchNorm; else at dense layers that read them. The last three
    are seen at every convolution and dense layer that reads the channels; where there is none, at each layer that makes
    them. For them the network runs in PyNative mode, with hooks on its cells; gradients alone are computed in the mode
    that is set. In data parallel training every process gets the mean over all.

    Args:
        net: the network, plain cells.
        graph: its channel graph.
        groups: free groups of it.
        data: a ``mindspore.dataset`` or an iterable of batches; a batch is a tensor, or a tuple of the network's inputs
            and the label. Gradients need the label.
        loss_fn: ``loss_fn(output, label)`` gives the loss, for gradients. Default: cross entropy, for labels that are
            class numbers and outputs of shape (samples, classes).
        kinds: one kind or a tuple of them. Default: ``"gradient"``.

    Returns:
        ``{kind: {where: array}}``. Gradients are stored by the name of each layer's weight, one number for each
        channel of the layer; everything else by the :class:`~mindspore_gs.graph.Slice` of the group at which it was
        seen, for the channels of the group. :meth:`Channels.evidence` reads both.

    Raises:
        TypeError: an argument is of another type, or a batch holds other things than tensors, or no label where one
            is needed.
        ValueError: there is no batch, or no such kind.
        PruningError: the network or the loss does not take a batch, or a number is not finite.

    Examples:
        >>> import numpy as np
        >>> from mindspore import nn
        >>> from mindspore_gs.graph import trace
        >>> from mindspore_gs.pruner.channels import channels_of
        >>> from mindspore_gs.pruner.evidence import observe
        >>> net = nn.SequentialCell(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 3))
        >>> graph = trace(net, (1, 4))
        >>> group = graph.groups()[0]
        >>> batch = np.ones((2, 4), np.float32), np.array([0, 2], np.int32)
        >>> evidence = observe(net, graph, [group], [batch], kinds=("gradient", "zeros", "gram"))
        >>> evidence["gradient"]["0.weight"].shape
        (8,)
        >>> channels = channels_of(net, graph, [group], evidence)[0]
        >>> [channels.evidence(kind)[0].shape for kind in ("gradient", "zeros", "gram")]
        [(8,), (8,), (8, 8)]
    """
    check_data("observe", net, data)
    _check_graph(net, graph, groups)
    kinds = kinds_of("observe()", kinds)
    if set(kinds) & set(PHASE):
        raise ValueError(f"observe(): {PHASE[0]!r} is found by the knockoff phase, and not in data.")
    labelled, seen = ([k for k in kinds if (k in LABELLED) is wanted] for wanted in (True, False))
    with in_mode(ms.PYNATIVE_MODE if seen else ms.get_context("mode")):
        gates = Gates(net, graph, groups, labelled, loss_fn) if labelled else None
        activations = Activations(net, graph, groups, seen) if seen else None
        batches, count = (rows_of if labelled else batches_of)("observe", data), 0
        for count, batch in enumerate(tracked(batches, "looking at data", number_of_batches(data)), 1):
            with _clear(net, batch, count), nothing_left_behind():
                if gates is not None:
                    gates.take(batch)
                if activations is not None:
                    activations.take(batch[:-1] if labelled else batch)
    if not count:
        raise ValueError("observe() needs at least one batch, but the data are empty.")
    return _of_all_ranks({**(gates.result() if gates else {}), **(activations.result() if activations else {})}, count)


def _check_graph(net: nn.Cell, graph: Any, groups: Any) -> None:
    """Refuse a graph or groups that are none, or another network's."""
    if not isinstance(graph, ChannelGraph):
        raise TypeError(f"observe() takes the channel graph that trace() returns, but got {type(graph).__name__!r}.")
    if not isinstance(groups, (list, tuple)) or not all(isinstance(group, Group) for group in groups):
        raise TypeError(f"observe() takes a list of groups of the channel graph, but got {groups!r:.100}.")
    own = parameters_by_name(net)
    missing = [part.parameter for group in groups for part in group.slices
               if part.parameter not in own and restore_path(part.parameter) is None]
    if missing:
        raise PruningError(f"observe(): {type(net).__name__} has no parameter {missing[0]!r}, which the channel graph "
                           "names; trace this network.")


def _of_all_ranks(found: dict[str, dict[Any, np.ndarray]], count: int) -> Evidence:
    """The mean over all processes, so that all choose the same channels."""
    keys = [(kind, where) for kind, values in found.items() for where in values]
    means = mean_over_ranks([found[kind][where] for kind, where in keys], count) if keys else []
    for (kind, where), mean in zip(keys, means):
        found[kind][where] = mean
    return found


@contextmanager
def _clear(net: nn.Cell, batch: tuple[ms.Tensor, ...], count: int) -> Iterator[None]:
    """What goes wrong in a batch is said with its shapes."""
    try:
        yield
    except PruningError:
        raise
    except Exception as error:
        raise PruningError(f"{type(net).__name__} or the loss cannot be run on batch {count}, whose inputs and label "
                           f"have the shapes {shapes_of(batch)}: {first_line(error)}") from error
