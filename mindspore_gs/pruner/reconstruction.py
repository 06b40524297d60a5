"""What each group is worth, without labels: the error of the network's output over the channels that it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, in_mode, switched
from mindspore_gs._ranks import mean_over_ranks
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import PruningError, first_line
from mindspore_gs.graph import ChannelGraph, Group
from mindspore_gs.masks import Masks
from mindspore_gs.norms import batch_norms
from mindspore_gs.progress import tracked
from mindspore_gs.pruner.allocation import Curve, allowed_widths
from mindspore_gs.pruner.batches import batches_of, shapes_of
from mindspore_gs.pruner.compensation import compensate
from mindspore_gs.pruner.select import best
from mindspore_gs.slim.difference import parts

Batch = tuple[ms.Tensor, ...]
SAMPLES = 256  # of the data at most
HELD_OUT = 4  # every fourth part of them is not fitted but judges
SHARES = (7 / 8, 3 / 4, 5 / 8, 1 / 2, 3 / 8, 1 / 4)  # of the channels, and the smallest number that is allowed
ENOUGH = 16  # samples of a batch, from which on BatchNorms may follow it


def error_curves(net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group], scores: Sequence[np.ndarray], data: Any,
                 fixed: Sequence[int | None], rounding: tuple[int, int], compensated: bool = False,
                 seed: int = 0) -> list[Curve | None]:
    r"""The error of each group at a few widths, with the other groups whole.

    .. math:: e_g(k) = \frac{\sum_i |y_i - \hat y_i|^2}{\sum_i |y_i - \bar y|^2}

    over held-out samples i, where :math:`y` is the output of the whole network and :math:`\hat y` that of the one in
    which group g keeps the k channels with the highest scores: 0 is no error, 1 that of a constant. It is taken at the
    network's output, and not behind the layer, since the same error of a layer matters more at one place than at
    another.

    With compensation, the layers that read the group are repaired for each width, as
    :func:`~mindspore_gs.pruner.compensation.compensate` does it, with samples that are not held out. Without it the
    BatchNorms of both networks go by the statistics of the batch, for the old ones are wrong and any training sets them
    right; where a batch has fewer than 16 samples they keep their statistics.

    Args:
        net: the network, plain cells; it stays as it is.
        graph: its channel graph.
        groups: free groups of it.
        scores: one number for each channel of each group.
        data: batches, as for ``compensate``; the first 256 samples are used, and the last quarter of them judges.
        fixed: number of channels of the groups that need not be measured, else None.
        rounding: ``round_to`` and ``min_channels``.
        compensated: whether the network is repaired for each width.
        seed: of the repair.

    Returns:
        For each group widths, ascending, and their errors; None for groups that need not be measured. The widths are
        all that are allowed where these are at most seven and the whole group, else about seven of them.

    Raises:
        ValueError: there are no batches, or with compensation less than two samples.
        PruningError: the network does not take a batch, or its output is not finite or never changes.
    """
    fitted, held_out = _split(data, compensated)
    with in_mode(ms.PYNATIVE_MODE):
        masked = switched(copy_network(net))
        if not compensated and min(_number(batch) for batch in held_out) >= ENOUGH:
            for norm in batch_norms(masked).values():
                norm.follow_batch()
        masks = Masks.attach(masked, graph, groups)
        judge = _Judge(masked, held_out)
        points = [(group, score, width) for group, score, number in zip(groups, scores, fixed) if number is None
                  for width in measured_widths(group.size, *rounding)]
        found: dict[Group, dict[int, float]] = {group: {group.size: 0.0} for group in groups}
        for group, score, width in tracked(points, "error of each group"):
            masks.set({group: best(score, width)})
            found[group][width] = judge(_repaired(masked, fitted, seed) if compensated else masked)
            masks.set({group: np.ones(group.size, dtype=bool)})
    return [None if number is not None else _curve(found[group]) for group, number in zip(groups, fixed)]


def measured_widths(size: int, round_to: int, min_channels: int) -> list[int]:
    """The widths at which a group is measured, descending, without the whole group.

    >>> measured_widths(64, 1, 1), measured_widths(5, 1, 2)
    ([56, 48, 40, 32, 24, 16, 1], [4, 3, 2])
    """
    allowed = allowed_widths(size, round_to, min_channels)[1:]
    if len(allowed) > len(SHARES) + 1:
        near = [int(np.abs(allowed - share * size).argmin()) for share in SHARES]
        allowed = allowed[np.unique([*near, len(allowed) - 1])]
    widths: list[int] = allowed.tolist()
    return widths


def _curve(errors: dict[int, float]) -> Curve:
    """Widths and errors, the same in all processes."""
    widths = sorted(errors)
    return np.array(widths), mean_over_ranks([np.array([errors[width] for width in widths])], 1)[0]


def _split(data: Any, compensated: bool) -> tuple[list[Batch], list[Batch]]:
    """The first samples, as those to fit with and those that judge."""
    batches: list[Batch] = []
    number = 0
    for batch in batches_of("scope='error'", data):
        batches += _cut([batch], 0, SAMPLES - number)
        number = sum(map(_number, batches))
        if number >= SAMPLES:
            break
    if not batches or not number:
        raise ValueError("the scope 'error' needs at least one batch, but 'data' is empty.")
    if compensated and number < 2:
        raise ValueError("the scope 'error' with 'compensate' needs at least two samples, one that is fitted and one "
                         "that judges, but 'data' has one.")
    own = max(1, number // HELD_OUT) if number > 1 else 0
    return list(_cut(batches, 0, number - own)), list(_cut(batches, number - own if own else 0, number))


def _cut(batches: Iterable[Batch], first: int, last: int) -> Iterable[Batch]:
    """The samples from ``first`` to before ``last``, in the batches in which they came."""
    begin = 0
    for batch in batches:
        number = _number(batch)
        low, high = max(first - begin, 0), min(last - begin, number)
        if low < high:
            yield tuple(value[low:high] if value.ndim and value.shape[0] == number else value for value in batch)
        begin += number


def _number(batch: Batch) -> int:
    return int(batch[0].shape[0]) if batch[0].ndim else 1


def _repaired(masked: nn.Cell, fitted: Sequence[Batch], seed: int) -> nn.Cell:
    """A copy whose layers make up for what is masked; a label that does not exist takes the last place."""
    twin = copy_network(masked)
    compensate(twin, [(*batch, batch[0]) for batch in fitted], SAMPLES, seed)
    return switched(twin)


class _Judge:
    """Compares outputs with those of the whole network.

    Args:
        net: the network, with nothing masked.
        batches: what it is run on.
    """

    def __init__(self, net: nn.Cell, batches: Sequence[Batch]):
        self.batches = batches
        self.whole = [_outputs(net, batch) for batch in batches]
        self.spread = {place: self._spread([output[place] for output in self.whole]) for place in self.whole[0]}
        self.spread = {place: spread for place, spread in self.spread.items() if spread > 0}
        if not self.spread:
            raise PruningError(f"the output of {type(net).__name__} is the same number everywhere, whatever comes in, "
                               "so no error of it can be measured; take another 'scope'.")

    @staticmethod
    def _spread(values: Sequence[np.ndarray]) -> float:
        flat = np.concatenate([value.ravel() for value in values])
        return float(((flat - flat.mean()) ** 2).sum())

    def __call__(self, net: nn.Cell) -> float:
        """The error of a network, as a mean over the tensors of its output."""
        sums = dict.fromkeys(self.spread, 0.0)
        for batch, whole in zip(self.batches, self.whole):
            found = _outputs(net, batch)
            for place in sums:
                sums[place] += float(((found[place] - whole[place]) ** 2).sum())
        return float(np.mean([sums[place] / spread for place, spread in self.spread.items()]))


def _outputs(net: nn.Cell, batch: Batch) -> dict[str, np.ndarray]:
    """The tensors of the output, by place."""
    try:
        with nothing_left_behind():
            found = {place: value for place, value in parts(net(*batch)).items() if isinstance(value, np.ndarray)}
    except Exception as error:
        raise PruningError(f"the scope 'error': {type(net).__name__} cannot be run on a batch whose inputs have the "
                           f"shapes {shapes_of(batch)}: {first_line(error)}. Give 'data' of what the network takes, "
                           "each batch a tensor or a tuple of its inputs and the label.") from error
    strange = [place for place, value in found.items() if not np.isfinite(value).all()]
    if strange or not found:
        what = f"is not finite at {strange[0]}" if strange else "holds no tensor"
        raise PruningError(f"the scope 'error': the output of {type(net).__name__} {what}; take another 'scope'.")
    return found
