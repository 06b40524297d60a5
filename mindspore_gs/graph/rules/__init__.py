"""Channel rules: for each operator, what happens to the channels of its inputs.

A rule takes the node, the flows of its inputs and the :class:`~mindspore_gs.graph.flow.Channels` to write into,
and returns the flow of the output. An operator without a rule blocks whatever touches it.
"""

from mindspore_gs.graph.rules import control, cuts, elementwise, joins, layout, products, regions, space, spectral
from mindspore_gs.graph.rules.registry import apply_rule, channel_rule

__all__ = ["apply_rule", "channel_rule", "control", "cuts", "elementwise", "joins", "layout", "products", "regions",
           "space", "spectral"]
