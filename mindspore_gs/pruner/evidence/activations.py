"""Look at the channels of many groups while one copy of a network runs. PyNative mode, evaluation mode."""

from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import copy_network, switched
from mindspore_gs._precision import cell_inside
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import ChannelGraph, Group
from mindspore_gs.pruner.compensation.patches import as_array
from mindspore_gs.pruner.evidence.maps import MAPS
from mindspore_gs.pruner.evidence.mixing import Contributions, Gram
from mindspore_gs.pruner.evidence.sources import Source, map_sources, mixing_sources

Batch = tuple[ms.Tensor, ...]
_EPSILON = {"Float16": 2.0 ** -10, "BFloat16": 2.0 ** -7}
_SEED = 0


class Activations:
    """What the channels of a network hold.

    Args:
        net: the network, plain cells; it is copied.
        graph: its channel graph.
        groups: groups of it.
        kinds: what is wanted.
    """

    def __init__(self, net: nn.Cell, graph: ChannelGraph, groups: Sequence[Group], kinds: Sequence[str]):
        self._kinds, self._twin = kinds, switched(copy_network(net))
        self._generator = np.random.default_rng(_SEED)
        self._seen: list[tuple[Source, Any]] = []
        watched: dict[str, list[tuple[Source, Any]]] = {}
        for group in groups:
            for source, statistic in self._statistics(graph, group):
                watched.setdefault(source.path, []).append((source, statistic))
                self._seen.append((source, statistic))
        for path, found in watched.items():
            cell_inside(self._twin, path).register_forward_hook(_hook(path, found))

    def take(self, inputs: Batch) -> None:
        """Run one batch."""
        output = self._twin(*inputs)
        for value in output if isinstance(output, (tuple, list)) else (output,):
            if isinstance(value, ms.Tensor):
                value.asnumpy()  # PyNative mode computes behind Python's back and fails later

    def result(self) -> dict[str, dict[Any, np.ndarray]]:
        """For each kind, by the slice of the weight at which channels were seen, what was found of them."""
        found: dict[str, dict[Any, np.ndarray]] = {kind: {} for kind in self._kinds}
        for source, statistic in self._seen:
            if statistic.count:
                for kind, values in statistic.result().items():
                    if kind in found:
                        found[kind][source.part] = values
        return found

    def _statistics(self, graph: ChannelGraph, group: Group) -> list[tuple[Source, Any]]:
        found: list[tuple[Source, Any]] = []
        for kind in dict.fromkeys(MAPS[kind] for kind in self._kinds if kind in MAPS):
            found += [(source, kind(group.size)) for source in map_sources(self._twin, graph, group)]
        mixing = mixing_sources(self._twin, graph, group)
        if {"gram", "covariance"} & set(self._kinds):
            found += [(source, Gram(group.size, self._generator)) for source in mixing]
        if "contributions" in self._kinds:
            each = [(source, Contributions.of(source, cell_inside(self._twin, source.path), self._generator))
                    for source in mixing if not source.output]
            found += [(source, statistic) for source, statistic in each if statistic is not None]
        return found


def _hook(path: str, watched: list[tuple[Source, Any]]) -> Callable[[nn.Cell, Any, Any], None]:
    """A hook behind a cell, which shows its statistics what the cell was given or returns."""
    sides = {source.output for source, _ in watched}
    if any(isinstance(statistic, Contributions) for _, statistic in watched):
        sides = {False, True}

    def hook(cell: nn.Cell, arguments: Any, output: Any) -> None:
        tensors = {False: arguments[0] if arguments else None, True: output}
        arrays = {side: as_array(tensors[side]) for side in sides
                  if isinstance(tensors[side], ms.Tensor) and tensors[side].ndim > 1}
        for source, statistic in watched:
            if arrays.keys() >= (sides if isinstance(statistic, Contributions) else {source.output}):
                _add(path, source, statistic, arrays, _EPSILON.get(str(tensors[source.output].dtype), 2.0 ** -23))

    return hook


def _add(path: str, source: Source, statistic: Any, arrays: dict[bool, np.ndarray], precision: float) -> None:
    values = source.values(arrays[source.output])
    if values is None:
        return
    if not np.isfinite(values).all():
        raise PruningError(f"what {path!r} {'returns' if source.output else 'is given'} has NaN or infinite numbers: "
                           "look for them in the weights and the data, or for a network that overflows.")
    if isinstance(statistic, Contributions):
        statistic.add(arrays[False], arrays[True])
    else:
        statistic.add(values, precision)
