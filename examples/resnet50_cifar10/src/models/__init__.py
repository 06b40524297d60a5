"""The networks of the example, by the name that `--net` takes."""
from __future__ import annotations

from collections.abc import Callable

from mindspore import nn

from src.errors import InputError
from src.models.resnet import resnet18, resnet50
from src.models.resnet_cifar import resnet20, resnet56

NETWORKS: dict[str, Callable[..., nn.Cell]] = {
    "resnet18": resnet18, "resnet20": resnet20, "resnet50": resnet50, "resnet56": resnet56}


def build(name: str, num_classes: int = 10) -> nn.Cell:
    """A fresh network. Raises `InputError` for a name that is not in `NETWORKS`."""
    if name not in NETWORKS:
        raise InputError(f"net is {name!r}, but must be one of {', '.join(NETWORKS)}")
    return NETWORKS[name](num_classes=num_classes)
