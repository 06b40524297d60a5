"""Do two networks compute the same? Compared with numbers, as far as numbers can tell."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, evaluating, in_mode, same_values
from mindspore_gs._precision import half_precision
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import ParityError, PruningError, first_line
from mindspore_gs.graph import ChannelGraph
from mindspore_gs.graph.boxes import takes_boxes
from mindspore_gs.progress import tracked
from mindspore_gs.slim.blame import Rounded, compare_cells, failure, first_difference
from mindspore_gs.slim.difference import INFINITE, differences, parts, relative_difference

__all__ = ["as_tensors", "check_equal", "compare", "first_difference", "inputs_for", "random_inputs",
           "relative_difference", "tolerance_of"]

_log = logging.getLogger("mindspore_gs")

TOLERANCE = {"Float32": 1e-5, "Float16": 1e-2, "BFloat16": 5e-2, "Float64": 1e-9}
FACTOR = 8  # a slim network rounds in every layer; moving inputs and weights by one rounding models that
LIMIT = 1e-3  # of what rounding may excuse; beyond it, outputs cannot tell whether two networks are equal

Specification = Sequence[tuple[tuple[int, ...], str]]


def random_inputs(specification: Specification, seed: int = 0) -> tuple[ms.Tensor, ...]:
    """Random tensors for (shape, type) pairs: normal for an even ``seed``, uniform in [0, 1) for an odd one.

    Integer types get zeros, the only value that every index, length and label may have.
    """
    generator = np.random.default_rng(seed)
    tensors = []
    for shape, kind in specification:
        dtype = getattr(ms, kind.lower())
        draw = generator.random if seed % 2 else generator.standard_normal
        values = draw(shape) if "Float" in kind else np.zeros(shape)
        tensors.append(ms.Tensor(values.astype(np.float32)).astype(dtype))
    return tuple(tensors)


def inputs_for(net: nn.Cell, graph: ChannelGraph) -> Specification | tuple[ms.Tensor, ...]:
    """What two networks are compared on: (shape, type) pairs for random numbers, or the tensors that the user gave.

    Random numbers show more than zeros do, but a network may take none: boxes with the index of their image.

    Args:
        net: the network.
        graph: its channel graph.

    Raises:
        PruningError: it takes boxes, and the user gave shapes only.
    """
    if takes_boxes(graph.graph):
        if graph.given is None:
            raise PruningError(f"{type(net).__name__} reads boxes (ROIAlign), each of which begins with the index of "
                               "its image, and only shapes were given. Random boxes would crash MindSpore; give "
                               "tensors of yours as 'input_shape', in prune() as 'inputs'.")
        return graph.given
    if graph.given is None:
        return _in_its_type(net, graph.inputs)
    try:
        with in_mode(ms.PYNATIVE_MODE), evaluating(net), same_values(net), nothing_left_behind():
            for array in parts(net(*random_inputs(graph.inputs))).values():
                np.asarray(array)
    except Exception:
        return graph.given
    return graph.inputs


def _in_its_type(net: nn.Cell, inputs: Specification) -> Specification:
    """The inputs in the type of all float parameters, which may be cast since the network was traced."""
    kinds = {str(p.dtype) for p in net.get_parameters() if p.is_floating_point()}
    if len(kinds) != 1:
        return inputs
    own = kinds.pop()
    return tuple((shape, own if "Float" in kind else kind) for shape, kind in inputs)


def as_tensors(inputs: Specification | Sequence[ms.Tensor], seed: int = 0) -> tuple[ms.Tensor, ...]:
    """Tensors as they are; random ones for (shape, type) pairs."""
    if all(isinstance(value, ms.Tensor) for value in inputs):
        return tuple(inputs)
    return random_inputs(inputs, seed)


def check_equal(masked: nn.Cell, small: nn.Cell, inputs: Specification | Sequence[ms.Tensor],
                locate: bool = True) -> float:
    """Compare two networks in evaluation mode, on two sets of random inputs or on the given ones.

    A difference of :math:`10^{-5}` (float32) is allowed, relative to the larger of 1 and the output. Where more is
    found, the masked network is compared with itself:

    - *Random.* An output that changes from run to run is compared with the same seed in front of both runs, and left
      out where a seed does not make it the same; others count as ever.
    - *Rounding.* Eight times what the output moves by when inputs and weights move by one rounding is allowed, up to
      :math:`10^{-3}`. So is what it moves by when they move by eight roundings, which finds decisions that one does
      not change. An output that moves by more, such as a ranking of saturated scores, says nothing; then all layers
      have to agree instead.

    Args:
        masked: the network at full width.
        small: the slim one.
        inputs: (shape, type) pairs for random inputs, or tensors.
        locate: whether an error says which cell and which line of code are at fault. Looking for them takes several
            runs and a compilation.

    Returns:
        The largest relative difference of the outputs that count.

    Raises:
        ParityError: the slim network differs or does not run, or nothing can be said because of chance or rounding.
    """
    masked, small = _in_full_precision(masked), _in_full_precision(small)
    given = all(isinstance(value, ms.Tensor) for value in inputs)
    sets = [tuple(inputs)] if given else [random_inputs(inputs, seed) for seed in (0, 1)]
    return max(_check_on(masked, small, values, locate) for values in tracked(sets, "comparing slim with masked"))


def _check_on(masked: nn.Cell, small: nn.Cell, inputs: tuple[Any, ...], locate: bool) -> float:
    with evaluating(masked), evaluating(small), same_values(masked, small), nothing_left_behind():
        try:
            expected = masked(*inputs)
        except Exception as error:
            raise ParityError("the networks cannot be compared: the masked one does not run on the inputs of the "
                              f"comparison ({first_line(error)}). Trace it with tensors that it takes, or pass "
                              "check=False.") from error
        try:
            got = small(*inputs)
            found = differences(got, expected)
        except Exception as error:
            why = failure(small, inputs, error) if locate else first_line(error)
            raise ParityError(f"the slim network does not run: {why}. A number of channels may be written into the "
                              "network's code; add the cell to 'ignore'.") from error
        verdict = compare(masked, lambda: small(*inputs), inputs, found)
        if verdict.different:
            where = ""
            if locate:
                place = first_difference(masked, small, inputs, verdict.tolerance, verdict.rounded, FACTOR)
                where = f"; the first cell that differs is {place}"
            raise ParityError(f"the slim network differs from the masked one by {verdict.worst:.1e} (relative, allowed "
                              f"{verdict.allowed:.0e}){where}.")
        if verdict.unknown:
            _check_layers(masked, small, inputs, verdict)
        if not verdict.counted and not verdict.unknown:
            raise ParityError("the slim network cannot be compared with the masked one: every output is random and no "
                              "seed makes it the same, so that the masked network differs from itself as well. Pass "
                              "check=False where that is meant to be.")
    return verdict.difference


@dataclass(frozen=True)
class Verdict:
    """What the difference of two outputs means, by place of the outputs.

    Attributes:
        found: the differences that count; those of random outputs with the same seed.
        random: outputs that are random whatever the seed, and how far the network is from itself there.
        movement: how far the network's outputs move by one rounding.
        tolerance: what is allowed anyway.
        rounded: the network and its inputs, moved by roundings, and by how many.
    """

    found: Mapping[str, float]
    random: Mapping[str, float]
    movement: Mapping[str, float]
    tolerance: float
    rounded: tuple[Rounded, ...] = ()

    def _allowed(self, place: str) -> float:
        return max(self.tolerance, min(FACTOR * self.movement.get(place, 0.0), LIMIT))

    @cached_property
    def _exceeding(self) -> list[str]:
        return [place for place, difference in self.found.items() if not difference <= self._allowed(place)]

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        """Outputs that differ, but no further than rounding moves them."""
        return tuple(place for place in self._exceeding if self.found[place] <= FACTOR * self.movement.get(place, 0.0))

    @cached_property
    def different(self) -> tuple[str, ...]:
        """Outputs that differ by more than chance and rounding explain."""
        return tuple(place for place in self._exceeding if place not in self.unknown)

    @cached_property
    def counted(self) -> tuple[str, ...]:
        """Outputs that could be compared."""
        return tuple(place for place in self.found if place not in self.unknown)

    @property
    def worst(self) -> float:
        """The largest difference of an output that differs."""
        return max(self.found[place] for place in self.different)

    @property
    def allowed(self) -> float:
        """What was allowed there."""
        return min(self._allowed(place) for place in self.different if self.found[place] == self.worst)

    @property
    def difference(self) -> float:
        """The largest difference of the outputs that could be compared."""
        return max((self.found[place] for place in self.counted), default=0.0)


def compare(net: nn.Cell, other: Callable[[], Any] | None, inputs: tuple[Any, ...], found: Mapping[str, float],
            view: Callable[[Any], Any] = lambda output: output, kinds: Iterable[str] = ()) -> Verdict:
    """Judge by what ``net``, in evaluation mode, does when it runs again, and when it is rounded.

    Args:
        net: the network that is right.
        other: runs what is compared with it; None where a seed does not reach its random numbers.
        inputs: what ``net`` is called with.
        found: the differences of a first run of both.
        view: what of an output is compared.
        kinds: types that are computed in beside those of the inputs, parameters and cells.

    Returns:
        The verdict.
    """
    def run() -> Any:
        return view(net(*inputs))

    tolerance = tolerance_of(net, (*kinds, *(str(x.dtype) for x in inputs if isinstance(x, ms.Tensor))))
    if all(difference <= tolerance for difference in found.values()):
        return Verdict(found, {}, {}, tolerance)
    found, random = _without_chance(run, other, found, tolerance)
    if all(difference <= tolerance for difference in found.values()):
        return Verdict(found, random, {}, tolerance)
    rounded = tuple(_rounded(net, inputs))
    near = _movement(run, view, rounded)
    verdict = Verdict(found, random, {place: near.get(place, INFINITE) for place in found}, tolerance, rounded)
    if not verdict.different:
        return verdict
    further = tuple(_rounded(net, inputs, FACTOR, seeds=2))
    far = _movement(run, view, further)
    movement = {place: max(moved, far.get(place, INFINITE)) for place, moved in verdict.movement.items()}
    return Verdict(found, random, movement, tolerance, (*rounded, *further))


def _movement(run: Callable[[], Any], view: Callable[[Any], Any], rounded: Iterable[Rounded]) -> dict[str, float]:
    """How far each output moves at most from what ``run`` returns, for each rounding."""
    found: dict[str, float] = {}
    with in_mode(ms.PYNATIVE_MODE):
        here = _run_seeded(run)
        for twin, values, steps in rounded:
            moved = differences(view(_run_seeded(lambda: twin(*values))), here)  # noqa: B023
            found = {place: max(found.get(place, 0.0), moved.get(place, INFINITE) / steps)
                     for place in {*found, *moved}}
    return found


def _without_chance(run: Callable[[], Any], other: Callable[[], Any] | None, found: Mapping[str, float],
                    tolerance: float) -> tuple[dict[str, float], dict[str, float]]:
    """The differences with the same seed where outputs are random, and which of them stay random all the same."""
    chance = {place: d for place, d in differences(run(), run()).items() if not d <= tolerance}
    random, with_seed = chance, {}
    if chance and other is not None:
        with in_mode(ms.PYNATIVE_MODE):
            one, two = (_run_seeded(run) for _ in range(2))
            with_seed = differences(_run_seeded(other), one)
        random = {place: d for place, d in differences(two, one).items() if place in chance and not d <= tolerance}
    kept = {place: with_seed.get(place, INFINITE) if place in chance else difference
            for place, difference in found.items() if place not in random}
    return kept, random


def _rounded(net: nn.Cell, inputs: tuple[Any, ...], steps: int = 1,
             seeds: int = 1) -> Iterator[Rounded]:
    """The network with its inputs so many roundings up, and down, and with weights moved either way, drawn by seeds.

    A weight that is zero stays zero, and so does a mask: any other number in its place brings a channel back.
    """
    for towards in (np.inf, -np.inf):
        moved = tuple(_next(value, towards, steps) if isinstance(value, ms.Tensor) else value for value in inputs)
        yield net, moved, steps
    for seed in range(seeds):
        twin, signs = copy_network(net), np.random.default_rng(seed)
        for parameter in twin.get_parameters():
            either = np.where(signs.random(parameter.shape) < 0.5, np.inf, -np.inf)
            parameter.set_data(_next(parameter, np.where(parameter.float().asnumpy() == 0, 0, either), steps))
        yield twin, inputs, steps


def _next(value: ms.Tensor, towards: Any, steps: int = 1) -> ms.Tensor:
    """The next number in the tensor's type; half precision is rounded in its own type, integers stay."""
    if value.dtype not in (ms.float16, ms.float32, ms.float64):
        return ms.Tensor(value)
    array: np.ndarray = value.asnumpy()
    for _ in range(steps):
        array = np.asarray(np.nextafter(array, np.asarray(towards, array.dtype)))
    return ms.Tensor(array, value.dtype)


