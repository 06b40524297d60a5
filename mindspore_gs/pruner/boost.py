"""Heads that MindSpore's boost mode puts in the place of the last dense layer of a network that is being pruned."""

from mindspore import nn

from mindspore_gs._cells import every_cell
from mindspore_gs.errors import PruningError
from mindspore_gs.record import has_record, record_of

_HEAD = "CommonHeadLastFN"


def refuse_boosted_head(net: nn.Cell) -> None:
    """Refuse a knockoff or masked network whose last dense layer boost has replaced since it was traced.

    ``Model(boost_level="O1")`` puts a layer there that divides its weights by their norm over all of its inputs. The
    weights of masked inputs would count in that norm, and be missing in it when they are removed. In a network that
    is traced with such a head, the channels in front of it stay.

    Args:
        net: what is trained.

    Raises:
        PruningError: there is such a head.
    """
    for pruned in (cell for cell in every_cell(net) if has_record(cell)):
        known = record_of(pruned).graph.graph.parameters
        for path, cell in pruned.cells_and_names():
            if type(cell).__name__ == _HEAD and f"{path}.multiplier" not in known:
                raise PruningError(
                    f"boost_level has put a {_HEAD} in the place of {path!r} of this {type(pruned).__name__}. It "
                    "divides its weights by their norm over all inputs, those that are removed among them. Make the "
                    "Model with boost_level='O0', or call apply() behind it.")
