"""Where a training overflows: what is not finite is an error, with the layer or the parameter that it comes from."""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, in_mode, tensors_in
from mindspore_gs._random import same_random_numbers
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import PruningError


def check_loss(state: Any) -> None:
    """Refuse to go on with a loss that is not finite, or with a parameter that is trained or measured and is not.

    A ReLU may turn NaN into 0, so that the loss looks well while the statistics of a BatchNorm do not. All that is read
    makes a device wait, so callbacks ask for it where they read the loss anyway and at the end of each epoch.

    Args:
        state: a callback's ``run_context.original_args()``.

    Raises:
        PruningError: a number is NaN or infinite. It names the parameter, or the first layer whose output is not
            finite for the last batch, its type, and the largest number that it was given.
    """
    outputs = state.get("net_outputs")
    value = outputs[0] if isinstance(outputs, (tuple, list)) else outputs
    net, batch = state.network, state.get("train_dataset_element")
    why = _wrong_parameter(net)
    if isinstance(value, ms.Tensor) and not np.isfinite(value.float().asnumpy()).all():
        why = why or _why(net, batch, state.get("loss_fn") is not None)
    if why:
        raise PruningError(f"the training is not finite in step {state.cur_step_num}: {why}. Lower the learning rate, "
                           "look at the data, or keep that layer in float32 (mindspore.amp.custom_mixed_precision); "
                           "with float16 use a loss scale manager, too.")


def _wrong_parameter(net: nn.Cell) -> str:
    for parameter in net.get_parameters():
        moves = parameter.requires_grad or "moving_" in parameter.name or "running_" in parameter.name  # those of mint
        if moves and parameter.is_floating_point() and not np.isfinite(parameter.float().asnumpy()).all():
            return f"the parameter {parameter.name!r} has numbers that are not finite"
    return ""


def _why(net: nn.Cell, batch: Any, with_label: bool) -> str:
    inputs = tuple(x for x in batch or () if isinstance(x, ms.Tensor))
    found = first_not_finite(net, *(inputs[:-1] if with_label else inputs)) if inputs else None
    return found or "the layers are finite, so it comes from the loss itself or from random numbers"


def first_not_finite(net: nn.Cell, *inputs: ms.Tensor) -> str | None:
    """The first layer that makes numbers which are not finite, as a sentence; None where there is none.

    Args:
        net: the network, as it is trained: in training mode or not, with mixed precision or without. A copy is run
            once, in PyNative mode; the network stays as it is.
        inputs: what it is called with.

    Examples:
        >>> import mindspore as ms
        >>> from mindspore import nn
        >>> from mindspore_gs.pruner.overflow import first_not_finite
        >>> net = nn.SequentialCell(nn.ReLU(), nn.Dense(2, 2, weight_init="ones")).to_float(ms.float16)
        >>> first_not_finite(net, ms.ops.ones((1, 2)) * 60000)
        "the output of '1' (Dense) is the first that is not finite: float16, from inputs of at most 6e+04"
    """
    for value in inputs:
        if value.is_floating_point() and not np.isfinite(value.float().asnumpy()).all():
            return "the inputs themselves are not finite"
    found: list[str] = []
    with in_mode(ms.PYNATIVE_MODE), same_random_numbers(), nothing_left_behind():
        twin = copy_network(net)
        for path, cell in twin.cells_and_names():
            if not list(cell.cells()):
                cell.register_forward_hook(_look(path, found))
        output = twin(*inputs)
    if found or all(map(_finite, tensors_in(output))):
        return found[0] if found else None
    return "a layer that is no cell of its own makes the output not finite"


def _look(path: str, found: list[str]) -> Any:
    def hook(cell: nn.Cell, arguments: Any, output: Any) -> None:
        wrong = [value for value in tensors_in(output) if not _finite(value)]
        if wrong and not found:
            highest = max((float(np.abs(value.float().asnumpy()).max()) for value in tensors_in(arguments)
                           if value.is_floating_point() and value.size), default=0.0)
            found.append(f"the output of {path!r} ({type(cell).__name__}) is the first that is not finite: "
                         f"{str(wrong[0].dtype).lower()}, from inputs of at most {highest:.0e}")

    return hook


def _finite(value: ms.Tensor) -> bool:
    return not value.is_floating_point() or bool(np.isfinite(value.float().asnumpy()).all())
