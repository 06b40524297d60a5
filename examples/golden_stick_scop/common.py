"""What train.py and eval.py share: settings, data, network, learning rates."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "resnet50_cifar10"))  # its networks and its data

import src  # noqa: E402, F401  # prepares the environment; before MindSpore

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
import yaml  # noqa: E402
from mindspore import nn  # noqa: E402
from src.batches import Batches  # noqa: E402
from src.data import Data, load_data  # noqa: E402
from src.errors import InputError, run_script  # noqa: E402
from src.models import build  # noqa: E402

__all__ = ["Batches", "InputError", "learning_rate", "load_images", "make_network", "read_settings", "run_script",
           "set_up"]
DEFAULT = "resnet50_cifar10.yaml"


def read_settings(about: str | None) -> SimpleNamespace:
    """The example's YAML file, over it the file of `--config_path`, over it the command line.

    A file may have keys that these scripts do not know, as the model zoo's files do; they are named and left alone.
    """
    parser = argparse.ArgumentParser(description=about, allow_abbrev=False)
    parser.add_argument("--config_path", default=DEFAULT, help=f"YAML file; default {DEFAULT}")
    known = _read(FOLDER / DEFAULT)
    for key, value in known.items():
        parser.add_argument(f"--{key}", metavar="VALUE", help=f"default {value}")
    given = {key: value for key, value in vars(parser.parse_args()).items() if value is not None}
    name = given.pop("config_path")
    path = next((path for path in (Path(name), FOLDER / name) if path.is_file()), None)
    if path is None:
        raise InputError(f"config_path {name!r} is no file")
    values = _read(path)
    strange = sorted(values.keys() - known.keys())
    if strange:
        print(f"{path.name} has keys that are not used here: {', '.join(strange)}")
    values = {key: value for key, value in values.items() if key in known}
    values |= {key: yaml.safe_load(value) for key, value in given.items()}
    return SimpleNamespace(**{key: _typed(key, value, known[key]) for key, value in (known | values).items()})


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} must be a mapping of keys to values")
    return values


def _typed(key: str, value: Any, default: Any) -> Any:
    """A number where the default is one; the empty text that the model zoo's files have for "none" is None."""
    if value in ("", None):
        return None
    if isinstance(default, (int, float)):
        try:
            return type(default)(value)
        except (TypeError, ValueError):
            raise InputError(f"{key} must be a number such as {default}, but got {value!r}") from None
    return value


def set_up(config: SimpleNamespace) -> None:
    """Device, mode, seed."""
    ms.set_device(config.device_target)
    ms.set_context(mode=ms.GRAPH_MODE if config.mode_name == "GRAPH" else ms.PYNATIVE_MODE)
    ms.set_seed(config.seed)


def load_images(config: SimpleNamespace) -> Data:
    """CIFAR-10, or the digits."""
    if config.dataset != "cifar10":
        raise InputError(f"dataset must be cifar10 here, but got {config.dataset!r}; examples/mindcv_prune takes image "
                         "folders")
    return load_data(config.data_path)


def make_network(config: SimpleNamespace) -> nn.Cell:
    """The network with initial weights."""
    return build(config.net_name, config.class_num)


def learning_rate(init: float, end: float, top: float, config: SimpleNamespace, epochs: int, steps: int,
                  decay: str) -> ms.Tensor:
    """One number for each step: linear from `init` to `top` in the warm-up, then down to `end`.

    Args:
        init, end, top: as in the file.
        config: `warmup_epochs` and `start_epoch` are read.
        epochs, steps: epochs, and steps in each.
        decay: `"cosine"` or `"poly"` (the square of what is left).
    """
    warm = config.warmup_epochs * steps
    left = 1 - np.arange(epochs * steps - warm) / max(epochs * steps - warm, 1)
    shape = (1 - np.cos(np.pi * left)) / 2 if decay == "cosine" else left ** 2
    rising = init + (top - init) * np.arange(1, warm + 1) / max(warm, 1)
    rates = np.concatenate([rising, end + (top - end) * shape]).astype(np.float32)
    return ms.Tensor(rates[config.start_epoch * steps:])
