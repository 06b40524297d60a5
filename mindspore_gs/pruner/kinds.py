"""Which groups are alike? What their channels are made and read by, from the traced graph and never from names."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mindspore_gs.graph import ChannelGraph, Group, Slice
from mindspore_gs.graph.ir import Node
from mindspore_gs.graph.operators import CONVOLUTIONS, TRANSPOSED

_STRIDE, _DILATION, _GROUPS = 3, 5, 6  # places of arguments that some operators take as inputs


def kinds_of(graph: ChannelGraph, groups: Sequence[Group]) -> list[str]:
    """What each group is like, as text: two groups are of one kind where the texts are equal.

    A kind lists every operator that makes, shifts or reads the channels, with its role; of a convolution the kernel,
    the stride, the dilation and whether it is depthwise or grouped; and how often each occurs. So the inner channels of
    all residual blocks with a stride of 1 are one kind, and a stream that more blocks add into is another one. Sizes of
    feature maps and numbers of channels do not count.

    Source: Fang et al., Isomorphic Pruning for Vision Models, ECCV 2024 (there by the types of the layers alone).

    Args:
        graph: the traced network.
        groups: groups of it.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs.graph import trace
        >>> from mindspore_gs.pruner.kinds import kinds_of
        >>> net = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, 2),
        ...                         nn.ReLU(), nn.Conv2d(8, 4, 1))
        >>> graph = trace(net, (1, 3, 16, 16))
        >>> for kind in kinds_of(graph, graph.groups()[:3]):
        ...     print(kind)
        Conv2D 3x3 filter, Conv2D 3x3 input
        Conv2D 3x3 filter, Conv2D 3x3 stride 2x2 input
        Conv2D 1x1 input, Conv2D 3x3 stride 2x2 filter
    """
    return [_kind(graph, group) for group in groups]


def _kind(graph: ChannelGraph, group: Group) -> str:
    counts = Counter(text for part in group.slices for text in _uses(graph, part, group))
    return ", ".join(f"{count} times {text}" if count > 1 else text for text, count in sorted(counts.items()))


def _uses(graph: ChannelGraph, part: Slice, group: Group) -> list[str]:
    """One text for each operator that reads the parameter."""
    role = part.role.name.lower()
    several = f" with {part.indices.shape[1]} places" if part.indices.shape[1] > 1 else ""
    back = " put back into place" if part.parameter in group.restored else ""
    readers = graph.graph.consumers_of(part.parameter) or [Node("", "other code", ())]
    return [f"{node.op}{_details(graph, node, part.parameter)} {role}{several}{back}" for node in readers]


def _details(graph: ChannelGraph, node: Node, weight: str) -> str:
    """Kernel, stride, dilation and groups of a convolution; nothing for other operators, and for a bias."""
    shape = graph.graph.parameters[weight]
    if node.op not in (*CONVOLUTIONS, *TRANSPOSED) or len(shape) < 3:
        return ""
    rank = len(shape) - 2
    found = " " + _times(shape[2:])
    for name, place in (("stride", _STRIDE), ("dilation", _DILATION)):
        value = _each_axis(_argument(graph, node, (name, f"{name}s"), place), rank)
        found += f" {name} {_times(value)}" if any(n != 1 for n in value) else ""
    number = int(_argument(graph, node, ("group", "groups"), _GROUPS))
    if weight in graph.grouped:
        return found + " depthwise"
    return found + (f" in {number} groups" if number > 1 else "")


def _argument(graph: ChannelGraph, node: Node, names: Sequence[str], place: int) -> Any:
    """An attribute of an operator, or the constant that it takes as an input; 1 where there is neither."""
    given = [node.attrs[name] for name in names if name in node.attrs]
    given += [graph.graph.constants.get(name) for name in node.inputs[place:place + 1]]
    return next((value for value in given if value is not None), 1)


def _each_axis(value: Any, rank: int) -> tuple[int, ...]:
    return tuple(int(n) for n in value[-rank:]) if isinstance(value, (tuple, list)) else (int(value),) * rank


def _times(numbers: Sequence[int]) -> str:
    return "x".join(str(n) for n in numbers)
