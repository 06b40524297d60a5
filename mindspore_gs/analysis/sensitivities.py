"""Sensitivity analysis: one group after the other loses channels, and the network is measured. Masks only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, parameters_by_name
from mindspore_gs._files import checked_path
from mindspore_gs.analysis.measure import Measure, measure_of, name_of
from mindspore_gs.analysis.result import GroupSensitivity, Point, Sensitivity
from mindspore_gs.comp_algo import check_cell
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import Group
from mindspore_gs.masks import Masks
from mindspore_gs.norms import batch_norms
from mindspore_gs.progress import tracked
from mindspore_gs.pruner.channel import ChannelPruner
from mindspore_gs.pruner.select import best, number_kept

RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_SAME = 1e-4  # baselines of one network on the same data, relative


def sensitivity(net: nn.Cell, data: Any = None, metric: Callable[[nn.Cell], Any] | None = None,
                rates: Sequence[float] = RATES, criterion: Any = "l1", file: str | os.PathLike | None = None, *,
                loss_fn: Callable[..., Any] | None = None, residual: str = "couple", ignore: Sequence[str] = (),
                inputs: Any = None, seed: int = 0, batch_statistics: bool = False) -> Sensitivity:
    """Measure the network with some channels of one group masked and all others whole, for each group and rate.

    Nothing is trained, traced again or made slim: masks are set on a copy, and the copy is evaluated, once for each
    group and rate. Sources: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, section 3.2, for the
    measurement; He and Xiao, Structured Pruning for Deep Convolutional Neural Networks: A Survey, TPAMI 2024, for the
    use that is made of it.

    Args:
        net: the trained network; it stays as it is.
        data: batches of inputs and labels, a ``mindspore.dataset`` or a list, which is read once for each measurement.
            May be None where ``metric`` needs none.
        metric: a function that takes the masked network in evaluation mode and returns a number, more is better.
            Default: the accuracy on ``data``, for outputs of shape (samples, classes).
        rates: shares of a group's channels, each in (0, 1). A group of C channels keeps ``C - int(rate * C)``.
        criterion: which channels go, as in :class:`~mindspore_gs.ChannelPruner`. Default: ``"l1"``.
        file: a JSON file that gets each result as soon as it is there. Where it exists, what it holds is not measured
            again. Default: none.
        loss_fn: instead of ``metric``, a function of output and label; the mean over all samples is measured, less is
            better. Criteria that read gradients use it, too.
        residual, ignore, seed: as in :class:`~mindspore_gs.ChannelPruner`.
        inputs: what the network is called with, as in :func:`~mindspore_gs.prune`.
        batch_statistics: whether BatchNorms normalise by each batch instead of their moving statistics, which are wrong
            once channels are masked. It shows what is left after training has put them right, and needs batches of
            many samples. Default: False, as most tools have it.

    Returns:
        The values, which can be printed, drawn, stored and turned into rates.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range.
        PruningError: the network cannot be pruned or measured, or ``file`` belongs to another network, criterion,
            metric or data.

    Examples:
        >>> import numpy as np
        >>> from mindspore import nn
        >>> from mindspore_gs.analysis import sensitivity
        >>> net = nn.SequentialCell(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 2))
        >>> data = [(np.ones((6, 4), np.float32), np.array([0, 1] * 3, np.int32))]
        >>> found = sensitivity(net, data, rates=(0.25, 0.5), inputs=(1, 4))
        >>> [(group.name, [point.kept for point in group.points]) for group in found.groups], found.baseline
        ([('0', [6, 4])], 0.5)
    """
    pruner = ChannelPruner(criterion=criterion, residual=residual, ignore=ignore, input_shape=inputs, seed=seed,
                           data=data, loss_fn=loss_fn)
    check_cell(pruner, net)
    if not isinstance(batch_statistics, bool):
        raise TypeError(f"for sensitivity(), 'batch_statistics' must be True or False, but got {batch_statistics!r}.")
    measure = measure_of("sensitivity", data, metric, loss_fn)
    rates = checked_rates("sensitivity", rates)
    path = None if file is None else checked_path("sensitivity()", "file", file)
    masked = copy_network(net)
    graph, residual, groups = pruner.prepare(masked)
    identity = {"network": type(net).__name__, "weights": _checksum(net), "criterion": _name(criterion),
                "seed": int(seed), "residual": residual, "ignore": list(ignore), "metric": measure.name,
                "batch_statistics": batch_statistics}
    scores = pruner.scores(masked, graph, groups)
    masks = Masks.attach(masked, graph, groups, residual)
    if batch_statistics:
        masked.set_train(False)
        for norm in batch_norms(masked).values():
            norm.follow_batch()
    known = _known(path, identity, groups)
    baseline = measure(masked)
    _check_baseline(path, known, baseline)
    start = known or Sensitivity(identity, measure.name, measure.higher_is_better, baseline,
                                 tuple(_empty(group) for group in groups))
    return _Analysis(masked, masks, measure, path).all(start, groups, scores, rates)


def checked_rates(caller: str, rates: Any) -> tuple[float, ...]:
    """A user's rates, ascending.

    Raises:
        TypeError: they are no floats.
        ValueError: there is none, or one is outside (0, 1).
    """
    rates = rates.tolist() if isinstance(rates, np.ndarray) else rates
    if isinstance(rates, (str, bytes)) or not isinstance(rates, Sequence) or \
            not all(isinstance(rate, float) for rate in rates):
        raise TypeError(f"for {caller}(), 'rates' must be a list of floats such as (0.25, 0.5), but got {rates!r}.")
    if not rates or not all(0.0 < rate < 1.0 for rate in rates):
        raise ValueError(f"for {caller}(), 'rates' must be shares between 0 and 1, such as (0.25, 0.5), but got "
                         f"{rates!r}.")
    return tuple(sorted(set(rates)))


@dataclass(frozen=True, eq=False)
class _Analysis:
    """What one analysis measures with."""

    masked: nn.Cell
    masks: Masks
    measure: Measure
    path: Path | None

    def all(self, found: Sensitivity, groups: Sequence[Group], scores: Sequence[np.ndarray],
            rates: Sequence[float]) -> Sensitivity:
        """Every point that is not there yet; each is stored as soon as it is measured."""
        todo = [(place, rate) for place, group in enumerate(found.groups) for rate in rates
                if rate not in {point.rate for point in group.points}]
        for place, rate in tracked(todo, "sensitivity"):
            kept = number_kept(groups[place].size, rate)
            value = self._value(found, found.groups[place], kept, groups[place], scores[place])
            points = sorted((*found.groups[place].points, Point(rate, kept, value)), key=lambda point: point.rate)
            new = replace(found.groups[place], points=tuple(points))
            found = replace(found, groups=(*found.groups[:place], new, *found.groups[place + 1:]))
            if self.path is not None:
                found.to_json(self.path)
        return found

    def _value(self, found: Sensitivity, known: GroupSensitivity, kept: int, group: Group, score: np.ndarray) -> float:
        """The value with so many channels; a small group keeps the same number at several rates."""
        values = {group.size: found.baseline} | {point.kept: point.value for point in known.points}
        if kept not in values:
            self.masks.set({group: best(score, kept)})
            try:
                values[kept] = self.measure(self.masked)
            finally:
                self.masks.set({group: np.ones(group.size, dtype=bool)})
        return values[kept]


def _empty(group: Group) -> GroupSensitivity:
    return GroupSensitivity(group.name, group.members, group.weights, group.size, ())


def _known(path: Path | None, identity: dict[str, Any], groups: Sequence[Group]) -> Sensitivity | None:
    """What a file holds of the same analysis, or None where there is no file."""
    if path is None or not path.exists():
        return None
    found = Sensitivity.from_json(path)
    for name, value in identity.items():
        if found.identity.get(name) != value:
            raise PruningError(f"{path} belongs to another analysis: its {name!r} is {found.identity.get(name)!r}, and "
                               f"here it is {value!r}. Give another 'file', or remove this one.")
    by_name = {(group.name, group.weights): group for group in found.groups}
    merged = tuple(by_name.get((group.name, group.weights), _empty(group)) for group in groups)
    return replace(found, groups=merged)


def _check_baseline(path: Path | None, known: Sensitivity | None, baseline: float) -> None:
    if known is not None and abs(known.baseline - baseline) > _SAME * max(1.0, abs(baseline)):
        raise PruningError(f"{path} belongs to other data: the {known.metric} of the whole network was "
                           f"{known.baseline:.6g} there and is {baseline:.6g} here. Give the same data, or another "
                           "'file'.")


def _checksum(net: nn.Cell) -> str:
    """Of the names, shapes and values of all parameters."""
    found = hashlib.sha256()
    for name, parameter in sorted(parameters_by_name(net).items()):
        value = parameter.float().asnumpy() if parameter.dtype == ms.bfloat16 else parameter.asnumpy()
        found.update(f"{name} {value.shape} {value.dtype}".encode())
        found.update(np.ascontiguousarray(value).tobytes())
    return found.hexdigest()[:16]


def _name(criterion: Any) -> str:
    return criterion if isinstance(criterion, str) else name_of(criterion)
