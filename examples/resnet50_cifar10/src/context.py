"""MindSpore's device, mode and seed."""
from __future__ import annotations

import mindspore as ms

from src.config import Config
from src.errors import InputError


def set_up(config: Config) -> None:
    """Select device and mode and seed everything. Raises `InputError` where the device is not there."""
    try:
        ms.set_device(config.device_target)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"device_target {config.device_target} cannot be used here: {reason}") from None
    ms.set_context(mode=ms.GRAPH_MODE if config.mode == "GRAPH" else ms.PYNATIVE_MODE)
    ms.set_seed(config.seed)
