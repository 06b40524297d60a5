"""SCOP, the first algorithm."""

from mindspore_gs.pruner.scop.scop_pruner import (
    KfCallback,
    KfConv2d,
    MaskedConv2dbn,
    PrunerFtCompressAlgo,
    PrunerKfCompressAlgo,
)

__all__ = ["KfCallback", "KfConv2d", "MaskedConv2dbn", "PrunerFtCompressAlgo", "PrunerKfCompressAlgo"]
