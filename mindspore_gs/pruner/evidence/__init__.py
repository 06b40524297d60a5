"""What data say of channels: one pass over batches, for any number of kinds of evidence."""

from mindspore_gs.pruner.evidence.kinds import KINDS
from mindspore_gs.pruner.evidence.one_pass import observe

__all__ = ["KINDS", "observe"]
