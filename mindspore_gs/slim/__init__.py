"""Removing channels: a plan says which stay, slim() makes the small network and proves it equal."""

from mindspore_gs.slim.cells import RestoreChannels
from mindspore_gs.slim.check import relative_difference
from mindspore_gs.slim.plan import Keep, PrunePlan, Restore
from mindspore_gs.slim.slim import mask, slim

__all__ = ["Keep", "PrunePlan", "Restore", "RestoreChannels", "mask", "relative_difference", "slim"]
