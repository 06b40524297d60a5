"""Run a network as far as needed, and look at what its cells are given and return. PyNative mode."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._precision import cell_inside
from mindspore_gs.errors import PruningError
from mindspore_gs.pruner.compensation.patches import as_array

Batch = tuple[ms.Tensor, ...]
AHEAD = 12  # cells behind a layer among which its residual sum is looked for


class _EnoughError(Exception):
    """The rest of the network need not run."""


@dataclass(frozen=True)
class Place:
    """The first argument, or the output, of one call of a cell.

    Attributes:
        path: path of the cell.
        call: which of its calls in one pass, from 0.
        output: whether the output is meant.
    """

    path: str
    call: int = 0
    output: bool = False


@contextmanager
def hooks(*handles: Any) -> Iterator[None]:
    """Take hooks off again."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def run(net: nn.Cell, batch: Batch) -> None:
    """A forward pass that a hook may end early."""
    with suppress(_EnoughError):
        net(*batch)


def stop_at(net: nn.Cell, path: str) -> Any:
    """A hook that ends the pass in front of a cell."""
    def stop(cell: nn.Cell, arguments: Any) -> None:
        raise _EnoughError

    return cell_inside(net, path).register_forward_pre_hook(stop)


def finite(path: str, values: np.ndarray) -> np.ndarray:
    """Values at a cell; nothing can be solved for with numbers that are not finite.

    Raises:
        PruningError: there are such numbers.
    """
    if not np.isfinite(values).all():
        raise PruningError(f"compensate(): what {path!r} is given or returns has NaN or infinite numbers: look for "
                           "them in the weights and the data, or for a network that overflows.")
    return values


def look(net: nn.Cell, batch: Batch, places: Sequence[Place], take: Callable[[Place, np.ndarray], None]) -> None:
    """Run one pass, and hand over what is at these places, as float32 arrays, in order of execution.

    Args:
        net: the network.
        batch: inputs of the pass, which ends behind the last place.
        places: where to look.
        take: gets each place with its array; places that are not reached, or that hold no tensor, are left out.

    Raises:
        PruningError: there are NaN or infinite numbers at one.
    """
    found: set[Place] = set()
    wanted = set(places)
    calls: Counter[tuple[str, bool]] = Counter()

    def keep(path: str, output: bool, value: Any) -> None:
        place = Place(path, calls[path, output], output)
        calls[path, output] += 1
        if place in wanted and isinstance(value, ms.Tensor):
            found.add(place)
            take(place, finite(path, as_array(value)))
        if wanted <= found:
            raise _EnoughError

    handles = []
    for path in {place.path for place in places}:
        cell = cell_inside(net, path)
        handles += [cell.register_forward_pre_hook(_before(path, keep)), cell.register_forward_hook(_after(path, keep))]
    with hooks(*handles):
        run(net, batch)


def _before(path: str, keep: Callable[[str, bool, Any], None]) -> Callable[[nn.Cell, Any], None]:
    def hook(cell: nn.Cell, arguments: Any) -> None:
        keep(path, False, arguments[0] if arguments else None)

    return hook


def _after(path: str, keep: Callable[[str, bool, Any], None]) -> Callable[[nn.Cell, Any, Any], None]:
    def hook(cell: nn.Cell, arguments: Any, output: Any) -> None:
        keep(path, True, output)

    return hook


def find_stream(net: nn.Cell, batch: Batch, end: str, generator: np.random.Generator) -> Place | None:
    """Where the residual stream is seen behind a layer: a cell is given the layer's output plus something else.

    Noise is added to the output of the layer. What a cell is given is the sum that is looked for if exactly this noise
    arrives there, and if it is not the output itself.

    Args:
        net: the network.
        batch: inputs of one pass.
        end: path of the last cell of the layer, its BatchNorm if it has one.
        generator: draws the noise.

    Returns:
        The place, or None where there is no such sum near behind the layer.
    """
    plain, output = _arguments_behind(net, batch, end, None)
    if output is None:
        return None
    scale = float(finite(end, output).std()) or 1.0
    noise = (generator.standard_normal(output.shape) * scale).astype(np.float32)
    moved, _ = _arguments_behind(net, batch, end, noise)
    for place, value in plain.items():
        if value.shape == noise.shape and place in moved and moved[place].shape == noise.shape:
            allowed = 1e-4 * max(float(np.abs(moved[place]).max()), float(np.abs(noise).max()))
            arrives = float(np.abs(moved[place] - value - noise).max()) <= allowed
            if arrives and float(np.abs(value - output).max()) > allowed:
                return place
    return None


def _arguments_behind(net: nn.Cell, batch: Batch, end: str, noise: np.ndarray | None
                      ) -> tuple[dict[Place, np.ndarray], np.ndarray | None]:
    """What the next cells behind the first call of ``end`` are given, and its output, to which noise may be added."""
    found: dict[Place, np.ndarray] = {}
    calls: Counter[str] = Counter()
    outputs: list[np.ndarray] = []

    def before(path: str) -> Any:
        def hook(cell: nn.Cell, arguments: Any) -> None:
            place = Place(path, calls[path])
            calls[path] += 1
            if outputs and arguments and isinstance(arguments[0], ms.Tensor):
                found[place] = as_array(arguments[0])
                if len(found) >= AHEAD:
                    raise _EnoughError

        return hook

    def after(cell: nn.Cell, arguments: Any, output: Any) -> Any:
        first = not outputs
        if isinstance(output, ms.Tensor):
            outputs.append(as_array(output))
        return output + ms.Tensor(noise, output.dtype) if first and outputs and noise is not None else None

    handles = [cell.register_forward_pre_hook(before(path)) for path, cell in net.cells_and_names() if path]
    handles.append(cell_inside(net, end).register_forward_hook(after))
    with hooks(*handles):
        run(net, batch)
    return found, outputs[0] if outputs else None
