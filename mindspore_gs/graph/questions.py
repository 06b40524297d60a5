"""What MindIR does not tell: whether a number in it follows the channels, or is written into the code.

MindIR holds plain numbers where the code has ``x.shape[1]``, ``self.c`` or ``8``. A rule that meets such a number asks;
:mod:`mindspore_gs.graph.probe` finds the answer by tracing the network a second time with fewer channels.
"""

from dataclasses import dataclass

import numpy as np

Site = tuple[str, str, int]
Option = str | int
Position = tuple[str, int, int]
BLOCKED = "blocked"
TOGETHER = "together"
HIDDEN = "nothing hidden"


@dataclass(frozen=True)
class Reading:
    """How a question is answered.

    Attributes:
        option: one of the question's options, or ``BLOCKED``.
        attributes: attributes of the user's cell that hold the number and have to follow the channels.
    """

    option: Option
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Question:
    """A number that may follow the channels.

    Attributes:
        site: scope, operator, and how many operators of this kind the scope has before it.
        node: name of the node that the rule was at.
        options: how it can be read, the likeliest first; what an option means is the rule's own business.
        ids: the channels that depend on the answer.
        counted: the ids whose number an attribute would have to be, once the channels are as the option says.
        number: the number as MindIR has it, -1 where the code leaves it open; None where the rule does not tell.
    """

    site: Site
    node: str
    options: tuple[Option, ...]
    ids: np.ndarray
    counted: np.ndarray
    number: int | None = None


@dataclass(frozen=True)
class Resize:
    """An attribute of a user's cell that holds a number of channels.

    In the slim network it must be ``factor`` times the number of positions that stay.

    Attributes:
        cell: path of the cell.
        attribute: name of its attribute, an int.
        old: its value now.
        factor: how often each position counts.
        positions: (parameter, axis, index) of each position.
        alike: the positions at every other place where the attribute holds their number.
    """

    cell: str
    attribute: str
    old: int
    factor: int
    positions: tuple[Position, ...]
    alike: tuple[tuple[Position, ...], ...] = ()
