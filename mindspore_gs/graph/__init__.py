"""What depends on what: a network's channels, traced from its MindIR."""

from mindspore_gs.graph.blocked import Blocked, BlockedBy
from mindspore_gs.graph.groups import RESIDUAL_POLICIES, ChannelGraph, Group, Slice
from mindspore_gs.graph.ir import verify
from mindspore_gs.graph.trace import trace

__all__ = ["RESIDUAL_POLICIES", "Blocked", "BlockedBy", "ChannelGraph", "Group", "Slice", "trace", "verify"]
