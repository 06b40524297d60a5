"""Do two networks compute the same? Compared with numbers, and the first cell that differs is named."""

import re
from collections.abc import Iterable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, evaluating, in_mode
from mindspore_gs.errors import ParityError

TOLERANCE = {"Float32": 1e-5, "Float16": 1e-2, "BFloat16": 5e-2, "Float64": 1e-9}


def random_inputs(specification: tuple[tuple[tuple[int, ...], str], ...], seed: int = 0) -> tuple[ms.Tensor, ...]:
    """Normal random tensors for (shape, type) pairs; zeros for integer types."""
    generator = np.random.default_rng(seed)
    tensors = []
    for shape, kind in specification:
        dtype = getattr(ms, kind.lower())
        values = generator.standard_normal(shape) if "Float" in kind else np.zeros(shape)
        tensors.append(ms.Tensor(values.astype(np.float32)).astype(dtype))
    return tuple(tensors)


def relative_difference(left: Any, right: Any) -> float:
    """Largest absolute difference of two outputs (tensors or tuples of them) over the larger of 1 and max|right|.

    Infinite where shapes differ, or where values that are not finite are not the same.
    """
    lefts, rights = _arrays(left), _arrays(right)
    if [a.shape for a in lefts] != [b.shape for b in rights]:
        return float("inf")
    worst = 0.0
    for a, b in zip(lefts, rights):
        finite = np.isfinite(a) & np.isfinite(b)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return float("inf")
        if finite.any():
            scale = max(1.0, float(np.abs(b[finite]).max()))
            worst = max(worst, float(np.abs(a[finite] - b[finite]).max()) / scale)
    return worst


def _arrays(value: Any) -> list[np.ndarray]:
    if isinstance(value, (tuple, list)):
        return [array for item in value for array in _arrays(item)]
    return [np.asarray(value.float().asnumpy() if isinstance(value, ms.Tensor) else value, np.float64)]


def check_equal(masked: nn.Cell, small: nn.Cell, specification: tuple[tuple[tuple[int, ...], str], ...]) -> float:
    """Compare two networks in evaluation mode on random inputs.

    Returns:
        The relative difference.

    Raises:
        ParityError: it exceeds the tolerance of the input's type, or the slim network does not run.
    """
    inputs = random_inputs(specification)
    masked, small = _in_full_precision(masked), _in_full_precision(small)
    with evaluating(masked), evaluating(small):
        expected = masked(*inputs)
        try:
            got = small(*inputs)
        except Exception as error:
            raise ParityError(f"the slim network does not run: {_reason(error)}{_place(small, inputs)}. A number of "
                              "channels may be written into the network's code; add the cell to 'ignore'.") from error
    tolerance = tolerance_of(masked, (kind for _, kind in specification))
    difference = relative_difference(got, expected)
    if not difference <= tolerance:
        place = first_difference(masked, small, inputs, tolerance)
        raise ParityError(f"the slim network differs from the masked one by {difference:.1e} (relative, allowed "
                          f"{tolerance:.0e}); the first cell that differs is {place}.")
    return difference


def _half_precision(net: nn.Cell) -> list[str]:
    """The half-precision types that mixed precision lets cells compute in."""
    flags = {"fp16": "Float16", "bf16": "BFloat16"}
    return [kind for flag, kind in flags.items()
            if any(getattr(cell, flag, False) for _, cell in net.cells_and_names())]


def _in_full_precision(net: nn.Cell) -> nn.Cell:
    """The network, or a float32 copy where it uses mixed precision."""
    return copy_network(net).to_float(ms.float32) if _half_precision(net) else net


def tolerance_of(net: nn.Cell, kinds: Iterable[str]) -> float:
    """Allowed relative difference for a network that takes and computes in these types."""
    return max(TOLERANCE.get(kind, TOLERANCE["Float32"]) for kind in (*kinds, *_half_precision(net)))


def _reason(error: BaseException) -> str:
    """The first line of MindSpore's message that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("---")]
    return lines[0].rstrip(".") if lines else type(error).__name__


def _place(net: nn.Cell, inputs: tuple[ms.Tensor, ...]) -> str:
    """Where a network that does not run fails: the innermost cell, and the line that Graph mode names."""
    found = [text for text in (_failing_cell(net, inputs), _failing_line(net, inputs)) if text]
    return f" ({', '.join(found)})" if found else ""


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
            _arrays(net(*inputs))
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


def first_difference(masked: nn.Cell, small: nn.Cell, inputs: tuple[ms.Tensor, ...], tolerance: float) -> str:
    """Path of the first cell whose output differs.

    Outputs are compared where they have the same shape, or where they have it without the masked network's channels
    of zeros.
    """
    with in_mode(ms.PYNATIVE_MODE):
        expected, got = _outputs(masked, inputs), _outputs(small, inputs)
    for place, value in got.items():
        if place in expected and _differ(_arrays(value), _arrays(expected[place]), tolerance):
            return repr(place[0])
    return "the network itself"


def _differ(got: list[np.ndarray], expected: list[np.ndarray], tolerance: float) -> bool:
    """Whether outputs that can be compared are not the same."""
    expected = [_without_zeros(b) if a.shape != b.shape else b for a, b in zip(got, expected)]
    same_shapes = [a.shape for a in got] == [b.shape for b in expected]
    return same_shapes and relative_difference(got, expected) > tolerance


def _without_zeros(values: np.ndarray) -> np.ndarray:
    """The channels (axis 1) that are not zero everywhere."""
    if values.ndim < 2:
        return values
    return values[:, np.any(values != 0, axis=tuple(k for k in range(values.ndim) if k != 1))]


def _outputs(net: nn.Cell, inputs: tuple[ms.Tensor, ...]) -> dict[tuple[str, type], Any]:
    """Output of each cell by path and class, in the order in which the cells finish."""
    found: dict[tuple[str, type], Any] = {}
    hooks = []
    for path, cell in net.cells_and_names():
        def keep(cell: nn.Cell, arguments: Any, output: Any, path: str = path) -> None:
            found.setdefault((path, type(cell)), output)

        if path:
            hooks.append(cell.register_forward_hook(keep))
    try:
        with evaluating(net):
            net(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found
