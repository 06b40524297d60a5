"""What layers see of a computed weight.

``conv2d(x, (w - w.mean((1, 2, 3))) / w.std((1, 2, 3)))`` makes its channels from the filters of w, and a filter that
goes changes no other one. Along the inputs of w it would, because mean and deviation are taken over them. So what is
computed is looked at once for each axis of w, with the ids of that axis, by the same rules as everything else.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mindspore_gs.graph.blocked import Blocked
from mindspore_gs.graph.computed import ComputedWeight
from mindspore_gs.graph.flow import Channels, Flow
from mindspore_gs.graph.ids import NONE, along, none_ids
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.operators import STEEP
from mindspore_gs.graph.rules.registry import apply_rule

_DIVISIONS = ("Div", "Divs", "RealDiv")
_POWERS = ("Pow", "PowTensorScalar")
_AT_ZERO = (*STEEP, "ReduceStd", "Std", "LpNorm", "LpNormV2", "LinalgVectorNorm", "L2Normalize", "Rsqrt", "Reciprocal")


def weight_flow(weight: ComputedWeight, flows: Mapping[str, Any], channels: Channels) -> Flow:
    """The flow of a computed weight: its parameter, with the axes blocked along which a slice changes the others.

    Which masks make a slice of it zero is noted in ``channels.silenced_by``.

    Args:
        weight: the weight.
        flows: the flows of the parameters and literals that it is computed from.
        channels: what is found out.
    """
    shape = channels.graph.parameters[weight.parameter]
    across = _vectors(weight, flows, channels)
    for axis in (0, 1):
        if shape[axis] > 1:
            others = {name: _without_channels(flows[name]) for name, lies in across.items() if lies != axis}
            channels.silenced_by[weight.parameter, axis] = _silencers(weight, axis, {**flows, **others}, channels)
    return replace(flows[weight.parameter], silencers=frozenset())


def _vectors(weight: ComputedWeight, flows: Mapping[str, Any], channels: Channels) -> dict[str, int]:
    """The vectors that a weight is computed from, such as a gain, with the axis of the weight along which each lies."""
    shape, found = channels.graph.parameters[weight.parameter], {}
    leaves = {name: flows[name] for node in weight.nodes for name in node.inputs if name in flows}
    apart = {name: _without_channels(flow) for name, flow in leaves.items()}
    for name, flow in leaves.items():
        if flow.has_channels and flow.shape != shape:
            scratch = Channels(channels.graph, {}, readings=channels.readings, sites=channels.sites)
            own = {**apart, name: flow}
            for node in weight.nodes:
                own[node.name] = apply_rule(node, [own[each] for each in node.inputs], scratch)
            axes = [axis for axis, n in enumerate(own[weight.value].ids.shape) if n > 1]
            found.update({name: axes[0]} if len(axes) == 1 else {})
    return found


def _without_channels(flow: Flow) -> Flow:
    """The same without ids, as it is along another axis than its own; no parameter, lest rules ask for its ids."""
    return replace(flow, ids=none_ids(len(flow.shape)), zero=False, silencers=frozenset(), parameter=None)


def _silencers(weight: ComputedWeight, axis: int, flows: Mapping[str, Any],
               channels: Channels) -> frozenset[tuple[str, int]]:
    """What is to be masked so that a slice of the weight is zero and has gradients; nothing where that cannot be.

    That is its parameter, or, where that would be divided by its own length, another factor, such as a gain.
    """
    before = len(channels.steep)
    found = []
    for masked in (True, False):
        result, finite = _run(weight, axis, masked, flows, channels)
        found.append(result.masked_by() if finite else frozenset())
    del channels.steep[before:]
    ids = channels.parameter_ids(weight.parameter, axis)
    arrived = along(result.ids, axis, len(ids))
    if arrived is None or NONE in arrived or (np.isin(arrived, ids) & (arrived != ids)).any():
        channels.block(ids, Blocked.COMPUTED_WEIGHT, weight.nodes[-1])
    else:
        channels.unite(arrived, ids, weight.nodes[-1])  # those of a gain may have arrived
    return found[0] or found[1]


def _run(weight: ComputedWeight, axis: int, masked: bool, flows: Mapping[str, Any],
         channels: Channels) -> tuple[Flow, bool]:
    """The flow of what is computed with the ids of one axis, and whether all of it has a slope where that is masked."""
    shape = channels.graph.parameters[weight.parameter]
    own: dict[str, Any] = {}
    finite = True
    for node in weight.nodes:
        for name in node.inputs:
            if name not in own:
                alike = channels.graph.parameters.get(name) == shape
                own[name] = _parameter(name, axis, shape, masked, channels) if alike else flows[name]
        inputs = [own[name] for name in node.inputs]
        finite = finite and not _has_no_slope(node, inputs)
        own[node.name] = apply_rule(node, inputs, channels)
    return own[weight.value], finite


def _parameter(name: str, axis: int, shape: tuple[int, ...], masked: bool, channels: Channels) -> Flow:
    """A parameter of the weight's shape as a value that has channels along one axis."""
    ids = channels.parameter_ids(name, axis).reshape([-1 if k == axis else 1 for k in range(len(shape))])
    masked = masked and name not in channels.spared
    return Flow(shape, ids, zero=masked, varying=False, silencers=frozenset([(name, axis)] if masked else []))


def _has_no_slope(node: Node, inputs: list[Any]) -> bool:
    """Whether an operator gets a masked zero where it has no finite value or slope."""
    zeros = [isinstance(flow, Flow) and bool(flow.masked_by()) for flow in inputs]
    if node.op in _DIVISIONS:
        return zeros[1]
    if node.op in _POWERS:
        exponent = inputs[1].constant
        return zeros[0] and (exponent is None or not bool(np.all(np.asarray(exponent) >= 1)))
    return node.op in _AT_ZERO and any(zeros)


def inner_flow(node: Node) -> Any:
    """The flow of a value that a weight is computed by, which nothing else reads."""
    shapes = node.shape if node.shape and isinstance(node.shape[0], tuple) else (node.shape,)
    found = tuple(Flow(shape, none_ids(len(shape)), varying=False) for shape in shapes)
    return found if shapes is node.shape else found[0]
