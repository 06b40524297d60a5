"""What a cell holds beside its weight and loses with it."""

from typing import Any


class Alongside:
    """Numbers that a cell keeps in an attribute, one for each position of an axis of its ``weight``."""

    def kept(self, axis: int, indices: tuple[int, ...]) -> Any:
        """The same for the positions of the weight that stay along an axis."""
        raise NotImplementedError
