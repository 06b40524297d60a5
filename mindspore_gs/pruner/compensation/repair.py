"""Repair a masked network without training: solve for the weights of whoever reads the channels that went."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from math import inf
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, evaluating, in_mode, parameters_by_name
from mindspore_gs._config import not_negative
from mindspore_gs._precision import cell_inside
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import PruningError, first_line
from mindspore_gs.masks import Masks
from mindspore_gs.norms import batch_norm
from mindspore_gs.progress import tracked
from mindspore_gs.pruner.batches import batches_of, check_data, shapes_of
from mindspore_gs.pruner.compensation.consumers import Consumer, find_consumers, moved_norms
from mindspore_gs.pruner.compensation.gather import NOT_REACHED, Fit, Gathering, factor_behind, weight_of
from mindspore_gs.pruner.compensation.passes import Batch, Place, find_stream
from mindspore_gs.pruner.compensation.replay import HELD, Replay
from mindspore_gs.pruner.compensation.report import Compensation, Repaired
from mindspore_gs.pruner.compensation.statistics import Statistics, looked_at, moments, set_where
from mindspore_gs.pruner.compensation.targets import Targets, wanted_positions
from mindspore_gs.record import pruned_network, record_of
from mindspore_gs.slim.difference import parts

SAMPLES = 1024
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the ridge; the later ones where data is short
FEW = 8  # samples that show where a residual stream is


def compensate(net: nn.Cell, data: Any, samples: int = SAMPLES, seed: int = 0) -> Compensation:
    r"""Give the layers that read removed channels the weights that make up for them best, in closed form.

    The layers behind them, whose input has changed, get new weights in the same way. For each of these layers, in order
    of execution, with patches :math:`x_i` of what it is given in the network pruned so far and outputs :math:`t_i` of
    the dense network, the weights become

    .. math:: \min_{W, c} \sum_i |t_i - W x_i - c|^2 + \lambda |W - W_0|^2

    with the old weights :math:`W_0`. :math:`\lambda` is between 0.0001 and 1 times the mean diagonal of the patches'
    Gram matrix: every eighth sample is not fitted, and the value is taken with which these come out best. A layer that
    comes out no better on them keeps its weights.

    The intercept c goes into the BatchNorm behind the layer, or into its bias; without either there is none. Where a
    layer's output is added to a residual stream, t is the dense network's stream behind the sum less what the pruned
    network's shortcut carries, so that a block makes up for the blocks before it. Every BatchNorm in front of the layer
    gets new statistics first. That behind it gets new statistics, and gamma and beta with which it computes the same in
    training and in evaluation mode.

    Source: He et al., Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017, section 3.1 (there without
    intercept, stream, ridge, judge and layers further behind).

    Args:
        net: a masked network; its values are changed in place, its masks stay, and so the slim network equals it.
        data: a ``mindspore.dataset`` or an iterable of batches; a batch is a tensor, or a tuple whose first entries
            are the network's inputs (all but the last, which is the label). Labels are not used.
        samples: how many samples are used at most. Default: 1024.
        seed: of the positions that are drawn from feature maps. Default: 0.

    Returns:
        The error of each layer before and after, and what was left as it was, with the reason.

    Raises:
        TypeError: ``net`` is not a Cell, ``data`` is no data, or ``seed`` no int.
        ValueError: there is no batch, ``samples`` is less than 1, or ``seed`` less than 0.
        PruningError: ``net`` has no masks, or does not take a batch, or there is NaN in one.

    Examples:
        >>> import numpy as np
        >>> from mindspore import Tensor, nn, set_seed
        >>> from mindspore_gs import ChannelPruner
        >>> from mindspore_gs.pruner.compensation import compensate
        >>> set_seed(1)  # of the weights, which are random here
        >>> net = nn.SequentialCell(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 2))
        >>> masked = ChannelPruner(prune_rate=0.5, input_shape=(1, 4)).apply(net)
        >>> x = Tensor(np.random.default_rng(0).standard_normal((256, 4)).astype(np.float32))
        >>> found = compensate(masked, [x])
        >>> [(layer.name, layer.after < layer.before) for layer in found.layers]
        [('2', True)]
    """
    check_data("compensate", net, data)
    if not isinstance(samples, int) or isinstance(samples, bool) or samples < 1:
        raise ValueError(f"for compensate(), 'samples' must be an int of at least 1, but got {samples!r}.")
    seed = not_negative("compensate", "seed", seed)
    if not record_of(net).masks:
        raise PruningError(f"{type(net).__name__} has no masked layers to repair; call apply() of ChannelPruner, or of "
                           "PrunerFtCompressAlgo behind the knockoff phase, first.")
    masks, batches = Masks(net), _some(data, samples)
    with in_mode(ms.PYNATIVE_MODE):
        dense, work = masks.detached(), copy_network(pruned_network(net))
        with evaluating(dense), evaluating(work):
            _try(dense, batches[0])
            repair = _Repair(dense, work, masks, batches, seed)
            found = repair.all()
    targets = parameters_by_name(pruned_network(net))
    for name, values in repair.changed().items():
        targets[name].set_data(ms.Tensor(values).astype(targets[name].dtype))
    return found


def _some(data: Any, samples: int) -> list[Batch]:
    """The first batches, with ``samples`` samples at most; the first one whole."""
    found: list[Batch] = []
    for batch in batches_of("compensate", data):
        if found and _number(found) + _number([batch]) > samples:
            break
        found.append(batch)
        if _number(found) >= samples:
            break
    if not found:
        raise ValueError("compensate() needs at least one batch, but the dataset is empty.")
    return found


def _try(net: nn.Cell, batch: Batch) -> None:
    """Run a batch, so that data that does not fit is refused before anything else is done."""
    try:
        with nothing_left_behind():
            for value in parts(net(*batch)).values():
                np.asarray(value)
    except Exception as error:
        raise PruningError(f"compensate(): {type(net).__name__} cannot be run on a batch whose inputs have the shapes "
                           f"{shapes_of(batch)}: {first_line(error)}. Give batches of what the network takes, each a "
                           "tensor or a tuple of its inputs and the label.") from error


def _few(net: nn.Cell, batch: Batch) -> Batch:
    """A few samples of a batch, or the whole of it for a network that was written for one size of batch."""
    few = tuple(x[:FEW] if x.ndim else x for x in batch)
    try:
        _try(net, few)
    except PruningError:
        return batch  # which it takes: that has been tried
    return few


def _number(batches: Iterable[Batch]) -> int:
    """How many samples there are."""
    return sum(batch[0].shape[0] if batch[0].ndim else 1 for batch in batches)


class _Repair:
    """One compensation: the dense network, the one that is being repaired, and the data."""

    def __init__(self, dense: nn.Cell, work: nn.Cell, masks: Masks, batches: Sequence[Batch], seed: int):
        self.dense, self.work, self.batches = dense, work, batches
        generator, self.samples = np.random.default_rng(seed), _number(batches)
        self.few = _few(dense, batches[0])
        graph, choice = record_of(work).graph, masks.read()
        self.consumers, self.skipped = find_consumers(dense, graph, choice)
        self.streams = self._streams(generator)
        self.targets = Targets(dense, batches, {consumer: self.streams.get(consumer) for consumer in self.consumers
                                                if not self._hopeless(consumer)}, generator)
        moved = moved_norms(dense, graph, choice)
        self.statistics = Statistics(work, moved, moments(dense, [each.path for each in moved], batches))
        self.parameters = parameters_by_name(work)
        self.before = {name: parameter.float().asnumpy().copy() for name, parameter in self.parameters.items()}
        self.replay = Replay(work, batches, self.few, 0 if graph.written else HELD)

    def _streams(self, generator: np.random.Generator) -> dict[Consumer, Place]:
        """Where each layer that is added to a residual stream sees it. Of the addends of one sum, the last one does."""
        found = {}
        for consumer in (consumer for consumer in self.consumers if consumer.added):
            place = find_stream(self.dense, self.few, consumer.norm or consumer.name, generator)
            if place is not None:
                found[place] = consumer
        return {consumer: place for place, consumer in found.items()}

    def changed(self) -> dict[str, np.ndarray]:
        """The parameters that have other values than before, in float32."""
        now = {name: parameter.float().asnumpy() for name, parameter in self.parameters.items()}
        return {name: values for name, values in now.items() if not np.array_equal(values, self.before[name])}

    def all(self) -> Compensation:
        """Every layer in order of execution, then the statistics that are left."""
        layers = []
        for consumer in tracked(self.consumers, "compensation"):
            self.statistics.measure(self.replay.passes(), consumer.name, consumer.place)
            answer = self._one(consumer)
            if isinstance(answer, Repaired):
                layers.append(answer)
            elif consumer.reads:
                self.skipped[consumer.name] = answer
        self.statistics.measure(self.replay.passes())
        for path in self.statistics.short:
            self.skipped[path] = "its statistics stay: the data has too few values for each channel"
        for path in self.statistics.left:
            self.skipped[path] = "its statistics stay: evaluation does not reach it as a cell"
        return Compensation(tuple(layers), self.skipped)

    def _hopeless(self, consumer: Consumer) -> str:
        """Why a layer need not be looked at, or nothing."""
        columns = consumer.columns
        if columns and not wanted_positions(columns, self.samples):
            return f"{columns} weights for each of its channels are too many to solve for"
        return "" if columns and consumer.outputs.any() else "all of its channels went"

    def _one(self, consumer: Consumer) -> Repaired | str:
        """Solve for one layer and write the solution down, or say why not."""
        reason = self._hopeless(consumer)
        if reason:
            return reason
        target = self.targets.of(consumer)
        if target is None:
            return NOT_REACHED
        to_come = self.consumers[self.consumers.index(consumer):]
        changing = [*(cell_inside(self.work, each.name) for each in to_come), *self.statistics.pending(False)]
        in_front = self.statistics.in_front(consumer.place)
        with looked_at(in_front), closing(self.replay.recording(changing, self.statistics.pending(True))) as batches:
            fit = Gathering(self.work, target, factor_behind(self.dense, consumer)).all(batches, self.samples)
        if isinstance(fit, str):
            return fit
        self.statistics.finish(in_front)
        return self._solve(consumer, fit)

    def _solve(self, consumer: Consumer, fit: Fit) -> Repaired | str:
        """The ridge with which samples that are not fitted come out best, if they come out better at all."""
        if not fit.held_out[0].count:
            return f"{fit.fitted[0].count} positions are too few to solve for it"
        intercept = consumer.norm is not None or consumer.bias is not None
        scale = factor_behind(self.dense, consumer)[consumer.outputs] ** 2
        whole = max(float((scale * fit.variance).sum()), float(np.finfo(np.float64).tiny))
        before = float((scale * np.concatenate([rows.error() for rows in fit.held_out])).sum()) / whole
        best, after = None, inf
        for strength in STRENGTHS:
            solutions = [rows.solve(intercept, strength) for rows in fit.fitted]
            errors = [rows.error(*found) for rows, found in zip(fit.held_out, solutions)]
            now = float((scale * np.concatenate(errors)).sum()) / whole
            if now >= after:
                break
            best, after = solutions, now
        if best is None or after >= before:
            return f"no weights are better on samples that are not fitted ({before:.3g} before, {after:.3g} after)"
        self._write(consumer, best)
        return Repaired(consumer.name, before, after, "stream" if consumer in self.streams else "output")

    def _write(self, consumer: Consumer, solutions: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
        weight = weight_of(self.work, consumer)
        shift = np.zeros(len(weight))
        for own, (change, c) in zip(np.split(np.arange(len(weight)), consumer.layer.groups), solutions):
            own = own[consumer.outputs[own]]
            block = weight[own]
            block[:, consumer.inputs] += change.reshape(len(own), -1, *consumer.layer.kernel).astype(np.float32)
            weight[own], shift[own] = block, c
        parameter = self.parameters[consumer.weight]
        parameter.set_data(ms.Tensor(weight.reshape(parameter.shape)).astype(parameter.dtype))
        norm = batch_norm(cell_inside(self.work, consumer.norm)) if consumer.norm else None
        if norm is not None and consumer.norm is not None:
            set_where(norm.mean, norm.mean.float().asnumpy() - shift, consumer.outputs)
            self.statistics.keep_function(consumer.norm)
        elif consumer.bias is not None:
            bias = self.parameters[consumer.bias]
            set_where(bias, bias.float().asnumpy() + shift, consumer.outputs)
