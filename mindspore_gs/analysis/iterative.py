"""Prune a little, train, and again: in each round the groups that matter least lose some of their channels."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, remember_names
from mindspore_gs._files import checked_path, whole_file
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.analysis.measure import Measure, measure_of
from mindspore_gs.checkpoint import fits_masks, load_parameters, read_checkpoint
from mindspore_gs.comp_algo import check_cell
from mindspore_gs.cost import CostModel
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import ChannelGraph, Group
from mindspore_gs.masks import Masks
from mindspore_gs.masks.trial import check_trainable
from mindspore_gs.progress import tracked
from mindspore_gs.pruner.allocation import allowed_widths
from mindspore_gs.pruner.channel import ChannelPruner
from mindspore_gs.pruner.select import best
from mindspore_gs.pruner.widths import CLOSE, NAMES, TOLERANCE, Target

_log = logging.getLogger("mindspore_gs")


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        share: what is left of the dense network's MACs or parameters.
        kept: channels that each group keeps, by the group's name.
        pruned: the metric right after pruning.
        tuned: the metric after the user's function has trained the network.
    """

    share: float
    kept: Mapping[str, int]
    pruned: float
    tuned: float


@dataclass(frozen=True, eq=False)
class Iterated:
    """What :func:`prune_iteratively` returns.

    Attributes:
        small: the slim network.
        masked: the masked network that was trained, equal to it.
        rounds: what each round has done.
    """

    small: nn.Cell
    masked: nn.Cell
    rounds: tuple[Round, ...]


def prune_iteratively(net: nn.Cell, fine_tune: Callable[[nn.Cell], Any], target: Mapping[str, float] | None = None,
                      data: Any = None, metric: Callable[[nn.Cell], Any] | None = None, *,
                      loss_fn: Callable[..., Any] | None = None, rounds: int = 5, step: float = 0.2,
                      criterion: Any = "l1", checkpoint: str | os.PathLike | None = None, inputs: Any = None,
                      **options: Any) -> Iterated:
    r"""Prune the least sensitive groups a little, train, and repeat until the target is met.

    After round r of R the share :math:`t^{r / R}` is left, where t is the target. In a round each group's channels are
    scored anew, and the network is measured with the share ``step`` of the channels of one group masked on top, for
    each group. In the order of what is lost for the cost that is saved, groups lose these channels until the round's
    share is left, the last one only as many as needed; where half of them have, they are measured again. Then the
    masked network goes to ``fine_tune``. Channels that are masked stay so.

    Source: Molchanov et al., Pruning Convolutional Neural Networks for Resource Efficient Inference, ICLR 2017, for the
    alternation; Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, for the sensitivity.

    Args:
        net: the trained network; it stays as it is.
        fine_tune: a function that trains the masked network in place, called once in each round. What it returns is
            not used. The network is the same object in all rounds, so an optimizer may be kept.
        target: what shall be left, ``{"macs": t}`` or ``{"params": t}``. Default: half of the MACs.
        data, metric, loss_fn: what is measured, as in :func:`~mindspore_gs.analysis.sensitivity`.
        rounds: how many there are. Default: 5.
        step: share of a group's channels that it may lose before the groups are measured again, in (0, 1). Default:
            0.2.
        criterion: which channels of a group go, as in :class:`~mindspore_gs.ChannelPruner`. Default: ``"l1"``.
        checkpoint: a file that gets the masked network after each round. Where it exists, it is loaded, and the rounds
            that it has behind it are left out. It is a checkpoint of a masked network like any other. Default: none.
        inputs: what the network is called with, as in :func:`~mindspore_gs.prune`.
        options: ``residual``, ``ignore``, ``round_to``, ``min_channels`` and ``seed`` of
            :class:`~mindspore_gs.ChannelPruner`.

    Returns:
        The slim network, the masked one that equals it, and what each round has done.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range.
        PruningError: the network cannot be pruned or measured, or the target cannot be met.
        CheckpointError: the file belongs to another network.

    Examples:
        >>> import numpy as np
        >>> from mindspore import nn
        >>> from mindspore_gs.analysis import prune_iteratively
        >>> net = nn.SequentialCell(nn.Dense(4, 64), nn.ReLU(), nn.Dense(64, 64), nn.ReLU(), nn.Dense(64, 2))
        >>> data = [(np.ones((6, 4), np.float32), np.array([0, 1] * 3, np.int32))]
        >>> found = prune_iteratively(net, lambda masked: None, {"params": 0.5}, data, rounds=2, inputs=(1, 4))
        >>> [abs(each.share - share) < 0.02 for each, share in zip(found.rounds, (0.5 ** 0.5, 0.5))]
        [True, True]
    """
    unknown = set(options) - {"residual", "ignore", "round_to", "min_channels", "seed"}
    if unknown:
        raise ValueError(f"for prune_iteratively(), {sorted(unknown)[0]!r} is not an option; allowed are residual, "
                         "ignore, round_to, min_channels and seed.")
    pruner = ChannelPruner(criterion=criterion, target={"macs": 0.5} if target is None else target, input_shape=inputs,
                           data=data, loss_fn=loss_fn, **options)
    aim = pruner.target
    assert aim is not None
    check_cell(pruner, net)
    _check(fine_tune, rounds, step, aim)
    measure = measure_of("prune_iteratively", data, metric, loss_fn)
    path = None if checkpoint is None else _path(checkpoint)
    masked = copy_network(net)
    graph, residual, groups = pruner.prepare(masked)
    check_trainable(masked, graph, groups)
    remember_names(masked)
    masks = Masks.attach(masked, graph, groups, residual)
    if path is not None and path.exists():
        load_parameters(masked, fits_masks(masked, read_checkpoint(path), path), path)
    loop = _Loop(pruner, aim, masked, masks, graph, groups, measure, step)
    done = _rounds(loop, fine_tune, rounds, path)
    return Iterated(pruner.convert(masked), masked, tuple(done))


