"""One file for a slim network: its weights and the plan that rebuilds its architecture."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import parameters_by_name
from mindspore_gs._checkpoint_file import DamagedError, check_file
from mindspore_gs._constructor import built_by, check_constructor
from mindspore_gs._files import checked_path, whole_file
from mindspore_gs._finite import check_finite, check_finite_values
from mindspore_gs._precision import say_what_no_file_holds
from mindspore_gs._scratch import nothing_left_behind
from mindspore_gs.errors import CheckpointError, PlanError, first_line
from mindspore_gs.record import FORMS, forms_of, has_record, refuse_begun, refuse_forms
from mindspore_gs.slim import PrunePlan
from mindspore_gs.slim.carried import carried_plan, network_with_plan, set_plan
from mindspore_gs.slim.fits import check_made_by
from mindspore_gs.slim.slimming import slice_network

_PLAN = "mindspore_gs.plan"
_FORMS = "mindspore_gs.forms"
_BUILDERS = {
    "plain": "lambda: plain_network(build(), shape)",
    "rounded": "lambda: load_quantized(build, \"full.slb\")",
}
_INSTEAD = {
    "slim": "load_pruned() reads this file.",
    "knockoff": "Load it into the knockoff network, and apply PrunerFtCompressAlgo to that.",
    "dense": "Load it with mindspore.load_checkpoint(), apply a pruner, and convert what apply() returns.",
    "masked": "convert() makes it small: convert(net, path), with a network like the original one.",
}


def load_parameters(net: nn.Cell, values: Mapping[str, ms.Tensor], path: str | os.PathLike) -> nn.Cell:
    """Set the parameters of ``net`` from a checkpoint that must fit it exactly; ``net`` changes only if it does.

    Args:
        net: the network, which is returned.
        values: what :func:`read_checkpoint` gave. Names may have a prefix, as a user's own loss cell gives them.
        path: the file, for messages.

    Raises:
        CheckpointError: a parameter is missing, a shape differs, or a number is not finite.
    """
    own = parameters_by_name(net)
    values = _without_prefix(values, own)
    _check_complete(own, values, path)
    for name, parameter in own.items():
        if tuple(values[name].shape) != tuple(parameter.shape):
            raise CheckpointError(f"{path} has shape {tuple(values[name].shape)} for {name!r}, but the network has "
                                  f"{tuple(parameter.shape)}; it belongs to another network.")
    check_finite_values(net, values, path)
    for name, parameter in own.items():
        parameter.set_data(ms.Tensor(values[name].asnumpy(), parameter.dtype))
    return net


def fits_masks(net: nn.Cell, values: Mapping[str, ms.Tensor], path: str | os.PathLike) -> dict[str, ms.Tensor]:
    """The entries of a masked checkpoint, with masks of ones for the layers of ``net`` that it has no mask for.

    Raises:
        CheckpointError: it has no masks, masks for layers that have none in ``net``, or a damaged name.
    """
    kind = kind_of(values)
    if kind != "masked":
        raise CheckpointError(f"{path} holds a {kind} network, but the checkpoint of a masked one is needed. "
                              f"{_INSTEAD[kind]}")
    own = parameters_by_name(net)
    values = _without_prefix(values, own)
    _check_complete([name for name in own if not is_mask(name)], values, path)
    _check_names(own, values, path)
    strangers = [name for name in values if is_mask(name) and values[name].ndim == 1 and name not in own
                 and not _of_a_copy(name, own, values)]
    if strangers:
        raise CheckpointError(f"{path} masks {strangers[0]!r}, which the network does not; it was made with another "
                              "'residual' option or 'norms', give the same one here.")
    ones = {name: ms.Tensor(np.ones(p.shape, np.float32)) for name, p in own.items() if is_mask(name)}
    return {**ones, **values}


def _of_a_copy(mask: str, own: Mapping[str, ms.Parameter], values: Collection[str]) -> bool:
    """Whether an entry is one of further weights in the file: an average over steps, moments of an optimizer."""
    trained = [name for name, parameter in own.items() if parameter.requires_grad]
    return any(mask.endswith("." + name) and all(mask.removesuffix(name) + each in values for each in trained)
               for name in own if is_mask(name))


def _check_complete(own: Collection[str], values: Mapping[str, ms.Tensor], path: str | os.PathLike) -> None:
    missing = [name for name in own if name not in values]
    if missing:
        raise CheckpointError(f"{path} has no entry for {missing[0]!r} ({len(missing)} of {len(own)} are missing); "
                              "it belongs to another network.")


def _check_names(own: Iterable[str], values: Mapping[str, ms.Tensor], path: str | os.PathLike) -> None:
    """Refuse a file in which one letter of a mask's name is wrong: the mask would count as not there."""
    strangers = [name for name in values if name not in set(own)]
    for name in own:
        if name in values:
            continue
        for other in strangers:
            if len(other) == len(name) and sum(a != b for a, b in zip(other, name)) == 1:
                raise CheckpointError(f"{path} is damaged: it has an entry {other!r} where {name!r} is expected; copy "
                                      "it again, or save it again.")


