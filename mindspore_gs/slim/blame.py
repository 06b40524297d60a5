"""Which cell is at fault: the first whose output differs, or the one in which a network fails."""

import re
from collections.abc import Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import evaluating, in_mode
from mindspore_gs.errors import first_line
from mindspore_gs.slim.difference import parts, relative_difference

Outputs = dict[tuple[str, type], Any]
Rounded = tuple[nn.Cell, tuple[Any, ...], int]  # a network and its inputs, one of them moved by so many roundings


def first_difference(masked: nn.Cell, small: nn.Cell, inputs: tuple[ms.Tensor, ...], tolerance: float,
                     allowances: Sequence[Rounded] = (), factor: float = 0.0) -> str:
    """Path of the first cell whose output differs.

    Outputs are compared where they have the same shape, or where they have it without the channels of zeros.

    Args:
        masked: the network at full width.
        small: the slim one.
        inputs: what both are called with.
        tolerance: the relative difference that is allowed anyway.
        allowances: the masked network and its inputs, moved by roundings: what each of its cells moves by for each
            of them, times ``factor``, is allowed as well.
        factor: see there.

    Returns:
        The path in quotes, or ``"the network itself"`` where no cell's output differs.
    """
    found = compare_cells(masked, small, inputs, allowances)
    for place, (difference, movement) in found.items():
        if difference is not None and not difference <= max(tolerance, factor * movement):
            return repr(place[0])
    return "the network itself"


def compare_cells(masked: nn.Cell, small: nn.Cell, inputs: tuple[ms.Tensor, ...],
                  allowances: Sequence[Rounded] = ()) -> dict[tuple[str, type], tuple[float | None, float]]:
    """For each cell of the slim network, in the order in which they finish, how far its output is from the masked one.

    Returns:
        By path and class: the difference, or None where the outputs cannot be compared, and how far the masked
        network's own output moves by one rounding.
    """
    with in_mode(ms.PYNATIVE_MODE):
        expected, got = outputs_of(masked, inputs), outputs_of(small, inputs)
        moved = [(outputs_of(net, values), steps) for net, values, steps in allowances]
    found = {}
    for place, value in got.items():
        if place in expected:
            movement = max((relative_difference(other[place], expected[place]) / steps for other, steps in moved
                            if place in other), default=0.0)
            found[place] = (_comparable_difference(value, expected[place]), movement)
    return found


def _comparable_difference(got: Any, expected: Any) -> float | None:
    lefts, rights = parts(got), parts(expected)
    if lefts.keys() != rights.keys():
        return None
    pairs = [_same_shape(lefts[place], rights[place]) for place in lefts]
    if any(pair is None for pair in pairs):
        return None
    return max((relative_difference(*pair) for pair in pairs if pair is not None), default=0.0)


def _same_shape(a: Any, b: Any) -> tuple[Any, Any] | None:
    """Two parts of outputs in the same shape, if need be without channels of zeros, or None."""
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray) or a.shape == b.shape:
        return a, b
    a, b = _without_zeros(a), _without_zeros(b)
    return (a, b) if a.shape == b.shape else None


def _without_zeros(values: np.ndarray) -> np.ndarray:
    """The channels (axis 1) that are not zero everywhere."""
    if values.ndim < 2:
        return values
    return values[:, np.any(values != 0, axis=tuple(k for k in range(values.ndim) if k != 1))]


def outputs_of(net: nn.Cell, inputs: tuple[ms.Tensor, ...]) -> Outputs:
    """Output of each cell's first call by path and class, in the order in which the cells finish."""
    return {place: outputs[0] for place, outputs in calls_of(net, inputs).items()}


def calls_of(net: nn.Cell, inputs: tuple[ms.Tensor, ...]) -> dict[tuple[str, type], list[Any]]:
    """Outputs of each cell's calls by path and class, in the order in which the cells first finish."""
    found: dict[tuple[str, type], list[Any]] = {}
    hooks = []
    for path, cell in net.cells_and_names():
        def keep(cell: nn.Cell, arguments: Any, output: Any, path: str = path) -> None:
            found.setdefault((path, type(cell)), []).append(output)

        if path:
            hooks.append(cell.register_forward_hook(keep))
    try:
        with evaluating(net):
            net(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def failure(net: nn.Cell, inputs: tuple[ms.Tensor, ...], error: BaseException) -> str:
    """Why and where a network does not run: MindSpore's first line, the innermost cell, the line of code."""
    found = [text for text in (_failing_cell(net, inputs), _failing_line(net, inputs)) if text]
    return first_line(error).rstrip(".") + (f" ({', '.join(found)})" if found else "")


def _failing_cell(net: nn.Cell, inputs: tuple[ms.Tensor, ...]) -> str:
    running = [""]

    def enter(path: str) -> Any:
        def wait_and_enter(cell: nn.Cell, arguments: Any) -> None:
            for value in arguments:  # PyNative mode computes behind Python's back and fails later
                if isinstance(value, ms.Tensor):
                    value.asnumpy()
            running.append(path)

        return wait_and_enter

    def leave(cell: nn.Cell, arguments: Any, output: Any) -> None:
        running.pop()

    hooks = []
    for path, cell in net.cells_and_names():
        hooks += [cell.register_forward_pre_hook(enter(path)), cell.register_forward_hook(leave)]
    try:
        with in_mode(ms.PYNATIVE_MODE), evaluating(net):
            parts(net(*inputs))
    except Exception:
        return f"cell {(running[-1] or type(net).__name__)!r}"
    finally:
        for hook in hooks:
            hook.remove()
    return ""


def _failing_line(net: nn.Cell, inputs: tuple[ms.Tensor, ...]) -> str:
    try:
        with in_mode(ms.GRAPH_MODE), evaluating(net):
            net(*inputs)
    except Exception as error:
        places = re.findall(r"In file (\S+:\d+)", str(error))
        return places[-1] if places else ""
    return ""
