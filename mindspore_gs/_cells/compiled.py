"""Forget what MindSpore has compiled of a network. The only file that touches its caches."""

import sys
import time
from typing import Any

from mindspore import nn
from mindspore.nn.cell import _cell_graph_executor, cells_compile_cache

from mindspore_gs._cells.lookup import every_cell


def forget_compilation(net: nn.Cell) -> None:
    """Drop every compiled graph that may hold ``net``, which has changed, so that it is compiled as it is now.

    These are the graphs of its cells, of the cells around it (a training step, an evaluation) and of functions under
    ``jit``. Which of the latter hold the network is not known, so all are dropped; they are compiled again when called.
    """
    for cache in list(cells_compile_cache.values()):
        _drop(cache)
    start_anew(net)
    _drop(vars(sys.modules[type(_cell_graph_executor).__module__])["ms_compile_cache"])


def start_anew(net: nn.Cell) -> None:
    """Make a network one of which nothing is compiled. Other networks keep what they have.

    Graphs are found by an object's address and time of creation, and an address occurs again after an object is gone.
    """
    for cell in every_cell(net):
        object.__setattr__(cell, "_create_time", _now())
        object.__setattr__(cell, "_compile_cache", set())
        object.__setattr__(cell, "_phase_cache", None)
        object.__setattr__(cell, "_compiled", False)
        cells_compile_cache[id(cell)] = cell.compile_cache


_last = 0


def _now() -> int:
    """Nanoseconds, never the same twice."""
    global _last
    _last = max(_last + 1, time.time_ns())
    return _last


def _drop(phases: Any) -> None:
    if phases:
        _cell_graph_executor.del_net_res(None, phases)
        phases.clear()
