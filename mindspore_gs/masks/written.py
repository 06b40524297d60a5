"""Masked parameters that a network writes into while it runs, such as a running mean of its own."""

from mindspore import nn

from mindspore_gs._cells import constructor_names, get_cell, names_in_methods, set_in_methods, stored_in_methods
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import ChannelGraph
from mindspore_gs.masks.cells import MaskedParameters, unmasked
from mindspore_gs.record import pruned_network, record_of


def check_written(masked: nn.Cell, graph: ChannelGraph) -> None:
    """Refuse a network that writes into what is masked: it would write into the product with the mask, which is lost.

    Giving the attribute a value, as in ``self.mean = 0.9 * self.mean``, is no matter: that reaches the parameter.

    Args:
        masked: the network with its masks.
        graph: its channel graph.

    Raises:
        PruningError: names the parameters and what to do.
    """
    found = _written(masked, graph)
    if found:
        layers = sorted({graph.cells.get(group.weights[0], group.name) for group in record_of(masked).groups
                         if any(part.parameter in found for part in graph.silencers(group))})
        raise PruningError(
            f"{type(pruned_network(masked)).__name__} cannot be trained with masks: it writes into "
            f"{', '.join(map(repr, found))} while it runs, and what is written into a masked parameter is lost. "
            f"Write self.name = value, which reaches it, or add {', '.join(map(repr, layers))} to 'ignore', or remove "
            "the channels without training in between: prune(net, ...).")


def _written(masked: nn.Cell, graph: ChannelGraph) -> list[str]:
    """Names that the constructor gave to the masked parameters that an operator or a method writes into."""
    names = constructor_names(masked)
    found = set()
    for site in record_of(masked).masks:
        cell = get_cell(masked, site.path)
        stored, by_method = stored_in_methods(cell), set_in_methods(cell)
        by_method = names_in_methods(cell) if by_method is None else by_method
        for attribute in site.raw if site.mixin is MaskedParameters else ():
            name = names[cell.__dict__[unmasked(attribute)].name]
            by_operator = name in graph.written and attribute not in stored
            if by_operator or attribute in by_method:
                found.add(name)
    return sorted(found)
