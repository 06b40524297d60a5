"""Set ``recompute()`` up again, or take it off. The only file that touches how MindSpore keeps it."""

import inspect
from typing import Any

from mindspore import nn

from mindspore_gs._cells import every_cell


def recompute_options(cell: nn.Cell) -> dict[str, Any] | None:
    """What ``recompute()`` was called with on this very cell; None where it was not."""
    kept = getattr(cell, "_recompute_cell", None)
    if kept is None:
        return None
    if isinstance(kept, nn.Cell):
        return {}
    options = inspect.getclosurevars(kept).nonlocals
    return {name: options[name] for name in ("output_recompute", "early_stop", "context_fn")} | {"use_reentrant": False}


def take_recompute(cell: nn.Cell) -> dict[str, Any] | None:
    """Take it off; ``cell.recompute(**options)`` with what is returned puts it back."""
    options = recompute_options(cell)
    if options is not None:
        cell.__dict__["_cells"].pop("_recompute_cell", None)
        vars(cell)["_recompute_cell"] = None
    return options


def take_all_recompute(net: nn.Cell) -> list[tuple[nn.Cell, dict[str, Any]]]:
    """Take it off each cell that has it; returns these cells with their options."""
    found = [(cell, take_recompute(cell)) for cell in every_cell(net)]
    return [(cell, options) for cell, options in found if options is not None]


def renew_recompute(net: nn.Cell) -> None:
    """Set ``recompute()`` up again on each cell that has it, for the cell as it is now.

    In PyNative mode it keeps the parameters that were trainable, and the ``construct`` that the cell had, when it was
    called; what becomes trainable later gets no gradient, and a mixed-in ``construct`` is not run.
    """
    for cell, options in take_all_recompute(net):
        cell.recompute(**options)