def _rounds(loop: _Loop, fine_tune: Callable[[nn.Cell], Any], rounds: int, path: Path | None) -> Sequence[Round]:
    loop.check_target()
    done = []
    for number in range(1, rounds + 1):
        wanted = loop.target.share ** (number / rounds)
        if loop.share() <= wanted + CLOSE:
            continue  # a checkpoint has this round behind it
        loop.prune(wanted)
        if number == rounds:
            loop.check_met()
        pruned = loop.measure(loop.masked)
        fine_tune(loop.masked)
        done.append(Round(loop.share(), loop.kept_by_name(), pruned, loop.measure(loop.masked)))
        _log.info("round %d of %d: %.3f left, %s %.4g after pruning, %.4g after training", number, rounds,
                  done[-1].share, loop.measure.name, pruned, done[-1].tuned)
        if path is not None:
            with whole_file(path) as draft, nothing_left_behind():
                ms.save_checkpoint(loop.masked, str(draft), crc_check=True)
    return done


def _check(fine_tune: Any, rounds: Any, step: Any, target: Target) -> None:
    if not callable(fine_tune):
        raise TypeError("for prune_iteratively(), 'fine_tune' must be a function that trains the network it is given, "
                        f"but got {fine_tune!r}.")
    if not isinstance(rounds, int) or isinstance(rounds, bool) or rounds < 1:
        raise ValueError(f"for prune_iteratively(), 'rounds' must be an int of at least 1, but got {rounds!r}.")
    if not isinstance(step, float) or not 0.0 < step < 1.0:
        raise ValueError(f"for prune_iteratively(), 'step' must be a float in (0.0, 1.0), but got {step!r}.")
    if target.kind == "latency":
        raise ValueError("for prune_iteratively(), 'target' must be in MACs or parameters, such as {'macs': 0.5}; a "
                         "latency is too uncertain to be measured in each round.")


def _path(value: Any) -> Path:
    path = checked_path("prune_iteratively()", "checkpoint", value)
    return path if path.suffix == ".ckpt" else path.with_name(f"{path.name}.ckpt")