def is_mask(name: str) -> bool:
    """Whether a parameter's name is that of a mask.

    >>> is_mask("layer1.0.conv1.out_index"), is_mask("fc.mask"), is_mask("fc.weight")
    (True, True, False)
    """
    last = name.rsplit(".", 1)[-1]
    return last in ("out_index", "mask") or last.startswith("mask_of_")


def _without_prefix(values: Mapping[str, ms.Tensor], own: Iterable[str]) -> dict[str, ms.Tensor]:
    """The entries under the names of the constructor, where they all have one prefix in front.

    Averages and moments of an optimizer have the same names behind a longer prefix.

    Raises:
        CheckpointError: there are several such networks, as of a student and a teacher.
    """
    own = [name for name in own if not is_mask(name)]
    prefixes = {key[:-len(name)] for name in own[:1] for key in values if key == name or key.endswith("." + name)}
    counts = {prefix: sum(prefix + name in values for name in own) for prefix in prefixes}
    fitting = [prefix for prefix in sorted(prefixes, key=len) if counts[prefix] == max(counts.values())]
    best = fitting[0] if fitting else ""
    others = [prefix for prefix in fitting if not prefix.endswith(best)]
    if others and counts[best] == len(own):
        raise CheckpointError(f"the checkpoint holds several networks, whose names begin with {best!r} and "
                              f"{others[0]!r}; save the one that is meant by itself.")
    return {key.removeprefix(best): value for key, value in values.items() if key.startswith(best)}


def read_checkpoint(path: str | os.PathLike) -> dict[str, ms.Parameter]:
    """The entries of a checkpoint.

    The sizes in the file are compared with its bytes, and its contents with its checksum where it was saved with
    ``crc_check=True``, before MindSpore reads it. :func:`save_pruned` saves with a checksum. What
    ``mindspore.save_checkpoint(net, path, format="safetensors")`` wrote, ``path.safetensors``, is read as well.

    Raises:
        TypeError, ValueError: ``path`` is no path of a file.
        CheckpointError: the file is not there, is damaged, or is no checkpoint.
    """
    path = checked_path("a checkpoint", "path", path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}.")
    try:
        if path.suffix == ".safetensors":
            return ms.load_checkpoint(str(path), format="safetensors")
        check_file(path)
        return ms.load_checkpoint(str(path))
    except DamagedError as error:
        raise CheckpointError(f"{path} {error}; copy it again, or save it again, not encrypted.") from error
    except Exception as error:
        raise CheckpointError(f"{path} is no readable MindSpore checkpoint: {first_line(error)}") from error


def kind_of(values: Iterable[str]) -> str:
    """What the entries of a checkpoint with these names are: a slim, masked, knockoff or dense network.

    Masks have one axis; a parameter of the user's that is called ``mask`` may have more.

    >>> kind_of(["conv.weight", "conv.out_index"]), kind_of(["conv.weight"])
    ('masked', 'dense')
    """
    names = list(values)
    if _PLAN in names:
        return "slim"
    masks = [name for name in names if is_mask(name)]
    if any(not isinstance(values, Mapping) or values[name].ndim == 1 for name in masks):
        return "masked"
    return "knockoff" if any(name.endswith(".kfscale") for name in names) else "dense"


