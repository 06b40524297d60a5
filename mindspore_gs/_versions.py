"""What differs between the versions of MindSpore that are supported, and of what they are built on."""

from typing import Any


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
