"""Which channels go: algorithms and criteria."""

from mindspore_gs.pruner.channel import ChannelPruner, prune
from mindspore_gs.pruner.channels import Channels
from mindspore_gs.pruner.criteria import CRITERIA, criterion
from mindspore_gs.pruner.recalibration import recalibrate
from mindspore_gs.pruner.scop import PrunerFtCompressAlgo, PrunerKfCompressAlgo

__all__ = ["CRITERIA", "ChannelPruner", "Channels", "PrunerFtCompressAlgo", "PrunerKfCompressAlgo", "criterion",
           "prune", "recalibrate"]
