"""The pruning algorithms as the configuration asks for them, and the rate that meets a MAC budget."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from mindspore import nn
from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo, summary
from mindspore_gs.slim import slim

from src.config import Config
from src.errors import InputError
from src.models import build

T = TypeVar("T")
TOLERANCE = 0.01
ATTEMPTS = 16


def input_shape(config: Config) -> tuple[int, int, int, int]:
    """One image: (1, 3, S, S)."""
    return (1, 3, config.image_size, config.image_size)


def knockoff_algorithm(config: Config) -> PrunerKfCompressAlgo:
    """First half of SCOP. Raises `InputError` for what the algorithm refuses."""
    options = {"residual": config.residual, "ignore": list(config.ignore), "input_shape": input_shape(config)}
    return _checked(PrunerKfCompressAlgo, options | config.kf_config)


def pruning_algorithm(config: Config, rate: float) -> PrunerFtCompressAlgo:
    """Second half. Raises `InputError` for what the algorithm refuses."""
    rates = {pattern: float(value) for pattern, value in config.rates.items()}
    options = {"prune_rate": float(rate), "criterion": config.criterion, "rates": rates, "round_to": config.round_to,
               "min_channels": config.min_channels, "seed": config.seed}
    return _checked(PrunerFtCompressAlgo, options | config.ft_config)


def _checked(algorithm: Callable[[dict[str, Any]], T], options: dict[str, Any]) -> T:
    try:
        return algorithm(options)
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from None


def find_rate(config: Config, num_classes: int) -> float:
    """The uniform rate that leaves `target_macs` of the MACs, within 0.01.

    The counts do not depend on which channels go, so no training is needed. Raises `InputError` where the steps of
    `round_to` and `min_channels` are too coarse, or `rates` and `ignore` leave too little.
    """
    return solve(lambda rate: remaining_macs(config, rate, num_classes), config.target_macs)


def solve(remaining: Callable[[float], float], target: float) -> float:
    """A rate in [0, 1) with |remaining(rate) - target| <= 0.01; `remaining` falls from 1 and may have steps.

    Straight lines between the nearest rates on both sides, and their middle every third time.

    >>> solve(lambda rate: 1 - rate, 0.75)
    0.25
    """
    low, high = (0.0, 1.0), (1.0, 0.0)
    nearest = 1.0
    for attempt in range(1, ATTEMPTS):
        weight = 0.5 if attempt % 3 == 0 else (low[1] - target) / (low[1] - high[1])
        rate = low[0] + weight * (high[0] - low[0])
        share = remaining(rate)
        if abs(share - target) <= TOLERANCE:
            return rate
        nearest = min(nearest, share, key=lambda value: abs(value - target))
        if share > target:
            low = (rate, share)
        else:
            high = (rate, share)
    raise InputError(f"no uniform rate leaves {target} of the MACs; the nearest leaves {nearest:.3f}. "
                     "Set prune_rate, or lower round_to and min_channels")


def remaining_macs(config: Config, rate: float, num_classes: int) -> float:
    """Share of the MACs that a slim network pruned at `rate` has, in (0, 1]."""
    algorithm = pruning_algorithm(replace(config, criterion="l1"), rate)
    masked = algorithm.apply(knockoff_algorithm(config).apply(build(config.net, num_classes)))
    dense = build(config.net, num_classes)
    counts = sizes(dense, slim(dense, algorithm.plan(masked), check=False), config)
    return counts["macs_after"] / counts["macs_before"]


def sizes(dense: nn.Cell, small: nn.Cell, config: Config) -> dict[str, int]:
    """Parameters and MACs (one image) of both networks."""
    report = summary(dense, small, input_shape=input_shape(config))
    return {"params_before": int(report.params_before), "params_after": int(report.params_after),
            "macs_before": int(report.macs_before), "macs_after": int(report.macs_after)}
