"""One family of exceptions. Wrong types and values stay the built-in ``TypeError`` and ``ValueError``."""

from mindspore_gs._distribution import refuse_remains

refuse_remains()  # nearly every module imports this one, so that what is left of an installation says so


class PruningError(RuntimeError):
    """Base of every error that this package raises by itself."""


class TargetError(PruningError):
    """No choice of channels meets the target."""


class TraceError(PruningError):
    """The network could not be traced into a channel graph."""


class PlanError(PruningError):
    """A plan asks for what cannot be removed, or does not fit the network."""


class ParityError(PruningError):
    """The slim network does not compute what the masked one computes."""


class CheckpointError(PruningError):
    """A checkpoint cannot be read, or belongs to another network."""


class ExportError(PruningError):
    """An exported file could not be written, or differs from the network."""


class EngineError(PruningError):
    """An engine that shall run a file is not installed, or fails."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says something, or the error's type; MindSpore's go on for pages.

    MindSpore frames titles with lines of dashes. Neither the dashes nor the title between them say what went wrong.

    >>> first_line(TypeError("\\n-----\\n- Kernel select failed:\\n-----\\nUnsupported data type!\\n"))
    'Unsupported data type!'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    rules = [not line.strip("-") for line in lines]
    framed = [a and b for a, b in zip([False, *rules], [*rules[1:], False])]
    texts = [line for line, rule, title in zip(lines, rules, framed) if not (rule or title)]
    titles = [line for line, rule in zip(lines, rules) if not rule]
    return next(iter((*texts, *titles)), type(error).__name__)
