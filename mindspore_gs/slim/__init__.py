"""Removing channels: a plan says which stay, slim() makes the small network and proves it equal."""

from mindspore_gs.slim.cells import RestoreChannels
from mindspore_gs.slim.check import relative_difference
from mindspore_gs.slim.fold import fold_batch_norm
from mindspore_gs.slim.moments import carry_moments
from mindspore_gs.slim.plan import Keep, PrunePlan, Restore
from mindspore_gs.slim.slimming import mask, slim

__all__ = ["Keep", "PrunePlan", "Restore", "RestoreChannels", "carry_moments", "fold_batch_norm", "mask",
           "relative_difference", "slim"]
