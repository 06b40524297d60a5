"""One file for a slim network: its weights and the plan that rebuilds its architecture."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs.errors import CheckpointError, PlanError, first_line
from mindspore_gs.slim import PrunePlan
from mindspore_gs.slim.slim import slice_network

_PLAN = "mindspore_gs.plan"


def load_parameters(net: nn.Cell, path: str | os.PathLike) -> None:
    """Load a checkpoint that must fit ``net`` exactly; ``net`` changes only if it does.

    Raises:
        CheckpointError: the file cannot be read, a parameter is missing, or a shape differs.
    """
    values = _read(path)
    own = {p.name: p for p in net.get_parameters()}
    missing = [name for name in own if name not in values]
    if missing:
        raise CheckpointError(f"{path} has no entry for {missing[0]!r} ({len(missing)} of {len(own)} are missing); "
                              "it belongs to another network.")
    strangers = [name for name in values if name.endswith(".out_index") and name not in own]
    if strangers:
        raise CheckpointError(f"{path} masks {strangers[0]!r}, which the network does not; it was made with another "
                              "'residual' or 'ignore' option, give the same one here.")
    for name, parameter in own.items():
        if tuple(values[name].shape) != tuple(parameter.shape):
            raise CheckpointError(f"{path} has shape {tuple(values[name].shape)} for {name!r}, but the network has "
                                  f"{tuple(parameter.shape)}; it belongs to another network.")
    for name, parameter in own.items():
        parameter.set_data(ms.Tensor(values[name].asnumpy(), parameter.dtype))


def _read(path: str | os.PathLike) -> dict[str, ms.Parameter]:
    if not Path(path).is_file():
        raise CheckpointError(f"there is no checkpoint at {path}.")
    try:
        return ms.load_checkpoint(str(path))
    except Exception as error:
        raise CheckpointError(f"{path} is no readable MindSpore checkpoint: {first_line(error)}") from error


def save_pruned(net: nn.Cell, path: str | os.PathLike, plan: PrunePlan | None = None) -> Path:
    """Store a slim network in one file.

    Args:
        net: what ``PrunerFtCompressAlgo.convert`` or :func:`mindspore_gs.slim.slim` returned, trained on or not.
        path: the file; ``.ckpt`` is appended where it is missing. It is replaced only once it is complete.
        plan: the plan that made ``net``. Default: the one that ``net`` carries.

    Returns:
        Path of the file.

    Raises:
        TypeError: ``net`` is not a Cell.
        CheckpointError: ``net`` is not slim, or the file cannot be written.
    """
    if not isinstance(net, nn.Cell):
        raise TypeError(f"save_pruned() takes a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    plan = plan or plan_of(net)
    path = Path(path)
    path = path if path.suffix == ".ckpt" else path.with_name(path.name + ".ckpt")
    entries = [{"name": p.name, "data": ms.Tensor(p.asnumpy(), p.dtype)} for p in net.get_parameters()]
    text = np.frombuffer(plan.to_json().encode(), np.uint8)
    entries.append({"name": _PLAN, "data": ms.Tensor(text.astype(np.int32))})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            draft = Path(folder) / path.name
            ms.save_checkpoint(entries, str(draft))
            draft.chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)
            draft.replace(path)
    except Exception as error:
        raise CheckpointError(f"{path} cannot be written: {first_line(error)}") from error
    return path


def plan_of(net: nn.Cell) -> PrunePlan:
    """The plan that a slim network carries.

    Raises:
        CheckpointError: it carries none.
    """
    plan = vars(net).get("prune_plan")
    if not isinstance(plan, PrunePlan):
        raise CheckpointError(f"{type(net).__name__} carries no plan; save the network that convert() or slim() "
                              "returned, or pass its plan.")
    return plan


def load_pruned(constructor: Callable[[], nn.Cell], path: str | os.PathLike) -> nn.Cell:
    """Rebuild a slim network from the constructor of the original one and the file of :func:`save_pruned`.

    Args:
        constructor: builds the original network at full width; its weights do not matter.
        path: the file.

    Returns:
        The slim network.

    Raises:
        TypeError: ``constructor`` cannot be called or does not return a Cell.
        CheckpointError: the file cannot be read, has no plan, or belongs to another network.
    """
    if isinstance(constructor, nn.Cell) or not callable(constructor):
        raise TypeError("load_pruned() takes a function that builds the original network, such as "
                        f"'lambda: resnet20()', but got {type(constructor).__name__!r}.")
    values = _read(path)
    if _PLAN not in values:
        raise CheckpointError(f"{path} has no plan inside; it was not written by save_pruned().")
    net = constructor()
    if not isinstance(net, nn.Cell):
        raise TypeError(f"the constructor must return a mindspore.nn.Cell, but returned {type(net).__name__!r}.")
    try:
        plan = PrunePlan.from_json(values[_PLAN].asnumpy().astype(np.uint8).tobytes().decode())
        small = slice_network(net, plan)
    except (PlanError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} does not fit {type(net).__name__}: {error}") from error
    load_parameters(small, path)
    return small
