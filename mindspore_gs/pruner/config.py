"""Options of the channel pruners; the algorithms' docstrings explain them."""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from numbers import Integral
from types import MappingProxyType
from typing import Any, ClassVar

import mindspore as ms

from mindspore_gs._config import CommonConfig, boolean, not_negative, one_of, option, positive, wrong_type
from mindspore_gs.engines import ENGINES
from mindspore_gs.graph import NORMS, RESIDUAL_POLICIES
from mindspore_gs.pruner.batches import check_batches
from mindspore_gs.pruner.criteria import CRITERIA, evidence_needed
from mindspore_gs.pruner.defaults import RESIDUAL
from mindspore_gs.pruner.evidence.kinds import LABELLED, PHASE
from mindspore_gs.pruner.widths import KINDS, SCOPES, Target


def _rate(owner: str, name: str, value: Any) -> float:
    if not isinstance(value, float):
        error = wrong_type(owner, name, "float", value)  # Golden Stick's words, so the remedy is a note beside them
        getattr(error, "add_note", len)("Give a share between 0 and 1, such as 0.45 for 45%.")  # from Python 3.11 on
        raise error
    if not 0.0 <= value < 1.0:
        raise ValueError(f"For '{owner}', the '{name}' must be in range of [0.0, 1.0), but got {value} with type "
                         f"'{type(value).__name__}'.")
    return value


def _rates(owner: str, name: str, value: Any) -> Mapping[str, float]:
    if not isinstance(value, Mapping):
        raise wrong_type(owner, name, "dict", value)
    patterns(owner, name, list(value))
    return MappingProxyType({pattern: _rate(owner, f"{name}[{pattern!r}]", rate) for pattern, rate in value.items()})


def _target(owner: str, name: str, value: Any) -> Target | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise wrong_type(owner, name, "dict", value)
    value = dict(value)
    which = value.pop("engine", "mindspore") if "latency" in value else "mindspore"
    if not callable(which) and not (isinstance(which, str) and which in ENGINES):
        raise ValueError(f"For '{owner}', the '{name}['engine']' must be one of {tuple(ENGINES)} or a function that "
                         f"takes the path of an ONNX file and returns seconds, but got {which!r}.")
    if len(value) != 1 or next(iter(value)) not in KINDS:
        more = "; 'engine' goes with 'latency' only" if "engine" in value else ""
        raise ValueError(f"For '{owner}', the '{name}' must have exactly one key of {KINDS}, such as "
                         f"{{'macs': 0.5}}, but got {value!r}{more}.")
    kind, share = next(iter(value.items()))
    if not isinstance(share, float):
        raise wrong_type(owner, f"{name}[{kind!r}]", "float", share)
    if not 0.0 < share < 1.0:
        raise ValueError(f"For '{owner}', the '{name}[{kind!r}]' must be in range of (0.0, 1.0), but got {share} with "
                         f"type 'float'.")
    return Target(kind, share, which)


def _round_to(owner: str, name: str, value: Any) -> int | None:
    return None if value is None else positive(owner, name, value)


def _scope(owner: str, name: str, value: Any) -> str:
    return one_of(owner, name, value, SCOPES)


