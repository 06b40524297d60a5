"""Configuration: a YAML file, and every key of it on the command line as `--key value`."""
from __future__ import annotations

import argparse
import difflib
import math
import reprlib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import yaml

from src.errors import InputError

_SHOWN = 500  # letters of what is wrong
CONFIG_FOLDER = Path(__file__).resolve().parent.parent / "config"


def _key(default: Any, text: str, *choices: str) -> Any:
    if isinstance(default, (dict, list)):
        return field(default_factory=default.copy, metadata={"help": text, "choices": choices})
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class Config:
    """All keys of the four scripts; each script reads what it needs. Printed by `train.py --help`."""

    net: str = _key("resnet20", "network: resnet18, resnet20, resnet50 or resnet56")
    device_target: str = _key("CPU", "where it runs", "CPU", "GPU", "Ascend")
    mode: str = _key("GRAPH", "how MindSpore runs it", "GRAPH", "PYNATIVE")
    seed: int = _key(1, "seed of initial weights, batches, augmentation and knockoffs")
    output_path: str = _key("output", "folder for checkpoints and exported files")
    results_json: str | None = _key(None, "file for the results of train.py")
    snapshot_steps: int = _key(500, "train.py notes how it stands every so many steps, and at the end of each epoch, "
                                    "and goes on from there when it was interrupted; 0: at the end of stages only")

    data_path: str | None = _key(None, "folder with CIFAR-10's data_batch_*.bin; without it: scikit-learn's digits")
    image_size: int = _key(32, "pixels; images are scaled up to it")
    augment: str = _key("auto", "auto is crop_flip for CIFAR-10, crop for digits", "auto", "none", "crop", "crop_flip")
    holdout: int = _key(0, "the last so many training images are kept out of training")
    eval_on: str = _key("test", "images that accuracies are measured on", "test", "holdout")
    train_images: int = _key(0, "use only the first so many training images; 0: all")
    eval_images: int = _key(0, "use only the first so many evaluation images; 0: all")
    batch_size: int = _key(128, "images in a training step")
    eval_batch_size: int = _key(500, "images in an evaluation step")

    pretrained: str | None = _key(None, "checkpoint of the dense network; without it it is trained from scratch")
    epochs: int = _key(0, "epochs of training from scratch")
    lr: float = _key(0.1, "peak learning rate of training from scratch")
    warmup_epochs: float = _key(0.0, "epochs of linear warm-up when training from scratch")
    momentum: float = _key(0.9, "Nesterov momentum")
    weight_decay: float = _key(5e-4, "weight decay, not on BatchNorm's gamma and beta")

    criterion: str = _key("scop", "which channels go", "scop", "knockoff", "l1", "random")
    kf_epochs: int = _key(1, "epochs of the knockoff phase (scop)")
    kf_steps: int = _key(0, "steps of the knockoff phase instead of kf_epochs; 0: use kf_epochs")
    kf_optimizer: str = _key("adam", "optimizer of the knockoff scales", "adam", "sgd")
    kf_lr: float = _key(0.004, "learning rate of the knockoff scales")
    kf_schedule: str = _key("cosine", "learning rate of the knockoff scales over the steps", "cosine", "constant")
    kf_config: dict[str, Any] = _key({}, "more keys for PrunerKfCompressAlgo, as a YAML mapping")

    prune_rate: float | None = _key(None, "share of the channels that goes, in [0, 1)")
    target_macs: float | None = _key(None, "share of the MACs that is left, instead of prune_rate; met within 0.02")
    residual: str = _key("keep", "keep: residual streams stay whole; couple: all their writers lose the same channels",
                         "keep", "couple")
    rates: dict[str, Any] = _key({}, "rates of single layers: {cell name pattern: rate}")
    ignore: list[Any] = _key([], "cell name patterns that are left alone")
    round_to: int = _key(1, "kept channels are a multiple of it")
    min_channels: int = _key(1, "channels that a layer keeps at least")
    ft_config: dict[str, Any] = _key({}, "more keys for PrunerFtCompressAlgo, as a YAML mapping")
    recalibrate_steps: int = _key(40, "batches that BatchNorm statistics are measured on after pruning; 0: none")

    fine_tune: str = _key("slim", "network that is fine-tuned; both get the same gradients, slim is faster",
                          "slim", "masked")
    ft_epochs: int = _key(4, "epochs of fine-tuning; 0: none")
    ft_lr: float = _key(0.01, "learning rate of fine-tuning at its start; cosine to 0 over all steps")
    ft_teacher: float = _key(0.5, "share of the dense network's answers in the loss of fine-tuning; 0: no teacher")

    export: bool = _key(True, "train.py exports the dense and the slim MindIR and times them")
    latency_runs: int = _key(50, "timed runs of each exported network, batch 1")
    checkpoint_path: str | None = _key(None, "eval.py, export.py: masked checkpoint, slim file or dense checkpoint")
    kind: str = _key("slim", "eval.py, export.py: what checkpoint_path holds", "slim", "masked", "dense")
    file_name: str = _key("output/resnet", "export.py: name of the exported file, without ending")
    file_format: str = _key("MINDIR", "export.py: format", "MINDIR", "ONNX")
    mindir: str | None = _key(None, "infer.py: exported network")
    image_path: str | None = _key(None, "infer.py: an image, or a folder of images; without it: evaluation images")
    classes: str = _key("cifar10", "infer.py: names of the classes for images in image_path", "cifar10", "digits")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise InputError(message)


