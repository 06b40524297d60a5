"""One file for a slim network: its weights and the plan that rebuilds its architecture."""

import os
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import parameters_by_name
from mindspore_gs.errors import CheckpointError, PlanError, first_line
from mindspore_gs.record import has_record
from mindspore_gs.slim import PrunePlan
from mindspore_gs.slim.slimming import slice_network

_PLAN = "mindspore_gs.plan"


def load_parameters(net: nn.Cell, values: Mapping[str, ms.Tensor], path: str | os.PathLike) -> nn.Cell:
    """Set the parameters of ``net`` from a checkpoint that must fit it exactly; ``net`` changes only if it does.

    Args:
        net: the network, which is returned.
        values: what :func:`read_checkpoint` gave. Names may have a prefix, as a user's own loss cell gives them.
        path: the file, for messages.

    Raises:
        CheckpointError: a parameter is missing, or a shape differs.
    """
    own = parameters_by_name(net)
    values = _without_prefix(values, own)
    _check_complete(own, values, path)
    for name, parameter in own.items():
        if tuple(values[name].shape) != tuple(parameter.shape):
            raise CheckpointError(f"{path} has shape {tuple(values[name].shape)} for {name!r}, but the network has "
                                  f"{tuple(parameter.shape)}; it belongs to another network.")
    for name, parameter in own.items():
        parameter.set_data(ms.Tensor(values[name].asnumpy(), parameter.dtype))
    return net


def fits_masks(net: nn.Cell, values: Mapping[str, ms.Tensor], path: str | os.PathLike) -> dict[str, ms.Tensor]:
    """The entries of a masked checkpoint, with masks of ones for the layers of ``net`` that it has no mask for.

    Raises:
        CheckpointError: it has masks for layers that have none in ``net``.
    """
    own = parameters_by_name(net)
    values = _without_prefix(values, own)
    _check_complete([name for name in own if not is_mask(name)], values, path)
    strangers = [name for name in values if name.endswith(".out_index") and name not in own]
    if strangers:
        raise CheckpointError(f"{path} masks {strangers[0]!r}, which the network does not; it was made with another "
                              "'residual' option, give the same one here.")
    ones = {name: ms.Tensor(np.ones(p.shape, np.int32)) for name, p in own.items() if is_mask(name)}
    return {**ones, **values}


def _check_complete(own: Collection[str], values: Mapping[str, ms.Tensor], path: str | os.PathLike) -> None:
    missing = [name for name in own if name not in values]
    if missing:
        raise CheckpointError(f"{path} has no entry for {missing[0]!r} ({len(missing)} of {len(own)} are missing); "
                              "it belongs to another network.")


def is_mask(name: str) -> bool:
    """Whether a parameter's name is that of a mask.

    >>> is_mask("layer1.0.conv1.out_index"), is_mask("fc.mask"), is_mask("fc.weight")
    (True, True, False)
    """
    last = name.rsplit(".", 1)[-1]
    return last in ("out_index", "mask") or last.startswith("mask_of_")


def _without_prefix(values: Mapping[str, ms.Tensor], own: Iterable[str]) -> dict[str, ms.Tensor]:
    """The entries under the names of the constructor, where they all have one prefix in front."""
    own = [name for name in own if not is_mask(name)]
    prefixes = {key[:-len(name)] for name in own[:1] for key in values if key == name or key.endswith("." + name)}
    best = max(sorted(prefixes, key=len), key=lambda prefix: sum(prefix + name in values for name in own), default="")
    return {key.removeprefix(best): value for key, value in values.items() if key.startswith(best)}


def read_checkpoint(path: str | os.PathLike) -> dict[str, ms.Parameter]:
    """The entries of a checkpoint.

    Raises:
        CheckpointError: the file cannot be read.
    """
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
        CheckpointError: ``net`` is not slim (it is dense, a knockoff network or a masked one), or the file
            cannot be written.
    """
    if not isinstance(net, nn.Cell):
        raise TypeError(f"save_pruned() takes a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    if has_record(net):
        raise CheckpointError(f"{type(net).__name__} has knockoffs or masks; save the network that convert() returns. "
                              "mindspore.save_checkpoint saves a masked network.")
    plan = plan or plan_of(net)
    path = Path(path)
    path = path if path.suffix == ".ckpt" else path.with_name(path.name + ".ckpt")
    entries = [{"name": name, "data": ms.Tensor(p.asnumpy(), p.dtype)} for name, p in parameters_by_name(net).items()]
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
    values = read_checkpoint(path)
    if _PLAN not in values:
        raise CheckpointError(f"{path} has no plan inside; it was not written by save_pruned().")
    net = constructor()
    if not isinstance(net, nn.Cell):
        raise TypeError(f"the constructor must return a mindspore.nn.Cell, but returned {type(net).__name__!r}.")
    try:
        plan = PrunePlan.from_json(values[_PLAN].asnumpy().astype(np.uint8).tobytes().decode())
        small = slice_network(net, plan.since(vars(net).get("prune_plan")))
        small.prune_plan = plan
    except (PlanError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} does not fit {type(net).__name__}: {error}") from error
    return load_parameters(small, values, path)
