"""What part a parameter plays for the channels of a group."""

from enum import Enum


class Role(Enum):
    """What the entries of a parameter that go with a channel do. The value is what a reader calls them.

    >>> Role.FILTER.value
    'filter: the weights that make the channel'
    """

    FILTER = "filter: the weights that make the channel"
    BIAS = "bias: what the layer that makes the channel adds to it"
    SCALE = "scale: what multiplies the channel, such as BatchNorm's gamma"
    SHIFT = "shift: what is added to the channel behind its layer, such as BatchNorm's beta"
    STATISTIC = "statistic: BatchNorm's moving mean or variance"
    INPUT = "input: the weights of a layer that reads the channel"
