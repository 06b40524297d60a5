"""Settings: a YAML file, and every key of it on the command line as `--key value`."""
from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from mindspore_gs.errors import PruningError

FOLDER = Path(__file__).resolve().parent / "config"


class InputError(ValueError):
    """Something that the user gave is wrong; the message says what was got, the rule and the remedy."""


def run_script(main: Callable[[], None]) -> None:
    """Run `main`; a mistake in the input becomes one line on stderr and exit code 2."""
    try:
        main()
    except (InputError, PruningError) as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(2) from None


def _key(default: Any, text: str, *choices: Any) -> Any:
    about = {"help": text, "choices": choices or None}
    return field(default_factory=list, metadata=about) if default == [] else field(default=default, metadata=about)


@dataclass(frozen=True)
class Settings:
    """All keys. Printed by `prune.py --help`."""

    model: str = _key("resnet18", "name of a model in mindcv, such as mobilenet_v2_100")
    data: str = _key("", "an image folder (train/CLASS/*.jpg, val/CLASS/*.jpg), or the folder of CIFAR-10's .bin files")
    val_split: str = _key("val", "subfolder of an image folder that accuracy is measured on")
    image_size: int = _key(224, "height and width of what the network gets, in pixels")
    batch_size: int = _key(32, "images in a step")
    workers: int = _key(2, "threads that read images")
    out: str = _key("output", "folder for the files that are written")
    seed: int = _key(1, "of initial weights, batches and augmentation")
    device: str = _key("CPU", "where it runs", "CPU", "GPU", "Ascend")

    checkpoint: str = _key("", "trained weights of the model; a file that mindspore.save_checkpoint wrote")
    pretrained: bool = _key(False, "let mindcv fetch its weights; the last layer starts anew where the classes differ")
    epochs: int = _key(0, "epochs of training before pruning, from the checkpoint, pretrained or initial weights")
    lr: float = _key(0.05, "learning rate of that training; cosine to 0")

    macs: float = _key(0.5, "share of the multiply-accumulates that stays, in (0, 1)")
    criterion: str = _key("l1", "which channels matter: l1, l2, bn_gamma, fpgm, taylor, random, ...")
    residual: str = _key("couple", "what happens to residual streams", "couple", "keep", "inner")
    scope: str = _key("layer", "one rate for all layers, or all channels ranked together", "layer", "global")
    round_to: int = _key(1, "kept channels are a multiple of it; 8 is fast on many engines")
    min_channels: int = _key(1, "channels that a layer keeps at least")
    ignore: list[str] = _key([], "layers that stay whole; several with spaces between them")
    repair: str = _key("recalibrate", "what is done before fine-tuning: new BatchNorm statistics, or compensation, "
                                      "which also solves for weights", "recalibrate", "compensate", "none")
    repair_steps: int = _key(20, "batches that the repair, and a criterion that looks at data, see")

    ft_epochs: int = _key(5, "epochs of fine-tuning; 0: none")
    ft_lr: float = _key(0.01, "learning rate of fine-tuning; cosine to 0")
    teacher: float = _key(0.5, "share of the dense network's answers in the loss of fine-tuning; 0: labels alone")
    aux: float = _key(0.4, "weight of auxiliary outputs, which a few models have in training")
    momentum: float = _key(0.9, "Nesterov momentum")
    weight_decay: float = _key(1e-4, "weight decay, not on biases and BatchNorm")
    onnx: bool = _key(True, "write slim.onnx beside slim.mindir")


def read_settings(arguments: list[str], about: str | None) -> Settings:
    """The defaults, then the YAML file of `--config`, then the command line.

    Raises `InputError` for an unknown key, a value of the wrong type or out of range, or a file that is not there.
    """
    parser = _Parser(description=about, allow_abbrev=False)
    parser.add_argument("--config", help="YAML file, from anywhere or from the example's config folder")
    for item in fields(Settings):
        parser.add_argument(f"--{item.name}", help=_help(item), default=None, metavar="VALUE",
                            nargs="*" if _default(item) == [] else None)
    given = {key: value for key, value in vars(parser.parse_args(arguments)).items() if value is not None}
    values = _read(given.pop("config", None)) | given
    known = {item.name: item for item in fields(Settings)}
    strange = sorted(values.keys() - known.keys())
    if strange:
        raise InputError(f"unknown key {strange[0]!r}; the keys are {', '.join(known)}")
    return _checked(replace(Settings(), **{key: _typed(known[key], value) for key, value in values.items()}))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise InputError(message)


def _default(item: Field) -> Any:
    return item.default if item.default is not MISSING else []


def _help(item: Field) -> str:
    choices = f" ({' | '.join(item.metadata['choices'])})" if item.metadata["choices"] else ""
    return f"{item.metadata['help']}{choices}. Default: {_default(item)!r}".replace("%", "%%")


def _read(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    path = next((path for path in (Path(name), FOLDER / name) if path.is_file()), None)
    if path is None:
        raise InputError(f"there is no file {name!r}; the example has "
                         + ", ".join(sorted(found.name for found in FOLDER.glob("*.yaml"))))
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} must be a mapping of keys to values")
    return values


def _typed(item: Field, value: Any) -> Any:
    """`value` as the type of the key's default; text from the command line is read as YAML where it is no text."""
    kind = type(_default(item))
    if kind is not str and isinstance(value, str):
        value = yaml.safe_load(value)
    if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            value = float(value)  # YAML takes 1e-4 for text
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{item.name} must be {kind.__name__}, but got {value!r}")
    if item.metadata["choices"] and value not in item.metadata["choices"]:
        raise InputError(f"{item.name} must be one of {', '.join(item.metadata['choices'])}, but got {value!r}")
    return value


def _checked(settings: Settings) -> Settings:
    for key in ("image_size", "batch_size", "workers", "round_to", "min_channels", "repair_steps"):
        if getattr(settings, key) < 1:
            raise InputError(f"{key} must be at least 1, but got {getattr(settings, key)}")
    for key in ("epochs", "ft_epochs", "aux"):
        if getattr(settings, key) < 0:
            raise InputError(f"{key} must not be negative, but got {getattr(settings, key)}")
    if not 0 < settings.macs < 1:
        raise InputError(f"macs must be between 0 and 1, such as 0.5, but got {settings.macs}")
    if not 0 <= settings.teacher <= 1:
        raise InputError(f"teacher must be from 0 to 1, but got {settings.teacher}")
    if settings.checkpoint and settings.pretrained:
        raise InputError("give checkpoint or pretrained, not both")
    if not (settings.checkpoint or settings.pretrained or settings.epochs):
        raise InputError("the weights are those of an untrained network, which has nothing to prune away: give "
                         "--checkpoint FILE, --pretrained true, or --epochs N to train it first")
    return settings
