"""Parameters and multiply-accumulates (MACs) of each layer, before and after."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from numbers import Integral

from mindspore import nn

from mindspore_gs.cost import count_parameters, layer_macs
from mindspore_gs.graph import ChannelGraph, trace
from mindspore_gs.graph.restores import OPERATOR
from mindspore_gs.slim.carried import carried_plan

_FAST = 8  # numbers that engines compute at once


@dataclass(frozen=True)
class Row:
    """One layer: output channels, parameters and MACs, before and after. ``channels`` is (kept, all)."""

    layer: str
    channels: tuple[int, int]
    params: tuple[int, int]
    macs: tuple[int, int]


@dataclass(frozen=True)
class Report:
    """A network before and after pruning.

    Attributes:
        rows: one for each convolution and dense layer; its BatchNorm and bias are counted with the network, not here.
            Each pair is (after, before).
        params_before, params_after: number of parameters, without BatchNorm's moving statistics.
        macs_before, macs_after: multiply-accumulates of convolutions and dense layers for one sample.
        input_shapes: the shapes they were counted with.
        gathers: layers whose output is put back into a residual stream of full width, which costs a copy each.
    """

    rows: tuple[Row, ...]
    params_before: int
    params_after: int
    macs_before: int
    macs_after: int
    input_shapes: tuple[tuple[int, ...], ...]
    gathers: int = 0

    @property
    def hint(self) -> str | None:
        """What would be faster at the same MACs, read off the counts; None where nothing is known to be."""
        pruned = [row.channels[0] for row in self.rows if row.channels[0] < row.channels[1]]
        odd = sum(kept % _FAST > 0 for kept in pruned)
        found, remedies = [], []
        if odd:
            found.append(f"{odd} of {len(pruned)} pruned layers keep a number of channels that is no multiple of "
                         f"{_FAST}")
            remedies.append(f"round_to={_FAST} with a target")
        if self.gathers:
            found.append(f"{self.gathers} layers need a copy to put their channels back into a residual stream")
            remedies.append('residual="couple"')
        if not found:
            return None
        return f"{' and '.join(found)}. With the same MACs, {' and '.join(remedies)} is faster in most engines."

    @property
    def macs_ratio(self) -> float:
        """MACs after over MACs before; 1 where no layer has any that are counted."""
        return self.macs_after / self.macs_before if self.macs_before else 1.0

    @property
    def params_ratio(self) -> float:
        """Parameters after over parameters before; 1 for a network without any."""
        return self.params_after / self.params_before if self.params_before else 1.0

    def to_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(asdict(self))

    def print(self) -> None:
        """Print a table on the terminal."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title=f"input {', '.join(str(shape) for shape in self.input_shapes)}")
        table.add_column("layer")
        for name in ("channels", "parameters", "MACs"):
            table.add_column(name, justify="right")
        for row in self.rows:
            table.add_row(row.layer, "{}/{}".format(*row.channels), _pair(*row.params), _pair(*row.macs))
        table.add_section()
        table.add_row("total", "", f"{_pair(self.params_after, self.params_before)} ({self.params_ratio:.1%})",
                      f"{_pair(self.macs_after, self.macs_before)} ({self.macs_ratio:.1%})")
        console = Console()
        console.width = max(console.width, 100)
        console.print(table)
        if self.hint:
            console.print(self.hint, highlight=False, markup=False)


def _pair(after: int, before: int) -> str:
    return f"{after:,}" if after == before else f"{after:,} / {before:,}"


def summary(before: nn.Cell, after: nn.Cell, input_shape: Sequence[int] | None = None) -> Report:
    """Compare a network with its slim version.

    Args:
        before: the original network.
        after: the slim one.
        input_shape: shape of the input, such as ``(1, 3, 32, 32)``. Default: that of the plan which ``after`` carries.

    Returns:
        The report; ``.print()`` shows it as a table.

    Raises:
        TypeError: ``before`` or ``after`` is not a Cell, or ``input_shape`` is no shape.
        ValueError: the two networks are swapped.
        TraceError: a network cannot be traced with that shape.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs import summary
        >>> summary(nn.Conv2d(3, 8, 1), nn.Conv2d(3, 4, 1), (1, 3, 10, 10)).macs_ratio
        0.5
    """
    _check(before, after, input_shape)
    plan = carried_plan(after)
    inputs = (tuple(input_shape),) if input_shape is not None else tuple(s for s, _ in plan.inputs) if plan else ()
    graph = trace(before, *inputs)
    return compare(graph, trace(after, *(shape for shape, _ in graph.inputs)))


def _check(before: nn.Cell, after: nn.Cell, shape: Sequence[int] | None) -> None:
    for name, net in (("before", before), ("after", after)):
        if not isinstance(net, nn.Cell):
            raise TypeError(f"for summary(), {name!r} must be a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    if carried_plan(before) is not None and carried_plan(after) is None:
        raise ValueError("for summary(), 'before' is slim and 'after' is not; give the original network first.")
    sizes = () if shape is None else shape
    if not isinstance(sizes, Sequence) or any(isinstance(n, bool) or not isinstance(n, Integral) or n < 1
                                              for n in sizes):
        raise TypeError("for summary(), 'input_shape' must be a shape of positive sizes such as (1, 3, 32, 32), but "
                        f"got {shape!r}.")


def compare(before: ChannelGraph, after: ChannelGraph) -> Report:
    """The report of two traced networks; layers are matched by the name of their weight."""
    old, new = layer_macs(before.graph), layer_macs(after.graph)
    rows = []
    for weight, macs in old.items():
        large = before.graph.parameters[weight]
        small = after.graph.parameters.get(weight, (0,) * len(large))
        axis, each = before.outputs.get(weight, 0), before.repeats(weight)
        rows.append(Row(before.cells.get(weight, weight), (each * small[axis], each * large[axis]),
                        (prod(small), prod(large)), (new.get(weight, 0), macs)))
    return Report(tuple(rows), count_parameters(before.graph), count_parameters(after.graph), sum(old.values()),
                  sum(new.values()), tuple(shape for shape, _ in before.inputs),
                  sum(node.op == OPERATOR for node in after.graph.nodes))
