"""Why a channel may not be removed: one reason each, and one sentence for each reason."""

from dataclasses import dataclass
from enum import Enum


class Blocked(Enum):
    """Reasons for which a channel stays. The value is the sentence that a user reads."""

    REACHES_OUTPUT = "the channel is an output of the network"
    NETWORK_INPUT = "the channel is tied to one that stays: of the network's input, or blocked for a reason of its own"
    CONSTANT = ("the channel meets entries that are no layer's channels (the network's input, a constant, an "
                "embedding, a part of a parameter), whose number stays")
    UNKNOWN_OPERATOR = "there is no channel rule for the operator"
    MIXES_CHANNELS = "the operator computes over all channels, so removing one changes the others"
    NOT_ZERO = "the channel is not zero any more when the operator sums over it"
    TWO_ACTIVATIONS = "the operator multiplies two activations (attention), whose channels cannot go together here"
    GROUPED_TRANSPOSED = ("a transposed convolution with groups of several channels adds into a residual stream, where "
                          "it cannot be put back to full width (residual='keep')")
    MERGED_AXES = "the channel axis is merged with another axis in front of the operator"
    OTHER_AXIS = "the operator works along another axis (positions, tokens) than the one that the channels lie along"
    DIVIDES = "the network divides by a parameter that is zero for a removed channel, because it is added elsewhere too"
    COMPUTED_WEIGHT = ("the operator's weight is no parameter of the usual form: it is computed, cut out of a "
                       "parameter, holds several layers' weights, or is the left factor")
    UNSEEN = "the layer's output goes into code that MindIR does not show, such as a head that is thrown away"
    CONTROL_FLOW = "data decides what the network computes from it (if, while)"
    GRADIENT = ("the network computes a gradient of its own layers there; prune the part that it differentiates by "
                "itself, as in prune(net.part, ...)")
    FIXED_OPERAND = "the operator gives each entry a meaning of its own (a coordinate, an index, a box)"
    FIXED_BY_CODE = "the number of channels is written into the network's code"
    RESIDUAL_STREAM = "a residual stream carries the channel, and keeps its width when residual='inner'"
    NO_PLACE = "there is no cell behind which the layer's output could be put back to full width (residual='keep')"
    FIRST_CONVOLUTION = "the first convolution stays whole when residual='keep'"
    SHORTCUT = "the projection on a shortcut stays whole when residual='keep'"


@dataclass(frozen=True)
class BlockedBy:
    """A reason with the operator and the place in the network where it arose.

    >>> print(BlockedBy(Blocked.REACHES_OUTPUT, 'BiasAdd', 'Default/head'))
    REACHES_OUTPUT at BiasAdd in Default/head: the channel is an output of the network
    """

    reason: Blocked
    operator: str
    source: str

    def __str__(self) -> str:
        return f"{self.reason.name} at {self.operator} in {self.source or 'the network'}: {self.reason.value}"
