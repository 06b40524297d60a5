"""Options of the two SCOP algorithms; the algorithms' docstrings explain them."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mindspore import nn

from mindspore_gs._config import CommonConfig, integer, option, positive, wrong_type
from mindspore_gs.graph import RESIDUAL_POLICIES
from mindspore_gs.pruner.criteria import CRITERIA
from mindspore_gs.pruner.target import KINDS, SCOPES, Target


def _rate(owner: str, name: str, value: Any) -> float:
    if not isinstance(value, float):
        raise wrong_type(owner, name, "float", value)
    if not 0.0 <= value < 1.0:
        raise ValueError(f"For '{owner}', the '{name}' must be in range of [0.0, 1.0), but got {value} with type "
                         f"'{type(value).__name__}'.")
    return value


def _rates(owner: str, name: str, value: Any) -> Mapping[str, float]:
    if not isinstance(value, Mapping):
        raise wrong_type(owner, name, "dict", value)
    return MappingProxyType({pattern: _rate(owner, f"{name}[{pattern!r}]", rate) for pattern, rate in value.items()})


def _target(owner: str, name: str, value: Any) -> Target | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise wrong_type(owner, name, "dict", value)
    if len(value) != 1 or next(iter(value)) not in KINDS:
        raise ValueError(f"For '{owner}', the '{name}' must have exactly one key of {KINDS}, such as "
                         f"{{'macs': 0.5}}, but got {dict(value)!r}.")
    kind, share = next(iter(value.items()))
    if not isinstance(share, float):
        raise wrong_type(owner, f"{name}[{kind!r}]", "float", share)
    if not 0.0 < share < 1.0:
        raise ValueError(f"For '{owner}', the '{name}[{kind!r}]' must be in range of (0.0, 1.0), but got {share} with "
                         f"type 'float'.")
    return Target(kind, share)


def _scope(owner: str, name: str, value: Any) -> str:
    if value not in SCOPES:
        raise ValueError(f"For '{owner}', the '{name}' must be one of {SCOPES}, but got {value!r}.")
    return value


def _patterns(owner: str, name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(p, str) for p in value):
        raise TypeError(f"For '{owner}', the '{name}' must be a list of cell-name patterns such as "
                        f"['layer1.*'], but got {value!r}.")
    return tuple(value)


def _residual(owner: str, name: str, value: Any) -> str | None:
    if value is not None and value not in RESIDUAL_POLICIES:
        raise ValueError(f"For '{owner}', the '{name}' must be one of {RESIDUAL_POLICIES}, but got {value!r}.")
    return value


def _criterion(owner: str, name: str, value: Any) -> str | Callable:
    if not callable(value) and value not in CRITERIA:
        raise ValueError(f"For '{owner}', the '{name}' must be one of {tuple(CRITERIA)} or a function, "
                         f"but got {value!r}.")
    return value


def _input_shape(owner: str, name: str, value: Any) -> tuple[tuple[int, ...], ...] | None:
    """One shape, or a list of shapes where there are several inputs; becomes a tuple of shapes."""
    if value is None:
        return None
    several = isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple))
    shapes = tuple(value) if several else (value,)
    for shape in shapes:
        if not isinstance(shape, (list, tuple)) or not shape or not all(isinstance(n, int) and n > 0 for n in shape):
            raise ValueError(f"For '{owner}', the '{name}' must be a shape such as (1, 3, 32, 32), or a list of "
                             f"shapes, but got {value!r}.")
    return tuple(tuple(shape) for shape in shapes)


def _generator(owner: str, name: str, value: Any) -> nn.Cell | None:
    if value is not None and not isinstance(value, nn.Cell):
        raise wrong_type(owner, name, "Cell", value)
    return value


@dataclass(frozen=True)
class KnockoffConfig(CommonConfig):
    """Options of ``PrunerKfCompressAlgo``."""

    residual: str = option("keep", _residual)
    ignore: tuple[str, ...] = option((), _patterns)
    input_shape: tuple[tuple[int, ...], ...] | None = option(None, _input_shape)
    knockoff: nn.Cell | None = option(None, _generator)


@dataclass(frozen=True)
class FinetuneConfig(CommonConfig):
    """Options of ``PrunerFtCompressAlgo``."""

    prune_rate: float = option(0.0, _rate)
    rates: Mapping[str, float] = option(MappingProxyType({}), _rates)
    target: Target | None = option(None, _target)
    scope: str = option("layer", _scope)
    ignore: tuple[str, ...] = option((), _patterns)
    round_to: int = option(1, positive)
    min_channels: int = option(1, positive)
    residual: str | None = option(None, _residual)
    criterion: str | Callable = option("scop", _criterion)
    seed: int = option(0, integer)

    @staticmethod
    def check_together(owner: str, config: Any, given: Set[str]) -> None:
        """A target takes the place of the prune rate, and the scope is the target's."""
        if config.target is not None and "prune_rate" in given:
            raise ValueError(f"For '{owner}', 'prune_rate' and 'target' exclude each other, but got both; give one.")
        if config.target is None and config.scope != "layer":
            raise ValueError(f"For '{owner}', the 'scope' {config.scope!r} needs a 'target', such as {{'macs': 0.5}}, "
                             "but got none.")
