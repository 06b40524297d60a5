"""Masks: which channels of a network are silent, without changing its shapes. One owner for every algorithm."""

from mindspore_gs.masks.cells import MaskedConv2dbn
from mindspore_gs.masks.masks import Masks, masked_groups

__all__ = ["MaskedConv2dbn", "Masks", "masked_groups"]
