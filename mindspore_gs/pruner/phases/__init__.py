"""Phases of training that lead up to pruning: channels are made small, or set to zero for a while."""

from mindspore_gs.pruner.phases.group_lasso import GroupLasso
from mindspore_gs.pruner.phases.growing import GrowingPenalty
from mindspore_gs.pruner.phases.phase import Phase
from mindspore_gs.pruner.phases.slimming import Slimming
from mindspore_gs.pruner.phases.soft import SoftPruning
from mindspore_gs.pruner.phases.stepwise import StepwisePhase

__all__ = ["GroupLasso", "GrowingPenalty", "Phase", "Slimming", "SoftPruning", "StepwisePhase"]
