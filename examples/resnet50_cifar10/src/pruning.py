"""The pruning algorithms as the configuration asks for them."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from mindspore import nn
from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo, summary

from src.config import Config
from src.errors import InputError
from src.models import build

T = TypeVar("T")


def input_shape(config: Config) -> tuple[int, int, int, int]:
    """One image: (1, 3, S, S)."""
    return (1, 3, config.image_size, config.image_size)


def knockoff_algorithm(config: Config) -> PrunerKfCompressAlgo:
    """First half of SCOP. Raises `InputError` for what the algorithm refuses."""
    options = {"residual": config.residual, "ignore": list(config.ignore), "input_shape": input_shape(config)}
    return _checked(PrunerKfCompressAlgo, options | config.kf_config)


def pruning_algorithm(config: Config) -> PrunerFtCompressAlgo:
    """Second half. Raises `InputError` for what the algorithm refuses."""
    rates = {pattern: float(value) for pattern, value in config.rates.items()}
    options = {"criterion": config.criterion, "rates": rates, "round_to": config.round_to,
               "min_channels": config.min_channels, "seed": config.seed}
    if config.prune_rate is None:
        options["target"] = {"macs": config.target_macs}
    else:
        options["prune_rate"] = config.prune_rate
    return _checked(PrunerFtCompressAlgo, options | config.ft_config)


def check_target(config: Config) -> None:
    """Prune a network with initial weights: which counts can be reached does not depend on the weights.

    Raises `PruningError` where `target_macs` cannot be met.
    """
    pruning_algorithm(replace(config, criterion="l1")).apply(knockoff_algorithm(config).apply(build(config.net)))


def _checked(algorithm: Callable[[dict[str, Any]], T], options: dict[str, Any]) -> T:
    try:
        return algorithm(options)
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from None


def sizes(dense: nn.Cell, small: nn.Cell, config: Config) -> dict[str, int]:
    """Parameters and MACs (one image) of both networks."""
    report = summary(dense, small, input_shape=input_shape(config))
    return {"params_before": int(report.params_before), "params_after": int(report.params_after),
            "macs_before": int(report.macs_before), "macs_after": int(report.macs_after)}