def save_pruned(net: nn.Cell, path: str | os.PathLike, plan: PrunePlan | None = None) -> Path:
    """Store a slim network in one file, without the mixed precision that it may be under.

    Args:
        net: a slim network, as :func:`~mindspore_gs.prune` or an algorithm's ``convert`` returned it, and trained on
            or not; or a network in which such a one is a part. Of a cell with the loss around it, the network inside
            is stored.
        path: the file; ``.ckpt`` is appended where it is missing. It is replaced only once it is complete.
        plan: the plan that made ``net``. Default: the one that ``net`` carries.

    Returns:
        Path of the file.

    Raises:
        TypeError: ``net`` is not a Cell, ``path`` is no path, or ``plan`` is no plan.
        ValueError: ``path`` is empty or a folder.
        PruningError: a number of the network is not finite, or its weights are still searched by SLB.
        CheckpointError: ``net`` is not slim (it is dense, a knockoff network or a masked one), or the file
            cannot be written, or ``plan`` is another network's.
    """
    if not isinstance(net, nn.Cell):
        raise TypeError(f"save_pruned() takes a mindspore.nn.Cell, but got {type(net).__name__!r}.")
    if has_record(net):
        raise CheckpointError(f"{type(net).__name__} has knockoffs or masks; save the network that convert() returns. "
                              "mindspore.save_checkpoint saves a masked network.")
    refuse_begun("save_pruned()", net, CheckpointError)
    refuse_forms("save_pruned()", net, {
        "searched": "give it what convert() of SlbQuantAwareTraining returns. mindspore.save_checkpoint saves a "
                    "network that is searched."})
    if plan is not None and not isinstance(plan, PrunePlan):
        raise TypeError(f"for save_pruned(), 'plan' must be a PrunePlan or None, but got {type(plan).__name__!r}.")
    net = network_with_plan(net)
    try:
        plan = plan or plan_of(net)
        check_made_by(net, plan)
    except PlanError as error:
        raise CheckpointError(f"{error} Save the network that slim() or convert() returned, with its own plan."
                              ) from error
    check_finite(net, "save_pruned()")
    path = checked_path("save_pruned()", "path", path)
    path = checked_path("save_pruned()", "path", path if path.suffix == ".ckpt" else f"{path}.ckpt")
    entries = [{"name": name, "data": ms.Tensor(p.asnumpy(), p.dtype)} for name, p in parameters_by_name(net).items()]
    entries.append({"name": _PLAN, "data": _as_numbers(plan.to_json())})
    if forms_of(net):
        entries.append({"name": _FORMS, "data": _as_numbers(" ".join(forms_of(net).values()))})
    try:
        with whole_file(path) as draft, nothing_left_behind():
            ms.save_checkpoint(entries, str(draft), crc_check=True)
    except Exception as error:
        raise CheckpointError(f"{path} cannot be written: {first_line(error)}") from error
    say_what_no_file_holds(net, "load_pruned()")
    return path


def plan_of(net: nn.Cell) -> PrunePlan:
    """The plan that a slim network carries.

    Raises:
        CheckpointError: it carries none.
    """
    plan = carried_plan(net)
    if plan is None:
        raise CheckpointError(f"{type(net).__name__} carries no plan; save the network that convert() or slim() "
                              "returned, or pass its plan.")
    return plan


def load_pruned(constructor: Callable[[], nn.Cell], path: str | os.PathLike) -> nn.Cell:
    """Rebuild a slim network from the constructor of the original one and the file of :func:`save_pruned`.

    Args:
        constructor: builds the original network at full width; its weights do not matter. Where a network without
            shortcuts (:func:`~mindspore_gs.distill.plain_network`) was pruned, it builds that one:
            ``lambda: plain_network(build(), shape)``.
        path: the file.

    Returns:
        The slim network.

    Raises:
        TypeError: ``constructor`` cannot be called without arguments or does not return a Cell, or ``path`` is no path.
        ValueError: ``path`` is empty or a folder.
        CheckpointError: the file cannot be read, is damaged, has no plan, or belongs to another network.
    """
    check_constructor("load_pruned", constructor, "original")
    values = read_checkpoint(path)
    if _PLAN not in values:
        kind = kind_of(values)
        raise CheckpointError(f"{path} has no plan inside; it was not written by save_pruned(). It holds a {kind} "
                              f"network. {_INSTEAD[kind]}")
    net = built_by(constructor)
    if has_record(net):
        raise CheckpointError(f"the constructor must build the original network, but {type(net).__name__} has "
                              "knockoffs or masks.")
    refuse_begun("load_pruned()", net, CheckpointError)
    try:
        _check_forms(net, values, path)
        plan = PrunePlan.from_json(_text(values[_PLAN].asnumpy()))
        small = slice_network(net, plan.since(carried_plan(net)))
        set_plan(small, plan)
    except PlanError as error:
        raise CheckpointError(f"{path} does not fit {type(net).__name__}: {error}") from error
    return load_parameters(small, values, path)


def _check_forms(net: nn.Cell, values: Mapping[str, ms.Tensor], path: str | os.PathLike) -> None:
    """Refuse a constructor of the network as it was before the package took out shortcuts or put in rounding."""
    if _FORMS not in values:
        return
    missing = Counter(_text(values[_FORMS].asnumpy()).split()) - Counter(forms_of(net).values())
    for form in missing:
        raise CheckpointError(f"{path} holds {FORMS.get(form, form)}, which the constructor does not build; give one "
                              f"that does, such as {_BUILDERS.get(form, 'the one of the network that was saved')}.")


def _as_numbers(text: str) -> ms.Tensor:
    """Text as what a checkpoint can hold, one number for each byte."""
    return ms.Tensor(np.frombuffer(text.encode(), np.uint8).astype(np.int32))


def _text(numbers: np.ndarray) -> str:
    """What :func:`_as_numbers` was given."""
    if numbers.ndim != 1 or numbers.dtype.kind != "i" or numbers.min() < 0 or numbers.max() > 255:
        raise PlanError("the plan inside is no text.")
    try:
        return numbers.astype(np.uint8).tobytes().decode()
    except UnicodeDecodeError as error:
        raise PlanError("the plan inside is no text.") from error
