"""Find out, with a few forward passes, how the samples of a batch lie in what a network computes.

A network may return its outputs with the samples on another axis than the first, may merge them with pixels, frames
or views, or compare them with each other. What is known is what was seen: one sample of three is changed, and the
entries that change are its own.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, product
from typing import Any, NamedTuple

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import remember_values, tensors_in
from mindspore_gs._random import same_random_numbers
from mindspore_gs.errors import PruningError, first_line
from mindspore_gs.pruner.scop.statistics import statistics_frozen

_SAMPLES, _MORE, _CHANGED = 3, 4, 1  # sizes of the two batches, and the sample that is changed in the first one
_REMEDY = ("apply the algorithm to the part of the network that treats samples one by one, such as "
           "kf.apply(net.backbone), and leave the loss outside")
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class Cut(NamedTuple):
    """Samples along one axis, which is (outer, samples, inner) merged into one.

    ``outer`` is 0 where it is whatever is left: then inner is 1.
    """

    axis: int
    outer: int


@dataclass(frozen=True)
class BatchLayout:
    """How samples lie in a network.

    Attributes:
        outer: for each layer by path, how often the batch is repeated along the first axis of its input.
        outputs: for each tensor of the output, its :class:`Cut` objects; nested as the output is.
        shapes: shape of each input for which ``outer`` is known, without the axis of the samples (and an empty tuple
            for what is no tensor); None where the batch is never repeated, so that any shape will do.
        named: whether there is a named tuple in the output.
    """

    outer: Mapping[str, int]
    outputs: Any
    shapes: tuple[tuple[int, ...], ...] | None = None
    named: bool = False


class _Seen(NamedTuple):
    """What one forward pass showed: the inputs of each layer, call by call, and the output."""

    layers: dict[str, list[Any]]
    output: Any
    named: bool


def find_layout(net: nn.Cell, inputs: Sequence[Any], layers: Mapping[str, nn.Cell], axis: int = 0) -> BatchLayout:
    """How samples lie in the inputs of ``layers`` and in the outputs, in training mode with moving statistics.

    Values, modes and random numbers of the network are as before afterwards.

    Args:
        net: the network, before the knockoff phase.
        inputs: what it was traced with; tensors, and tuples, lists and dicts of them.
        layers: the convolutions that are to compete, by path.
        axis: the axis of the inputs along which the samples lie.

    Raises:
        PruningError: the network does not run in training mode, a layer is not computed, or samples are mixed with
            each other or lie in a way that cannot be undone. The message says where, and what to do.
    """
    with _observing(net, layers) as forward:
        base = forward(_batch(inputs, axis, _SAMPLES))
        again = forward(_batch(inputs, axis, _SAMPLES))
        changed = forward(_batch(inputs, axis, _SAMPLES, _CHANGED))
        larger = forward(_batch(inputs, axis, _MORE))
    for path in layers:
        if not base.layers[path]:
            raise PruningError(f"{path!r} is not computed in training mode, so its scales would never move; "
                               f"put {path!r} into 'ignore'.")
    outer = {path: _outer(path, [run.layers[path] for run in (base, again, changed, larger)]) for path in layers}
    cuts = _cuts(base.output, again.output, changed.output, larger.output, "the output")
    repeated = any(times > 1 for times in outer.values())
    shapes = tuple(_shape_without(value, axis) for value in inputs) if repeated else None
    return BatchLayout(outer, cuts, shapes, base.named)


def _shape_without(value: Any, axis: int) -> tuple[int, ...]:
    return value.shape[:axis] + value.shape[axis + 1:] if isinstance(value, ms.Tensor) else ()


@contextmanager
def _observing(net: nn.Cell, layers: Mapping[str, nn.Cell]) -> Iterator[Callable[[list[Any]], _Seen]]:
    """A function that runs ``net`` in training mode, operator by operator, with the same values and random numbers."""
    seen: dict[str, list[Any]] = {}
    values_back = remember_values(net, every=True)
    hooks = [cell.register_forward_pre_hook(_recorder(seen, path)) for path, cell in layers.items()]

    def forward(inputs: list[Any]) -> _Seen:
        seen.update({path: [] for path in layers})
        values_back()  # a network may keep something from one run to the next
        ms.set_seed(1)
        try:
            output = net(*inputs)
        except Exception as error:
            raise PruningError(f"{type(net).__name__} does not run in training mode on batches of {_SAMPLES} and "
                               f"{_MORE} samples ({first_line(error)}); knockoffs make the batch larger, so it must "
                               "take any. Give 'input_shape' or 'batch_axis' where the inputs were the reason, and "
                               f"otherwise {_REMEDY}.") from error
        return _Seen(dict(seen), _arrays(output), _holds_named_tuple(output))

    try:
        with same_random_numbers(), _operator_by_operator(), statistics_frozen(net), _training(net):
            yield forward
    finally:
        values_back()
        for hook in hooks:
            hook.remove()


def _recorder(seen: dict[str, list[Any]], path: str) -> Callable:
    def record(cell: nn.Cell, inputs: tuple[Any, ...]) -> None:
        seen[path].append(_arrays(inputs[0]))
    return record


@contextmanager
def _training(net: nn.Cell) -> Iterator[None]:
    """Training mode without dropout, which says nothing about where samples lie; all flags back afterwards."""
    flags = [(cell, cell.training, cell._phase) for _, cell in net.cells_and_names()]
    net.set_train(True)
    for cell, _, _ in flags:
        if isinstance(cell, _DROPOUTS):
            cell.set_train(False)
    try:
        yield
    finally:
        for cell, training, phase in flags:
            cell.add_flags(training=training)
            cell._phase = phase


@contextmanager
def _operator_by_operator() -> Iterator[None]:
    """PyNative mode, and nothing compiled, so that hooks see every layer."""
    mode, switch = ms.get_context("mode"), os.environ.get("MS_JIT")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    os.environ["MS_JIT"] = "0"
    try:
        yield
    finally:
        del os.environ["MS_JIT"]
        if switch is not None:
            os.environ["MS_JIT"] = switch
        ms.set_context(mode=mode)


def _batch(inputs: Sequence[Any], axis: int, samples: int, changed: int | None = None) -> list[Any]:
    """The inputs for a batch of so many samples, of which one is another than it would be."""
    size = next((value.shape[axis] for value in tensors_in(list(inputs)) if value.ndim > axis), None)
    if size is None:
        raise PruningError(f"no input is a tensor with an axis {axis}, so there is no batch to append knockoffs to; "
                           "give 'input_shape', or 'batch_axis' where the samples lie along another axis.")
    seeds = count()

    def enlarged(value: ms.Tensor) -> ms.Tensor:
        random = np.random.default_rng(next(seeds))  # the same numbers for both batches: a sample is a sample
        if value.ndim <= axis or value.shape[axis] != size:
            return value
        array = value.astype(ms.float32).asnumpy() if _is_float(value) else value.asnumpy()
        array = np.take(array, np.arange(_MORE) % size, axis)
        if _is_float(value):
            spread = array.std() or 1.0
            array = array + spread * random.standard_normal(array.shape).astype(array.dtype)
        if changed is not None:
            place = (slice(None),) * axis + (changed,)
            array[place] = _another(array[place], random)
        return ms.Tensor(np.take(array, np.arange(samples), axis), value.dtype)

    return [_mapped(enlarged, value) for value in inputs]


def _another(sample: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Another sample of the same kind; whole numbers stay small, for they may be indices."""
    if sample.dtype == bool:
        return ~sample
    if np.issubdtype(sample.dtype, np.integer):
        return np.where(sample > 0, sample - 1, sample + 1)
    return sample + (sample.std() or 1.0) * random.standard_normal(sample.shape).astype(sample.dtype)