def _run_seeded(run: Callable[[], Any]) -> Any:
    """What it returns, drawn from the same random numbers each time."""
    with _seeded():
        return run()


@contextmanager
def _seeded(seed: int = 0) -> Iterator[None]:
    """MindSpore and NumPy draw the same numbers inside; the user's seed and NumPy's state are there again behind.

    MindSpore starts again from the user's seed then, or from a new one where there was none.
    """
    before, state, generator = ms.get_seed(), np.random.get_state(), ms.get_rng_state()
    try:
        ms.set_seed(seed)
        ms.manual_seed(seed)
        yield
    finally:
        ms.set_seed(int(np.random.SeedSequence().generate_state(1)[0]) if before is None else before)
        ms.set_rng_state(generator)
        np.random.set_state(state)


def _check_layers(masked: nn.Cell, small: nn.Cell, inputs: tuple[Any, ...], verdict: Verdict) -> None:
    """All layers that can be compared agree, and the last one with parameters can be, or the outputs prove nothing.

    A cell with parameters and cells of its own, such as a head that ranks its boxes, is like the network in this: if
    rounding explains its difference, its cells have to agree instead.
    """
    found = compare_cells(masked, small, inputs, verdict.rounded)
    cells = dict(small.cells_and_names())
    layers = {place: value for place, value in found.items() if list(cells[place[0]].get_parameters(expand=False))
              and not (list(cells[place[0]].cells()) and _unknown(*value))}
    agree = [difference is None or difference <= max(verdict.tolerance, min(FACTOR * movement, LIMIT))
             for difference, movement in layers.values()]
    movement = max(verdict.movement[place] for place in verdict.unknown)
    if layers and all(agree) and list(layers.values())[-1][0] is not None:
        _log.warning("One rounding of the inputs or weights moves the masked network's output by %.1e: it does not "
                     "show whether the slim network is equal. All its layers are.", movement)
        return
    first = next((place for (place, _), same in zip(layers, agree) if not same), None)
    where = f"layer {first!r} differs" if first else "the last layer cannot be compared"
    raise ParityError("whether the slim network equals the masked one is unknown: one rounding of its inputs or "
                      f"weights moves the masked network's own output by {movement:.1e}, and {where}. Pass inputs of "
                      "the usual scale, or trained weights, or check=False.")


def _unknown(difference: float | None, movement: float) -> bool:
    """Whether two outputs differ by more than rounding may excuse, and no further than rounding moves them."""
    return difference is not None and LIMIT < difference <= FACTOR * movement


def _in_full_precision(net: nn.Cell) -> nn.Cell:
    """The network, or a float32 copy where it uses mixed precision."""
    return copy_network(net).to_float(ms.float32) if half_precision(net) else net


def tolerance_of(net: nn.Cell, kinds: Iterable[str]) -> float:
    """Allowed relative difference for a network that takes and computes in these types."""
    return max(TOLERANCE.get(kind, TOLERANCE["Float32"]) for kind in (*kinds, *half_precision(net)))
