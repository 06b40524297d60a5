"""What depends on what: a network's channels, traced from its MindIR."""

from mindspore_gs._distribution import refuse_mixture

refuse_mixture()  # here too: another distribution's mindspore_gs/__init__.py may have replaced ours

from mindspore_gs.graph.blocked import Blocked, BlockedBy  # noqa: E402
from mindspore_gs.graph.channel_graph import RESIDUAL_POLICIES, ChannelGraph  # noqa: E402
from mindspore_gs.graph.group import Group, Slice  # noqa: E402
from mindspore_gs.graph.ir import verify  # noqa: E402
from mindspore_gs.graph.layer_norms import NORMS  # noqa: E402
from mindspore_gs.graph.roles import Role  # noqa: E402
from mindspore_gs.graph.tracing import trace  # noqa: E402

__all__ = ["NORMS", "RESIDUAL_POLICIES", "Blocked", "BlockedBy", "ChannelGraph", "Group", "Role", "Slice", "trace",
           "verify"]
