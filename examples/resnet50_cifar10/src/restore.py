"""Networks from the files that train.py writes."""
from __future__ import annotations

from mindspore import nn
from mindspore_gs import PrunerFtCompressAlgo, load_pruned

from src.config import Config
from src.errors import InputError
from src.files import load_checkpoint, read_checkpoint
from src.models import build
from src.pruning import knockoff_algorithm


def masked_network(config: Config, num_classes: int) -> nn.Cell:
    """Golden Stick's documented flow: apply both algorithms without a rate, then load the masked checkpoint."""
    net = build(config.net, num_classes)
    net = knockoff_algorithm(config).apply(net)
    net = PrunerFtCompressAlgo({}).apply(net)
    return load_checkpoint(net, _path(config))


def restore(config: Config, num_classes: int) -> nn.Cell:
    """What `checkpoint_path` holds, as `kind` says: the dense, the masked or the slim network."""
    if config.kind == "masked":
        return masked_network(config, num_classes)
    if config.kind == "dense":
        return load_checkpoint(build(config.net, num_classes), _path(config))
    read_checkpoint(_path(config))
    return load_pruned(lambda: build(config.net, num_classes), _path(config))


def deployable(config: Config, num_classes: int) -> nn.Cell:
    """As `restore`, but a masked network is made slim."""
    net = restore(config, num_classes)
    return PrunerFtCompressAlgo({}).convert(net) if config.kind == "masked" else net


def _path(config: Config) -> str:
    if config.checkpoint_path is None:
        raise InputError("give --checkpoint_path FILE (and --kind slim, masked or dense)")
    return config.checkpoint_path
