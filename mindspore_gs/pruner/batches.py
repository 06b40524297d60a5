"""A user's data as batches of a network's inputs."""

from collections.abc import Iterable, Iterator
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs.errors import PruningError

_WANTED = ("It takes data: a mindspore.dataset, or a list of batches, where a batch is a tensor or a tuple of the "
           "network's inputs and the label.")


def check_data(caller: str, net: Any, dataset: Any) -> None:
    """Refuse what is no network or no data.

    Args:
        caller: name of the function that the user has called.
        net: should be a network.
        dataset: should be an iterable of batches.

    Raises:
        TypeError: one of them is something else.
    """
    if not isinstance(net, nn.Cell):
        raise TypeError(f"{_said(caller)} takes a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    check_batches(caller, dataset)


def check_batches(caller: str, dataset: Any) -> None:
    """Refuse what is no data, before anything is read.

    Args:
        caller: name of the function or class that the user has called.
        dataset: should be an iterable of batches.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(dataset, (tuple, list)) and dataset and all(isinstance(n, (int, type(None))) for n in dataset):
        raise TypeError(f"{_said(caller)} got the shape {tuple(dataset)}. {_WANTED}")
    if isinstance(dataset, tuple) and len({x.ndim if isinstance(x, (ms.Tensor, np.ndarray)) else None
                                           for x in dataset} - {None}) > 1:
        shapes = ", ".join(str(tuple(x.shape)) for x in dataset if isinstance(x, (ms.Tensor, np.ndarray)))
        raise TypeError(f"{_said(caller)} got a tuple of tensors of the shapes {shapes}, which is one batch; a single "
                        f"batch goes into a list: [(x, label)]. {_WANTED}")
    if isinstance(dataset, (ms.Tensor, np.ndarray)):
        raise TypeError(f"{_said(caller)} got one tensor of shape {tuple(dataset.shape)}; a single batch goes into a "
                        f"list: [x]. {_WANTED}")
    if isinstance(dataset, (str, bytes, dict, nn.Cell)) or not isinstance(dataset, Iterable):
        raise TypeError(f"{_said(caller)} got a {type(dataset).__name__!r}. {_WANTED}")


def batches_of(caller: str, dataset: Any) -> Iterator[tuple[ms.Tensor, ...]]:
    """The network's inputs of each batch, without the label.

    Args:
        caller: name of the function that the user has called.
        dataset: a ``mindspore.dataset`` or an iterable of batches; a batch is a tensor, or a tuple whose last entry is
            the label.

    Raises:
        TypeError: a batch holds other things than tensors.
        PruningError: a batch has no samples, or there is NaN among the inputs, or infinite numbers that are no mask.
    """
    for values in _rows(caller, dataset):
        yield values[:-1] if len(values) > 1 else values


def rows_of(caller: str, dataset: Any) -> Iterator[tuple[ms.Tensor, ...]]:
    """Each batch whole: the network's inputs and the label.

    Args:
        caller: name of the function that the user has called.
        dataset: as for :func:`batches_of`.

    Raises:
        TypeError: a batch holds other things than tensors, or has no label.
        PruningError: a batch has no samples, or there is NaN among the inputs, or infinite numbers that are no mask.
    """
    for values in _rows(caller, dataset):
        if len(values) < 2:
            raise TypeError(f"{_said(caller)} needs batches of the network's inputs and the label, but got one tensor "
                            f"of shape {tuple(values[0].shape)}; give tuples such as (images, labels).")
        yield values


def shapes_of(batch: Any) -> str:
    """The shapes of a batch for messages; with the types where one is no usual one.

    >>> shapes_of((np.zeros((2, 3), np.float32), np.zeros(2, np.int32)))
    '(2, 3), (2,)'
    >>> shapes_of((np.zeros((2, 3)),))
    '(2, 3) and the types float64'
    """
    shapes = ", ".join(str(tuple(x.shape)) for x in batch)
    types = [str(x.dtype).lower() for x in batch]
    return shapes if set(types) <= {"float32", "int32", "int64"} else f"{shapes} and the types {', '.join(types)}"


def number_of_batches(dataset: Any) -> int | None:
    """How many batches there are, where the data know it before they are read.

    >>> number_of_batches([1, 2, 3]), number_of_batches(iter([1, 2, 3]))
    (3, None)
    """
    if hasattr(dataset, "get_dataset_size"):
        return None if _must_be_counted(dataset) else int(dataset.get_dataset_size())
    return len(dataset) if hasattr(dataset, "__len__") else None


def _must_be_counted(dataset: Any) -> bool:
    """Whether a dataset comes from a generator without a length; MindSpore would read it through to find out."""
    return getattr(dataset, "source_len", 0) == -1 or any(map(_must_be_counted, getattr(dataset, "children", ())))


def _rows(caller: str, dataset: Any) -> Iterator[tuple[ms.Tensor, ...]]:
    rows = dataset
    if hasattr(dataset, "create_tuple_iterator"):
        rows = dataset.create_tuple_iterator(num_epochs=1, do_copy=True)  # batches are kept, and read later
    for number, row in enumerate(rows, 1):
        values = tuple(row) if isinstance(row, (tuple, list)) else (row,)
        strange = [value for value in values if not isinstance(value, (ms.Tensor, np.ndarray))]
        if strange or not values:
            got = f"a {type(strange[0]).__name__!r}" if strange else "nothing"
            raise TypeError(f"{_said(caller)} found {got} in a batch. {_WANTED}")
        if any(value.dtype.kind not in "biuf" for value in values if isinstance(value, np.ndarray)):
            raise TypeError(f"{_said(caller)} found an array that holds no numbers in a batch. {_WANTED}")
        if values[0].shape[:1] == (0,):
            raise PruningError(f"{_said(caller)} found no samples in batch {number}, which has the shapes "
                               f"{shapes_of(values)}; leave it out.")
        _refuse_nan(caller, number, values[:-1] if len(values) > 1 else values)
        yield tuple(value if isinstance(value, ms.Tensor) else ms.Tensor(value) for value in values)


def _refuse_nan(caller: str, number: int, inputs: tuple[Any, ...]) -> None:
    """Behind a ReLU NaN is 0 on some devices, so that nothing else would show it, nor infinity, which becomes NaN.

    A mask of zeros and -infinity that is added in front of a softmax is none of that.
    """
    for value in inputs:
        array = value if isinstance(value, np.ndarray) else _as_array(value)
        if array is None or np.isfinite(array).all() or (array[array != -np.inf] == 0).all():
            continue
        what = "NaN" if np.isnan(array).any() else "infinite numbers"
        raise PruningError(f"{_said(caller)} found {what} among the network's inputs in batch {number}; leave these "
                           "samples out.")


def _as_array(value: ms.Tensor) -> np.ndarray | None:
    found: np.ndarray | None = value.float().asnumpy() if value.is_floating_point() else None
    return found


def _said(caller: str) -> str:
    """A caller for messages: a function with brackets; an option such as ``--eval`` as it is."""
    return caller if "=" in caller or caller.startswith("-") else f"{caller}()"
