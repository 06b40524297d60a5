"""How much does each layer matter? Sensitivity analysis, and pruning by it in rounds."""

from mindspore_gs.analysis.iterative import Iterated, Round, prune_iteratively
from mindspore_gs.analysis.result import GroupSensitivity, Point, Sensitivity
from mindspore_gs.analysis.sensitivities import sensitivity

__all__ = ["GroupSensitivity", "Iterated", "Point", "Round", "Sensitivity", "prune_iteratively", "sensitivity"]
