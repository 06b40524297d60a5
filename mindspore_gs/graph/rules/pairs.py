"""Channel rule of a product of two activations: attention, correlation.

``(..., m, k) @ (..., k, n)``. Along the axes in front, such as attention heads, both operands go together: there is one
matrix for each position. Along k the product is a sum, which is exact where one factor of each removed term is zero.
Along m and n the channels of either operand go on.
"""

from dataclasses import replace

import numpy as np

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import NONE, compress, none_ids
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.questions import BLOCKED, TOGETHER
from mindspore_gs.graph.rules.registry import refused


def multiply(node: Node, x: Flow, y: Flow, transposes: tuple[bool, bool], channels: Channels) -> Flow:
    """The product of two activations, each of which has channels along one of its axes at most.

    Args:
        node: the operator.
        x: its first operand.
        y: its second operand.
        transposes: whether the last two axes of each are swapped first.
        channels: what is found out. A question is left, since a factor may be made from the number of channels, and
            since the layers in front often have numbers of heads in their code.
    """
    rank = len(node.shape)
    x = _mixes_positions(node, x, y, transposes[1], channels)
    sides = [_laid_out(flow, rank, swap) for flow, swap in zip((x, y), transposes)]
    if None in sides or any(flow.parameter is not None for flow in (x, y)):
        return _refused(node, x, y, channels)
    (left, left_shape), (right, right_shape) = (side for side in sides if side is not None)
    found = np.concatenate([left.reshape(-1), right.reshape(-1)])
    if (found != NONE).any() and channels.ask(node, (TOGETHER,), found) == BLOCKED:
        return _refused(node, x, y, channels)
    zeros = [_zeros(flow, ids) for flow, ids in zip((x, y), (left, right))]
    sums = left.shape[-1] > 1 or right.shape[-2] > 1
    if sums and not _summed(node, x, y, left, right, left_shape[-1], channels):
        return _refused(node, x, y, channels)
    left = none_ids(rank) if left.shape[-1] > 1 else left
    right = none_ids(rank) if right.shape[-2] > 1 else right
    ids = _met(node, (left, left_shape), (right, right_shape), channels)
    if ids is None:
        return _refused(node, x, y, channels)
    where = _outer(zeros[0], left) | _outer(zeros[1], right)
    return Flow(node.shape, ids, varying=x.varying or y.varying).with_zeros(where)


def _mixes_positions(node: Node, x: Flow, y: Flow, swap: bool, channels: Channels) -> Flow:
    """A parameter on the left, such as a learned adjacency of a graph's nodes, is a literal to channels elsewhere."""
    along = y.ids.shape[-1 if swap else -2] if len(y.shape) > 1 else 0
    if x.parameter is None or not y.varying or along != 1 or sum(n > 1 for n in x.shape) < 2:
        return x
    channels.keep_whole(x.parameter, Blocked.OTHER_AXIS, node)
    return replace(x, ids=none_ids(len(x.shape)), parameter=None)


def _refused(node: Node, x: Flow, y: Flow, channels: Channels) -> Flow:
    """An operand that does not depend on the input is a weight: one that is computed, or that stands on the left."""
    reason = Blocked.TWO_ACTIVATIONS if x.varying and y.varying else Blocked.COMPUTED_WEIGHT
    result: Flow = refused(node, [x, y], reason, channels)
    return result


def _laid_out(flow: Flow, rank: int, swap: bool) -> tuple[np.ndarray, tuple[int, ...]] | None:
    """Ids and shape with the axes of the product; None where channels lie along several axes.

    A tensor that is one channel as a whole (weights of places) counts as none: that channel cannot be removed, or
    nothing would be left.
    """
    if len(flow.shape) < 2 or rank < 2 or sum(n > 1 for n in flow.ids.shape) > 1:
        return None
    front = (1,) * (rank - len(flow.shape))
    ids = none_ids(len(flow.shape)) if flow.ids.size == 1 else flow.ids
    ids, shape = ids.reshape(front + ids.shape), front + flow.shape
    if swap:
        ids, shape = ids.swapaxes(-1, -2), (*shape[:-2], shape[-1], shape[-2])
    return ids, shape


def _zeros(flow: Flow, ids: np.ndarray) -> np.ndarray:
    """Where an operand is zero once its channels are masked."""
    if not (flow.zero and flow.varying):
        return np.zeros(ids.shape, bool)
    return (ids != NONE) & ~np.isin(ids, flow.alive)


def _outer(zeros: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Where the product is zero, because an operand is; nothing where its channels have been summed."""
    return zeros if zeros.shape == ids.shape else np.zeros(ids.shape, bool)


def _summed(node: Node, x: Flow, y: Flow, left: np.ndarray, right: np.ndarray, size: int, channels: Channels) -> bool:
    """Tie the channels over which the product sums; False where only one operand has channels there."""
    if left.shape[-1] != right.shape[-2]:
        return False
    first, second = left.reshape(-1), right.reshape(-1)
    if len(first) != size or len(second) != size:
        return False
    channels.unite(first, second, node)
    zero = _zeros(x, left).reshape(-1) | _zeros(y, right).reshape(-1)
    channels.block(first[~zero], Blocked.NOT_ZERO, node)
    return True


def _met(node: Node, left: tuple[np.ndarray, tuple[int, ...]], right: tuple[np.ndarray, tuple[int, ...]],
         channels: Channels) -> np.ndarray | None:
    """Ids of the product; None where each operand has channels along an axis of its own."""
    (a, a_shape), (b, b_shape) = left, right
    long = [{k for k, n in enumerate(ids.shape) if n > 1} for ids in (a, b)]
    if all(long) and long[0] != long[1]:
        return None
    batch = a.ndim - 2
    for (ids, axes), other, shape in (((a, long[0]), b, b_shape), ((b, long[1]), a, a_shape)):
        fixed = any(k < batch and shape[k] > 1 and other.shape[k] == 1 for k in axes)
        if fixed:
            channels.block(ids[ids != NONE], Blocked.CONSTANT, node)
    if all(long) and max(long[0]) >= batch:
        return None
    if all(long):
        channels.unite(a, b, node)
    return compress(a if long[0] else b)
