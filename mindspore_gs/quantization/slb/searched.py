"""What code outside of a network reads in the place of a searched weight."""

from typing import Any

from mindspore_gs.errors import PruningError
from mindspore_gs.masks.values import ComputedValue


class SearchedValue(ComputedValue):
    """A weight that is computed from logits. ``requires_grad`` and a gradient's hooks are those of the logits."""

    def refuse(self, what: str) -> Any:
        """Say that a change would be lost, and what to do.

        Raises:
            PruningError: always.
        """
        refuse_weight(self.name, what)


def refuse_weight(name: str, what: str) -> None:
    """Refuse to set a searched weight.

    Raises:
        PruningError: always.
    """
    raise PruningError(f"SLB searches {name!r}: it is computed from logits, which are what is trained, so {what} would "
                       "be lost. Set weights before SlbQuantAwareTraining.apply(), or behind convert(); to leave a "
                       "layer's weights alone, put it into 'keep_float'.")