def _outer(path: str, runs: list[list[Any]]) -> int:
    """How often the batch is repeated along the first axis of a layer's input; the same in all its calls."""
    if len({len(run) for run in runs}) != 1:
        raise PruningError(f"{path!r} is computed a different number of times for different batches; "
                           f"put it into 'ignore', or {_REMEDY}.")
    where = f"the input of {path!r}"
    found = {_axes(base, again, changed, larger, where) for base, again, changed, larger in zip(*runs)}
    if {tuple(cut.axis for cut in cuts) for cuts in found} != {(0,)}:
        raise PruningError(f"the samples do not lie along the first axis of the input of {path!r}, so its real samples "
                           f"and knockoffs cannot be told apart; put {path!r} into 'ignore'.")
    if len(found) != 1:
        raise PruningError(f"the samples lie differently in different calls of {path!r}; put it into 'ignore'.")
    (cut,), = found
    if cut.outer == 0:
        return runs[0][0].shape[0] // _SAMPLES
    return cut.outer


def _cuts(base: Any, again: Any, changed: Any, larger: Any, where: str) -> Any:
    """The cuts of each tensor of an output, nested as it is."""
    if isinstance(base, np.ndarray):
        return _axes(base, again, changed, larger, where)
    if isinstance(base, dict):
        return {key: _cuts(base[key], again[key], changed[key], larger[key], f"{where}[{key!r}]") for key in base}
    if isinstance(base, (tuple, list)):
        if len({len(base), len(changed), len(larger)}) != 1:
            raise PruningError(f"{where} has another number of tensors for another batch; {_REMEDY}.")
        return tuple(_cuts(base[k], again[k], changed[k], larger[k], f"{where}[{k}]") for k in range(len(base)))
    return ()


