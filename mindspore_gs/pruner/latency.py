"""How long does a slim network take on this machine, against the dense one?"""

from collections.abc import Callable, Sequence

import numpy as np
from mindspore import nn

from mindspore_gs._files import scratch_folder
from mindspore_gs._ranks import of_first_rank
from mindspore_gs.engines import Engine
from mindspore_gs.graph import ChannelGraph, Group
from mindspore_gs.pruner.select import best
from mindspore_gs.slim import PrunePlan
from mindspore_gs.slim.check import random_inputs
from mindspore_gs.slim.slimming import slice_network


class LatencyMeter:
    """Share of the dense network's latency that a slim version has left: exported, reloaded, run in turns with it.

    Args:
        dense: gives the dense network, plain cells; called once, at the first measurement.
        graph: its channel graph; what it was traced with is what the networks are run with.
        groups: the groups that lose channels.
        scores: one number for each channel of each group; the highest stay.
        engine: what runs the exported files.
    """

    def __init__(self, dense: Callable[[], nn.Cell], graph: ChannelGraph, groups: Sequence[Group],
                 scores: Sequence[np.ndarray], engine: Engine):
        self._make_dense, self._dense = dense, None
        self._graph, self._groups, self._scores, self._engine = graph, groups, scores, engine

    def __call__(self, kept: np.ndarray) -> float:
        """The share, for the number of channels that each group keeps.

        In data parallel training the first process measures, and all go by its result.

        Raises:
            ExportError: a network cannot be exported for the engine.
            EngineError: the engine fails.
        """
        return of_first_rank(lambda: self._measure(kept))

    def _measure(self, kept: np.ndarray) -> float:
        if self._dense is None:
            self._dense = self._make_dense()
        stays = {group: best(score, int(count)) for group, score, count in zip(self._groups, self._scores, kept)}
        small = slice_network(self._dense, PrunePlan.from_groups(self._graph, stays))
        inputs = random_inputs(self._graph.inputs)
        with scratch_folder() as folder:
            files = [self._engine.export(net, inputs, folder / name)
                     for net, name in ((self._dense, "dense"), (small, "slim"))]
            before, after = self._engine.time(files, inputs)
        return after / before
