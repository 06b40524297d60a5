"""Arrays of channel ids and the index arithmetic on them. Pure NumPy; knows no operator.

An id array describes a tensor: it has the tensor's number of axes, and an axis has size 1 where the id does
not change along it. ``NONE`` marks positions that belong to no channel.
"""

import numpy as np

NONE = -1


def none_ids(rank: int) -> np.ndarray:
    """Ids of a tensor of ``rank`` axes without any channel."""
    return np.full((1,) * rank, NONE, dtype=np.int64)


def compress(ids: np.ndarray) -> np.ndarray:
    """Shrink every axis along which nothing changes to size 1.

    >>> compress(np.broadcast_to(np.array([[3], [4]]), (2, 5))).shape
    (2, 1)
    """
    for axis, size in enumerate(ids.shape):
        if size > 1:
            first = ids.take([0], axis=axis)
            if ids.strides[axis] == 0 or (ids == first).all():
                ids = first
    return ids


def expand(ids: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """View of ``ids`` at the tensor's full shape."""
    return np.broadcast_to(ids, shape)


def along(ids: np.ndarray, axis: int, size: int) -> np.ndarray | None:
    """The ids along ``axis`` as a vector of ``size``, or None where they change along another axis too."""
    others = [n for k, n in enumerate(ids.shape) if k != axis % ids.ndim]
    if any(n > 1 for n in others):
        return None
    return np.broadcast_to(ids.reshape(-1), (size,))


def rows_apart(ids: np.ndarray, axis: int) -> np.ndarray | None:
    """The ids at each position along ``axis`` as a row, or None where a row has no id, or one that another has too.

    >>> rows_apart(np.array([[1, 2], [1, 2], [5, 6]]), 1).tolist()
    [[1, 1, 5], [2, 2, 6]]
    """
    rows = np.moveaxis(ids, axis, 0).reshape(ids.shape[axis], -1)
    apart = sum(len(np.unique(row)) for row in rows) == len(np.unique(rows))
    return rows if apart and len(rows) > 1 and (rows != NONE).all() else None


def connected(size: int, edges: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Label of the connected component of each of ``size`` ids: the smallest id in it.

    >>> connected(4, [(np.array([0, 1]), np.array([2, 2]))])
    array([0, 0, 0, 3])
    """
    labels = np.arange(size)
    if not edges:
        return labels
    left = np.concatenate([a for a, _ in edges])
    right = np.concatenate([b for _, b in edges])
    while True:
        low = np.minimum(labels[left], labels[right])
        before = labels.copy()
        np.minimum.at(labels, labels[left], low)
        np.minimum.at(labels, labels[right], low)
        while True:
            shortened = labels[labels]
            if (shortened == labels).all():
                break
            labels = shortened
        if (labels == before).all():
            return labels