def _axes(base: np.ndarray, again: np.ndarray, changed: np.ndarray, larger: np.ndarray, where: str) -> tuple[Cut, ...]:
    """The axes of one array that hold samples, and how.

    Raises:
        PruningError: there are none though it depends on them, or samples are mixed in it.
    """
    if base.ndim != larger.ndim or base.shape != changed.shape:
        raise PruningError(f"{where} has a shape that depends on the values of the inputs; {_REMEDY}.")
    growing = [axis for axis in range(base.ndim) if base.shape[axis] != larger.shape[axis]]
    random, moved = _differs(base, again).any(), _differs(base, changed)
    if not growing:
        if moved.any() and not random:
            raise PruningError(f"{where} depends on the samples, but none of its axes {base.shape} is the batch: "
                               f"knockoffs would be part of it; {_REMEDY}.")
        return ()
    shares = [_divisors(base.shape[axis], larger.shape[axis], where) for axis in growing]
    fitting = [inner for inner in product(*shares) if random or not _outside(moved, growing, inner).any()]
    if not fitting:
        raise PruningError(f"samples are mixed with each other in {where}: a change of one changes what belongs to "
                           f"others; {_REMEDY}.")
    if len(fitting) > 1:
        raise PruningError(f"how the samples lie in {where} of shape {base.shape} for {_SAMPLES} samples cannot be "
                           f"seen, because it {'is random' if random else 'does not depend on them'}; {_REMEDY}.")
    return tuple(Cut(axis, _outer_of(base.shape[axis], inner)) for axis, inner in zip(growing, fitting[0]))


def _outer_of(length: int, inner: int) -> int:
    """1 where the samples come one after the other; 0 where inner is 1; else how often the batch is repeated."""
    outer = length // (_SAMPLES * inner)
    return outer if outer == 1 or inner > 1 else 0


def _divisors(length: int, longer: int, where: str) -> list[int]:
    """The ways to read an axis as (outer, samples, inner): the possible values of inner."""
    each = length // _SAMPLES
    if length != each * _SAMPLES or longer != each * _MORE:
        raise PruningError(f"an axis of {where} has {length} entries for {_SAMPLES} samples and {longer} for {_MORE}, "
                           f"which is not so many for each; {_REMEDY}.")
    return [inner for inner in range(1, each + 1) if each % inner == 0]


def _outside(moved: np.ndarray, axes: list[int], inner: tuple[int, ...]) -> np.ndarray:
    """The entries that changed though they belong to other samples, if the axes are read in this way."""
    own = np.zeros(moved.shape, bool)
    for axis, each in zip(axes, inner):
        index = np.arange(moved.shape[axis]) // each % _SAMPLES == _CHANGED
        own |= index.reshape([-1 if k == axis else 1 for k in range(moved.ndim)])
    return moved & ~own


def _differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two arrays differ by more than rounding."""
    if not np.issubdtype(a.dtype, np.floating):
        return np.asarray(a != b)
    scale = np.abs(np.nan_to_num(a, posinf=0, neginf=0)).max(initial=1e-30)
    return ~np.isclose(a, b, rtol=0, atol=1e-4 * scale, equal_nan=True)


def _is_float(value: ms.Tensor) -> bool:
    return value.dtype in (ms.float16, ms.float32, ms.float64, ms.bfloat16)


def _mapped(function: Callable[[ms.Tensor], Any], value: Any) -> Any:
    """The same nested value with the function applied to its tensors."""
    if isinstance(value, ms.Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: _mapped(function, item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        parts = [_mapped(function, item) for item in value]
        return parts if isinstance(value, list) else tuple(parts)
    return value


def _holds_named_tuple(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return hasattr(value, "_fields") or any(_holds_named_tuple(item) for item in inside)


def _arrays(value: Any) -> Any:
    return _mapped(lambda t: (t.astype(ms.float32) if t.dtype == ms.bfloat16 else t).asnumpy().copy(), value)
