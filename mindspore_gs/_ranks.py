"""Data-parallel processes: numbers that all of them shall agree on. MindSpore's own engine carries them."""

from collections.abc import Callable, Iterable, Sequence

import mindspore as ms
import numpy as np
from mindspore import ops
from mindspore.communication import get_group_size, get_rank


def number_of_ranks() -> int:
    """How many processes share the data; 1 unless the script has asked for data parallel training.

    It has where ``mindspore.communication.init()`` was called and the parallel mode is ``DATA_PARALLEL``.
    """
    if ms.get_auto_parallel_context("parallel_mode") != ms.ParallelMode.DATA_PARALLEL:
        return 1
    return int(get_group_size())


def mean_over_ranks(values: Sequence[np.ndarray], weight: float) -> list[np.ndarray]:
    r"""The mean of each array over all processes, :math:`\sum_r w_r v_r / \sum_r w_r`. Every process must call it.

    Args:
        values: arrays, of the same shapes in every process.
        weight: how much this process counts, such as its number of batches.

    Returns:
        The means, the same in every process. With one process these are the values themselves.

    Examples:
        >>> import numpy as np
        >>> from mindspore_gs._ranks import mean_over_ranks
        >>> mean_over_ranks([np.array([1.0, 2.0])], 3)[0].tolist()
        [1.0, 2.0]
    """
    if number_of_ranks() == 1:
        return list(values)
    flat = np.concatenate([*(np.ravel(value) for value in values), [1.0]]).astype(np.float32) * np.float32(weight)
    total = ops.AllReduce(ops.ReduceOp.SUM)(ms.Tensor(flat)).asnumpy().astype(np.float64)
    ends = np.cumsum([np.size(value) for value in values])
    parts = np.split(total[:-1] / total[-1], ends[:-1])
    return [part.reshape(np.shape(value)) for part, value in zip(parts, values)]


def of_first_rank(measure: Callable[[], float]) -> float:
    """What ``measure`` gives in the first process; the others wait for it. Every process must call this.

    Examples:
        >>> from mindspore_gs._ranks import of_first_rank
        >>> of_first_rank(lambda: 0.5)
        0.5
    """
    if number_of_ranks() == 1:
        return measure()
    own = measure() if get_rank() == 0 else 0.0
    return float(ops.AllReduce(ops.ReduceOp.SUM)(ms.Tensor([own], ms.float32)).asnumpy()[0])


def take_from_first_rank(parameters: Iterable[ms.Parameter]) -> None:
    """Give every process the numbers that the first one has, in place. Every process must call this.

    Examples:
        >>> import mindspore as ms
        >>> from mindspore_gs._ranks import take_from_first_rank
        >>> take_from_first_rank([ms.Parameter(ms.Tensor([0.5]))])
    """
    if number_of_ranks() == 1:
        return
    for parameter in parameters:
        own = parameter.float().asnumpy()
        sent = own if get_rank() == 0 else np.zeros_like(own)
        values = ops.AllReduce(ops.ReduceOp.SUM)(ms.Tensor(sent))
        parameter.set_data(ms.Tensor(values.asnumpy()).astype(parameter.dtype))