@dataclass(eq=False)
class _Loop:
    """The masked network and what its rounds need."""

    pruner: ChannelPruner
    target: Target
    masked: nn.Cell
    masks: Masks
    graph: ChannelGraph
    groups: tuple[Group, ...]
    measure: Measure
    step: float

    def __post_init__(self) -> None:
        model = CostModel(self.graph, self.groups)
        self._cost = model.params if self.target.kind == "params" else model.macs
        self._dense = int(self._cost(model.sizes))
        self._allowed = [allowed_widths(group.size, *self.pruner.rounding) for group in self.groups]

    def kept(self) -> np.ndarray:
        """Channels that each group keeps."""
        found = self.masks.read()
        return np.array([int(found[group].sum()) for group in self.groups])

    def kept_by_name(self) -> dict[str, int]:
        """The same by the name of the group; those that share a name are numbered."""
        found: dict[str, int] = {}
        for group, number in zip(self.groups, self.kept().tolist()):
            name, again = group.name, 2
            while name in found:
                name, again = f"{group.name} ({again})", again + 1
            found[name] = number
        return found

    def share(self, kept: np.ndarray | None = None) -> float:
        """What is left of the dense network's cost."""
        return int(self._cost(self.kept() if kept is None else kept)) / self._dense

    def check_target(self) -> None:
        """Refuse a target that the narrowest widths do not meet, before anything is trained."""
        least = self.share(np.array([allowed[-1] for allowed in self._allowed]))
        if least > self.target.share + TOLERANCE:
            raise self._unreachable(least)

    def check_met(self) -> None:
        """Refuse widths that are too coarse for the target."""
        if abs(self.share() - self.target.share) > TOLERANCE:
            raise self._unreachable(self.share())

    def _unreachable(self, nearest: float) -> PruningError:
        target = self.target
        return PruningError(f"found no channels to remove that leave {target.share} of the {NAMES[target.kind]} within "
                            f"{TOLERANCE}; the nearest is {nearest:.3f}. Change 'target', 'round_to', 'min_channels' "
                            "or 'ignore'.")

    def prune(self, wanted: float) -> None:
        """Mask channels until no more than this share is left, or as near to it as widths allow."""
        scores = self._scores()
        while self.share() > wanted + CLOSE:
            before = self.kept()
            order = self._order(scores, before)
            for group in order[:-(-len(order) // 2)]:
                now = self.kept()
                if self.share(now) <= wanted + CLOSE:
                    break
                self._mask(group, scores, self._fewest(now, group, before, wanted))
            if (self.kept() == before).all():
                return

    def _scores(self) -> list[np.ndarray]:
        """By the criterion, from the weights as they are now; what is masked is lowest."""
        stays = self.masks.read()
        found = self.pruner.scores(self.masks.detached(), self.graph, self.groups)
        return [np.where(stays[group], score, -np.inf) for group, score in zip(self.groups, found)]

    def _order(self, scores: Sequence[np.ndarray], kept: np.ndarray) -> list[int]:
        """The groups that can lose channels, that which loses least for what it saves first."""
        baseline, found = self.measure(self.masked), []
        here = self.share(kept)
        for group in tracked(range(len(self.groups)), "sensitivity"):
            width = self._next(kept, group)
            if width == kept[group]:
                continue
            trial = kept.copy()
            trial[group] = width
            self._mask(group, scores, width)
            lost = self.measure.lost(self.measure(self.masked), baseline)
            self._mask(group, scores, int(kept[group]))
            saved = max(here - self.share(trial), float(np.finfo(float).tiny))  # a group may save none of the MACs
            found.append((lost / saved if lost > 0 else lost * saved, group))
        return [group for _, group in sorted(found)]

    def _next(self, kept: np.ndarray, group: int) -> int:
        """The width after a step: the widest that is allowed and loses the share ``step`` or more, or the narrowest."""
        narrower = self._allowed[group][self._allowed[group] < kept[group]]
        if not len(narrower):
            return int(kept[group])
        enough = narrower[narrower <= (1 - self.step) * kept[group]]
        return int(enough[0] if len(enough) else narrower[-1])

    def _fewest(self, now: np.ndarray, group: int, before: np.ndarray, wanted: float) -> int:
        """The width between the present one and a step's at which the share is nearest to what is wanted."""
        widths = self._allowed[group]
        widths = widths[(widths <= now[group]) & (widths >= self._next(before, group))]
        trials = np.tile(now, (len(widths), 1))
        trials[:, group] = widths
        return int(widths[np.abs(self._cost(trials) / self._dense - wanted).argmin()])

    def _mask(self, group: int, scores: Sequence[np.ndarray], width: int) -> None:
        self.masks.set({self.groups[group]: best(scores[group], width)})
