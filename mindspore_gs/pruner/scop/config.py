"""Options of the two SCOP algorithms; the algorithms' docstrings explain them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from mindspore import nn

from mindspore_gs._config import CommonConfig, integer, one_of, option, positive, wrong_type
from mindspore_gs.graph import NORMS
from mindspore_gs.pruner.config import ChannelConfig, input_shape, patterns, residual


def _generator(owner: str, name: str, value: Any) -> nn.Cell | None:
    if value is not None and not isinstance(value, nn.Cell):
        raise wrong_type(owner, name, "Cell", value)
    return value


def _axis(owner: str, name: str, value: Any) -> int:
    if integer(owner, name, value) < 0:
        raise ValueError(f"For '{owner}', the '{name}' must be the axis of the inputs along which the samples lie, "
                         f"0 or above, but got {value}.")
    return value


def _norms(owner: str, name: str, value: Any) -> str:
    if one_of(owner, name, value, NORMS) != "keep":
        raise ValueError(f"For '{owner}', the '{name}' must be 'keep', since knockoffs are of channels in front of a "
                         f"BatchNorm, but got {value!r}; ChannelPruner takes it.")
    return "keep"


@dataclass(frozen=True)
class KnockoffConfig(CommonConfig):
    """Options of ``PrunerKfCompressAlgo``."""

    residual: str = option("keep", residual)
    ignore: tuple[str, ...] = option((), patterns)
    input_shape: tuple[Any, ...] | None = option(None, input_shape)
    knockoff: nn.Cell | None = option(None, _generator)
    batch_axis: int = option(0, _axis)


@dataclass(frozen=True)
class FinetuneConfig(ChannelConfig):
    """Options of ``PrunerFtCompressAlgo``: those of ``ChannelPruner`` with SCOP's defaults."""

    residual: str | None = option(None, residual)
    norms: str = option("keep", _norms)
    round_to: int | None = option(1, positive)
    found_before: ClassVar[tuple[str, ...]] = ("kfscale",)
    criterion: str | Callable = option("scop", ChannelConfig.__dataclass_fields__["criterion"].metadata["check"])
