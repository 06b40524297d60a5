"""Set ``recompute()`` up again. The only file that touches how MindSpore keeps it."""

import inspect

from mindspore import nn

from mindspore_gs._cells import every_cell


def renew_recompute(net: nn.Cell) -> None:
    """Set ``recompute()`` up again on each cell that has it, for the cell as it is now.

    In PyNative mode it keeps the parameters that were trainable, and the ``construct`` that the cell had, when it was
    called; what becomes trainable later gets no gradient, and a mixed-in ``construct`` is not run.
    """
    for cell in every_cell(net):
        old = getattr(cell, "_recompute_cell", None)
        if isinstance(old, nn.Cell):
            cell.recompute()
        elif old is not None:
            options = inspect.getclosurevars(old).nonlocals
            cell.recompute(use_reentrant=False, output_recompute=options["output_recompute"],
                           early_stop=options["early_stop"], context_fn=options["context_fn"])
