"""Copies of networks."""

import copy

from mindspore import nn


def copy_network(net: nn.Cell) -> nn.Cell:
    """An independent copy: own cells and parameters, same names, nothing compiled."""
    twin = copy.deepcopy(net)
    forget_compilation(twin)
    return twin


def forget_compilation(net: nn.Cell) -> None:
    """Drop compiled graphs, so that Graph mode sees cells replaced after a first run."""
    for _, cell in net.cells_and_names():
        cell.compile_cache.clear()
