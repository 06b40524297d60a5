"""Files that are whole or not there: everything is written beside its place first, then renamed."""
from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import nn
from mindspore_gs._files import whole_file
from mindspore_gs.checkpoint import read_checkpoint as gs_read_checkpoint
from mindspore_gs.errors import CheckpointError

from src.errors import InputError


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Call `write` with a temporary path that keeps the name, then put the result in place of `path`.

    What an interrupted run has left of `path` is removed.
    """
    with whole_file(path) as draft:
        write(draft)
    return path


def save_json(path: str | Path, values: dict[str, Any]) -> Path:
    """Write `values`, indented."""
    text = json.dumps(values, indent=2, default=str) + "\n"
    return write_whole(Path(path), lambda place: place.write_text(text, encoding="utf-8"))


def save_checkpoint(net: nn.Cell, path: Path) -> Path:
    """Write the parameters of `net`."""
    return write_whole(path, lambda place: ms.save_checkpoint(net, str(place), crc_check=True))


def save_entries(entries: Mapping[str, ms.Tensor], path: Path) -> Path:
    """Write tensors by their names, as a checkpoint."""
    listed = [{"name": name, "data": value} for name, value in entries.items()]
    return write_whole(path, lambda place: ms.save_checkpoint(listed, str(place), crc_check=True))


def load_checkpoint(net: nn.Cell, path: str) -> nn.Cell:
    """Put the parameters of `path` into `net`, all of them and nothing else. Raises `InputError`."""
    values = read_checkpoint(path)
    own = {parameter.name: parameter for parameter in net.get_parameters()}
    missing = sorted(own.keys() - values.keys())
    foreign = sorted(values.keys() - own.keys())
    if missing or foreign:
        what, names = ("lacks", missing) if missing else ("has what the network does not know:", foreign)
        raise InputError(f"{path} does not fit this network: it {what} {names[0]}"
                         + (f" and {len(names) - 1} more" if len(names) > 1 else ""))
    for name, parameter in own.items():
        if tuple(parameter.shape) != tuple(values[name].shape):
            raise InputError(f"{path} does not fit this network: {name} is {tuple(values[name].shape)} in the file and "
                             f"{tuple(parameter.shape)} in the network")
    ms.load_param_into_net(net, values, strict_load=True)
    return net


def read_checkpoint(path: str) -> dict[str, ms.Parameter]:
    """The parameters in a checkpoint file, which is compared with its sizes and its checksum first.

    Raises `InputError` where there is none, or where it is damaged.
    """
    if not Path(path).is_file():
        raise InputError(f"checkpoint {path!r} is no file")
    try:
        return gs_read_checkpoint(path)
    except CheckpointError as error:
        raise InputError(str(error)) from error
