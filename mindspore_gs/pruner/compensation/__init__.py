"""Compensation: a masked network repaired without training, in closed form."""

from mindspore_gs.pruner.compensation.repair import compensate
from mindspore_gs.pruner.compensation.report import Compensation, Repaired

__all__ = ["Compensation", "Repaired", "compensate"]