def patterns(owner: str, name: str, value: Any) -> tuple[str, ...]:
    """Accept a list of names of layers or patterns."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(p, str) for p in value):
        raise TypeError(f"For '{owner}', the '{name}' must be a list of cell-name patterns such as "
                        f"['layer1.*'], but got {value!r}.")
    return tuple(value)


def residual(owner: str, name: str, value: Any) -> str | None:
    """Accept the name of a policy."""
    return None if value is None else one_of(owner, name, value, RESIDUAL_POLICIES)


def _norms(owner: str, name: str, value: Any) -> str:
    return one_of(owner, name, value, NORMS)


def _criterion(owner: str, name: str, value: Any) -> str | Callable:
    return value if callable(value) else one_of(owner, name, value, tuple(CRITERIA), " or a function")


def _is_size(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0


def _data(owner: str, name: str, value: Any) -> Any:
    if value is not None:
        check_batches(owner, value)
    return value


def _loss_fn(owner: str, name: str, value: Any) -> Callable | None:
    if value is not None and not callable(value):
        raise TypeError(f"For '{owner}', the '{name}' must be a function of the network's output and the label, but "
                        f"got {value!r}.")
    return value


def input_shape(owner: str, name: str, value: Any) -> tuple[Any, ...] | None:
    """What the network is called with: a shape, a tensor, or a list of them. Becomes a tuple of shapes and tensors."""
    if value is None:
        return None
    several = isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple, ms.Tensor))
    found = []
    for part in tuple(value) if several else (value,):
        shape = isinstance(part, (list, tuple)) and part and all(_is_size(n) for n in part)
        if not shape and not isinstance(part, ms.Tensor):
            raise ValueError(f"For '{owner}', the '{name}' must be a shape such as (1, 3, 32, 32), a tensor, or a list "
                             f"of these for several inputs, but got {value!r:.200}.{_inside(part)}")
        found.append(part if isinstance(part, ms.Tensor) else tuple(int(n) for n in part))
    return tuple(found)


def _inside(part: Any) -> str:
    """What to do about an input that is made of tensors."""
    parts = part.values() if isinstance(part, dict) else part if isinstance(part, (list, tuple)) else ()
    if not any(isinstance(each, ms.Tensor) for each in parts):
        return ""
    return (" A network that takes a dict or a tuple of tensors is pruned inside a cell whose construct takes the "
            "tensors and puts them together.")


@dataclass(frozen=True)
class ChannelConfig(CommonConfig):
    """Options of ``ChannelPruner``."""

    criterion: str | Callable = option("l1", _criterion)
    prune_rate: float = option(0.0, _rate)
    rates: Mapping[str, float] = option(MappingProxyType({}), _rates)
    target: Target | None = option(None, _target)
    scope: str = option("layer", _scope)
    ignore: tuple[str, ...] = option((), patterns)
    round_to: int | None = option(None, _round_to)
    min_channels: int = option(1, positive)
    residual: str | None = option(RESIDUAL, residual)
    norms: str = option("keep", _norms)
    input_shape: tuple[Any, ...] | None = option(None, input_shape)
    seed: int = option(0, not_negative)
    data: Any = option(None, _data)
    loss_fn: Callable | None = option(None, _loss_fn)
    compensate: bool = option(False, boolean)
    found_before: ClassVar[tuple[str, ...]] = ()  # kinds of evidence that are there without data

    @staticmethod
    def check_together(owner: str, config: Any, given: Set[str]) -> None:
        """A target takes the place of the prune rate, the scope is the target's, and compensation needs data."""
        if config.target is not None and "prune_rate" in given:
            raise ValueError(f"For '{owner}', 'prune_rate' and 'target' exclude each other, but got both; give one.")
        if config.target is None and config.scope != "layer":
            raise ValueError(f"For '{owner}', the 'scope' {config.scope!r} needs a 'target', such as {{'macs': 0.5}}, "
                             "but got none.")
        needs = [kind for kind in evidence_needed(config.criterion) if kind not in config.found_before]
        _check_evidence(owner, config, needs)
        if config.scope == "error" and config.data is None:
            raise ValueError(f"For '{owner}', the scope 'error' measures errors, so it needs 'data', such as a list of "
                             "batches of training images, but got none.")
        if config.scope == "error" and (config.compensate or needs) and isinstance(config.data, Iterator):
            raise ValueError(f"For '{owner}', the scope 'error' reads 'data' and something else does, too, but an "
                             "iterator can be read only once; give a list of batches or a mindspore.dataset.")
        if config.compensate and needs and isinstance(config.data, Iterator):
            raise ValueError(f"For '{owner}', the criterion and 'compensate' both read 'data', but an iterator can be "
                             "read only once; give a list of batches or a mindspore.dataset.")
        if config.compensate and config.data is None:
            raise ValueError(f"For '{owner}', 'compensate' needs 'data', such as a list of batches of training images, "
                             "but got none.")


def _check_evidence(owner: str, config: ChannelConfig, needs: list[str]) -> None:
    """Refuse a criterion that will lack what it looks at."""
    said = f"For '{owner}', the criterion {config.criterion!r}"
    if set(needs) & set(PHASE):
        raise ValueError(f"{said} compares channels with their knockoffs, so it needs the knockoff phase, and there "
                         "is none here. Use PrunerKfCompressAlgo and then PrunerFtCompressAlgo, or another criterion, "
                         "such as 'l1'.")
    if needs and config.data is None:
        labelled = bool(set(needs) & set(LABELLED))
        what = "(images, labels)" if labelled else "of images"
        also = "" if not labelled or config.loss_fn else " Unless the network is a classifier, give 'loss_fn', too."
        raise ValueError(f"{said} looks at data, so it needs 'data', such as a list of batches {what}, but got none."
                         f"{also}")
