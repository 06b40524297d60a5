"""The stages of one network: dense, knockoff, masked, slim. Which channels go does not matter for the time."""

from mindspore import nn

from benchmarks.networks import network
from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs._cells import copy_network


class Stages:
    """A network under one residual policy; it is traced once.

    Args:
        name: as in :func:`benchmarks.networks.network`.
        residual: ``"keep"`` or ``"couple"``.
        size: height and width of the image.
        classes: number of classes.
    """

    def __init__(self, name: str, residual: str, size: int, classes: int = 10) -> None:
        algorithm = PrunerKfCompressAlgo(residual=residual, input_shape=(1, 3, size, size))
        self._knockoff = algorithm.apply(network(name, classes))

    def knockoff(self) -> nn.Cell:
        """A fresh knockoff network."""
        return copy_network(self._knockoff)

    def masked(self, rate: float, round_to: int = 1) -> nn.Cell:
        """A fresh masked network; channels with the lowest L1 norm are masked."""
        return PrunerFtCompressAlgo(prune_rate=rate, round_to=round_to, criterion="l1").apply(self.knockoff())

    def slim(self, rate: float, round_to: int = 1) -> nn.Cell:
        """A fresh slim network."""
        return PrunerFtCompressAlgo().convert(self.masked(rate, round_to))
