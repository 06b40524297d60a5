"""The table of channel rules, and the rule for operators that have none."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import none_ids
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.operators import STEEP

Rule = Callable[[Node, list[Any], Channels], Any]
_RULES: dict[str, Rule] = {}
_TAKES_WEIGHTS: set[str] = set()
_GRADIENTS = "Gradients/"  # MindSpore's scope of what belongs to a backward pass


def channel_rule(*operators: str, weights: bool = False) -> Callable[[Rule], Rule]:
    """Register a rule for operators; a second rule for an operator is refused.

    Args:
        operators: their names in MindIR.
        weights: whether the rule says what happens to a parameter of several axes that it gets. For all others such a
            parameter becomes part of a computation, and stays whole.
    """

    def register(rule: Rule) -> Rule:
        for operator in operators:
            if operator in _RULES:
                raise ValueError(f"operator {operator} has a channel rule already")
            _RULES[operator] = rule
            _TAKES_WEIGHTS.update([operator] if weights else [])
        return rule

    return register


def apply_rule(node: Node, flows: list[Any], channels: Channels) -> Any:
    """The flow of ``node``'s output; where there is no rule, its inputs are blocked."""
    if node.op not in _TAKES_WEIGHTS:
        for flow in flatten(flows):
            if flow.parameter is not None and sum(n > 1 for n in flow.shape) > 1:
                channels.computed.append((flow.parameter, node))
    if node.op in STEEP:
        channels.note_steep(flows[0], node)
    return _RULES.get(node.op, unknown)(node, flows, channels)


def unknown(node: Node, flows: list[Any], channels: Channels) -> Any:
    """Block what arrives at an operator that no rule describes."""
    reason = Blocked.GRADIENT if node.scope.startswith(_GRADIENTS) else Blocked.UNKNOWN_OPERATOR
    return refused(node, flows, reason, channels)


def refused(node: Node, flows: list[Any], reason: Blocked, channels: Channels) -> Any:
    """Block what arrives at an operator, and go on with outputs without channels."""
    for flow in flatten(flows):
        channels.refuse(flow, reason, node)
    varying = any(flow.varying for flow in flatten(flows))
    if several_outputs(node):
        return tuple(Flow(shape, none_ids(len(shape)), varying=varying) for shape in node.shape)
    return replace(channels.plain(node), varying=varying)


def fixed(node: Node, x: Flow, channels: Channels) -> Flow:
    """The code says how many channels there are."""
    channels.refuse(x, Blocked.FIXED_BY_CODE, node)
    return channels.plain(node)


def several_outputs(node: Node) -> bool:
    """Whether the operator returns a tuple."""
    return bool(node.shape) and isinstance(node.shape[0], tuple)


def flatten(flows: Any) -> list[Flow]:
    """The flows in nested tuples, one after the other."""
    if isinstance(flows, Flow):
        return [flows]
    return [flow for item in flows for flow in flatten(item)]
