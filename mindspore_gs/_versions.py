"""What differs between the versions of MindSpore that are supported, and of what they are built on."""

from collections.abc import Iterable
from typing import Any

import mindspore as ms

from mindspore_gs._cells import in_mode

_FORGETS_FROZEN = (2, 7)  # and before


def read_note(model: Any, key: str) -> str | None:
    """What a MindIR file holds under a key of its ``user_info``; None where there is nothing.

    Up to MindSpore 2.9 the file's description is of an old kind. With protobuf 4 and later the field then reads as a
    list of pairs and not as a map; the bytes of a file are the same.

    Args:
        model: a ``ModelProto``.
        key: the key.
    """
    if hasattr(model.user_info, "get"):
        found: str | None = model.user_info.get(key)
        return found
    return next((pair.value for pair in model.user_info if pair.key == key), None)


def write_note(model: Any, key: str, value: str) -> None:
    """Put something under a key of a MindIR file's ``user_info``, in the place of what was there.

    Args:
        model: a ``ModelProto``.
        key: the key.
        value: the text.
    """
    if hasattr(model.user_info, "get"):
        model.user_info[key] = value
        return
    found = next((pair for pair in model.user_info if pair.key == key), None)
    found = model.user_info.add(key=key) if found is None else found
    found.value = value


def remember_trainable(parameters: Iterable[ms.Parameter]) -> None:
    """Prepare parameters to be frozen for a while; call it before.

    Up to MindSpore 2.7, a parameter that is frozen when PyNative mode first computes a gradient with it has the
    gradient zero ever after, also when it is no longer frozen. One gradient before, of whatever, prevents that. Later
    versions need nothing, and nothing is done with them.

    Args:
        parameters: those that shall train again later.
    """
    weights = [p for p in parameters if p.requires_grad]
    if version_of(ms.__version__) > _FORGETS_FROZEN or not weights:
        return

    def total(one: ms.Tensor) -> ms.Tensor:
        return sum((weight.sum() * one for weight in weights), one)

    with in_mode(ms.PYNATIVE_MODE):
        ms.grad(total, None, weights)(ms.Tensor(1.0))


def version_of(text: str) -> tuple[int, int]:
    """Major and minor number of a version: ``"2.10.0"`` gives ``(2, 10)``."""
    major, minor = text.split(".")[:2]
    return int(major), int(minor)