def parse_config(arguments: list[str], default_file: str, about: str) -> Config:
    """Read `--config_path`, then put the command line over it.

    Without it: the file of the network that `--net` names, where there is one, else `default_file`.

    Raises `InputError` for an unknown key, a value of the wrong type or a file that is not there.
    """
    parser = _Parser(description=about, allow_abbrev=False)
    parser.add_argument("--config_path", help=f"YAML file (default: that of --net, or {default_file})")
    for item in fields(Config):
        parser.add_argument(f"--{item.name}", metavar="VALUE", help=_help(item))
    given = {key: value for key, value in vars(parser.parse_args(arguments)).items() if value is not None}
    own = f"{given.get('net')}_cifar10.yaml"
    path = _find_config(given.pop("config_path", own if (CONFIG_FOLDER / own).is_file() else default_file))
    for key, other in (("prune_rate", "target_macs"), ("target_macs", "prune_rate")):
        if key in given:
            given.setdefault(other, None)
    return _checked(override(_read(path), given))


def override(config: Config, values: dict[str, Any], source: str = "command line") -> Config:
    """`config` with `values` in it; strings are read as the key's type. Raises `InputError`."""
    kinds = get_type_hints(Config)
    for key in values:
        if key not in kinds:
            near = difflib.get_close_matches(str(key), kinds, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"{source}: unknown key {key!r}{hint}")
    return replace(config, **{key: _convert(source, key, value, kinds[key]) for key, value in values.items()})


def _find_config(name: str) -> Path:
    for path in (Path(name), CONFIG_FOLDER / name):
        if path.is_file():
            return path
    raise InputError(f"config_path {name!r} is no file; those that come with the example: "
                     + ", ".join(sorted(path.name for path in CONFIG_FOLDER.glob("*.yaml"))))


def _read(path: Path) -> Config:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that there is not is a ValueError
        raise InputError(f"{path}: not YAML: {str(error)[:_SHOWN]}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: must be a mapping of keys to values")
    return override(Config(), values, str(path))


def _convert(source: str, key: str, value: Any, kind: Any) -> Any:
    options = get_args(kind) if NoneType in get_args(kind) else (kind,)
    if NoneType in options and (
            value is None or (isinstance(value, str) and value.lower() in ("none", "null", ""))):
        return None
    wanted = next(option for option in options if option is not NoneType)
    base = {"dict": dict, "list": list}.get(getattr(wanted, "__name__", ""), wanted)
    try:
        return _as_type(value, base)
    except (ValueError, TypeError, OverflowError, RecursionError, yaml.YAMLError):
        raise InputError(f"{source}: {key} must be {base.__name__}, but got {reprlib.repr(value)}") from None


def _as_type(value: Any, base: type) -> Any:
    if base in (dict, list, bool) and isinstance(value, str):
        value = yaml.safe_load(value)
    if base is str:
        if isinstance(value, (dict, list, set, tuple)):
            raise TypeError
        return str(value)
    if base in (int, float):
        if isinstance(value, bool):
            raise TypeError
        if base is int and float(value) != int(float(value)):
            raise ValueError
        if not math.isfinite(float(value)):
            raise ValueError
        return base(float(value))
    if not isinstance(value, base):
        raise TypeError
    return value


def _help(item: Any) -> str:
    choices = f" ({' | '.join(item.metadata['choices'])})" if item.metadata["choices"] else ""
    return item.metadata["help"].replace("%", "%%") + choices


def _checked(config: Config) -> Config:
    for item in fields(Config):
        choices, value = item.metadata["choices"], getattr(config, item.name)
        if choices and value not in choices:
            raise InputError(f"{item.name} must be one of {', '.join(choices)}, but got {value!r}")
    if config.prune_rate is not None and config.target_macs is not None:
        raise InputError("give prune_rate or target_macs, not both (the other can be set to none)")
    if config.prune_rate is not None and not 0 <= config.prune_rate < 1:
        raise InputError(f"prune_rate must be in [0, 1), but got {config.prune_rate}")
    if config.target_macs is not None and not 0 < config.target_macs < 1:
        raise InputError(f"target_macs must be in (0, 1), but got {config.target_macs}")
    if not 0 <= config.ft_teacher <= 1:
        raise InputError(f"ft_teacher must be in [0, 1], but got {config.ft_teacher}")
    if config.eval_on == "holdout" and config.holdout == 0:
        raise InputError("eval_on is holdout, but holdout is 0; try --holdout 5000")
    for pattern, rate in config.rates.items():
        if not isinstance(rate, (int, float)) or not 0 <= rate < 1:
            raise InputError(f"rates must be in [0, 1), but {pattern!r} has {rate!r}")
    for key in ("batch_size", "eval_batch_size", "image_size", "round_to", "min_channels", "latency_runs"):
        if getattr(config, key) < 1:
            raise InputError(f"{key} must be at least 1, but got {getattr(config, key)}")
    for key in ("epochs", "kf_epochs", "kf_steps", "ft_epochs", "holdout", "train_images", "eval_images",
                "recalibrate_steps", "snapshot_steps"):
        if getattr(config, key) < 0:
            raise InputError(f"{key} must not be negative, but got {getattr(config, key)}")
    return config
