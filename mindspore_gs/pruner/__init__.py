"""Which channels go: algorithms and criteria."""

from mindspore_gs.pruner.recalibrate import recalibrate
from mindspore_gs.pruner.scop import PrunerFtCompressAlgo, PrunerKfCompressAlgo

__all__ = ["PrunerFtCompressAlgo", "PrunerKfCompressAlgo", "recalibrate"]
