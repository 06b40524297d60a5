"""Which channels stay: a plan is everything that is needed to make a network slim, without tracing it again."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from mindspore_gs.errors import PlanError
from mindspore_gs.graph import ChannelGraph, Group
from mindspore_gs.graph.restores import places_name, restore_path
from mindspore_gs.slim.plan_text import FORMAT, check_positions, read_document, with_checksum


@dataclass(frozen=True)
class Keep:
    """The positions that stay along one axis of one parameter.

    Attributes:
        parameter: name of the parameter.
        axis: axis along which it is sliced.
        size: length of that axis before.
        indices: the positions that stay, ascending.
    """

    parameter: str
    axis: int
    size: int
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Restore:
    """A writer whose slim output is put back to full width, removed channels being zero.

    Attributes:
        cell: path of the cell behind which the output is restored (the BatchNorm, or the convolution without one).
        size: number of channels before.
        indices: the channels that the slim cell computes, ascending.
        axis: where they lie in its output: 1, or -1 (the last axis) behind a dense layer.
    """

    cell: str
    size: int
    indices: tuple[int, ...]
    axis: int = 1


    @property
    def inside(self) -> str:
        """Path of the RestoreChannels in the slim network, where a SequentialCell of both takes the cell's place."""
        return f"{self.cell}.1"


@dataclass(frozen=True)
class PrunePlan:
    """What stays of a network: made by :meth:`from_groups`, carried out by :func:`mindspore_gs.slim.slim`.

    Attributes:
        keeps: what stays of each parameter that loses something.
        restores: the outputs that are put back to full width (``residual="keep"``).
        grouped: for each depthwise convolution that shrinks (by weight), its number of groups afterwards.
        zeros: (parameter, axis) whose removed entries are zero in the masked network.
        inputs: (shape, type) of the inputs that the network was traced with; the self-check uses them.
        attributes: (path of a cell of the user's, attribute, value) for each attribute that holds a number of channels.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs.graph import trace
        >>> net = nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> graph = trace(net, (1, 3, 16, 16))
        >>> plan = PrunePlan.from_groups(graph, {graph.groups()[0]: [True] * 6 + [False] * 2})
        >>> PrunePlan.from_json(plan.to_json()) == plan
        True
    """

    keeps: tuple[Keep, ...] = ()
    restores: tuple[Restore, ...] = ()
    grouped: Mapping[str, int] = field(default_factory=dict)
    zeros: tuple[tuple[str, int], ...] = ()
    inputs: tuple[tuple[tuple[int, ...], str], ...] = ()
    attributes: tuple[tuple[str, str, int], ...] = ()

    def __post_init__(self) -> None:
        for name, kind in (("keeps", Keep), ("restores", Restore)):
            found = getattr(self, name)
            if not isinstance(found, tuple) or not all(isinstance(one, kind) for one in found):
                raise TypeError(f"For 'PrunePlan', the '{name}' must be a tuple of {kind.__name__}, but got "
                                f"{found!r:.100}.")

    @classmethod
    def from_groups(cls, graph: ChannelGraph, keep: Mapping[Group, Iterable[bool]]) -> "PrunePlan":
        """Plan the removal of channels.

        Args:
            graph: the traced network.
            keep: for each group that loses channels, one truth value per channel: whether it stays.

        Raises:
            PlanError: a group is blocked, would lose all its channels, or gets the wrong number of values.
        """
        masks: dict[tuple[str, int], np.ndarray] = {}
        for group, stays in keep.items():
            stays = _checked(group, stays)
            for part in group.slices:
                mask = masks.setdefault((part.parameter, part.axis), _full(graph, part.parameter, part.axis))
                mask[part.indices[~stays].reshape(-1)] = False
        masks = {key: mask for key, mask in masks.items() if not mask.all()}
        for (parameter, _), mask in masks.items():
            if not mask.any():
                raise PlanError(f"nothing would be left of {parameter!r}; keep at least one channel of each layer.")
        keeps = tuple(Keep(name, axis, len(mask), _positions(mask)) for (name, axis), mask in sorted(masks.items()))
        cut = [weight for group in keep for weight in group.restored]
        restores = tuple(_restore(graph, weight, masks) for weight in cut if (weight, graph.outputs[weight]) in masks)
        grouped = {weight: int(masks[weight, 0].sum()) * groups // len(masks[weight, 0])
                   for weight, groups in graph.grouped.items() if (weight, 0) in masks}
        made = set(graph.outputs.items()) | graph.shifts
        zeros = tuple((k.parameter, k.axis) for k in keeps if (k.parameter, k.axis) in made)
        return cls(keeps, restores, grouped, zeros, graph.inputs, _attributes(graph, masks, cut))

    def kept(self, parameter: str, axis: int = 0) -> tuple[int, ...] | None:
        """The positions of ``parameter`` that stay along ``axis``; None where all of them do."""
        return next((k.indices for k in self.keeps if (k.parameter, k.axis) == (parameter, axis)), None)

    def then(self, later: "PrunePlan") -> "PrunePlan":
        """One plan for the original network that does what this plan and then ``later``, on its slim network, do.

        Raises:
            TypeError: ``later`` is no plan.
        """
        _check_plan("then", later)
        first = {(k.parameter, k.axis): k for k in self.keeps}
        keeps = dict(first)
        for keep in later.keeps:
            before = first.get((keep.parameter, keep.axis))
            if restore_path(keep.parameter) is None:
                keeps[keep.parameter, keep.axis] = keep if before is None else _compose(before, keep)
        moved = {restore_path(keep.parameter): keep.indices for keep in later.keeps}
        restores = tuple(r if (places := moved.get(r.inside)) is None
                         else replace(r, indices=tuple(r.indices[k] for k in places)) for r in self.restores)
        zeros = tuple(dict.fromkeys((*self.zeros, *((n, a) for n, a in later.zeros if restore_path(n) is None))))
        return PrunePlan(tuple(keeps[key] for key in sorted(keeps)), restores + later.restores,
                         {**self.grouped, **later.grouped}, zeros, later.inputs, _later(self, later))

    def since(self, earlier: "PrunePlan | None") -> "PrunePlan":
        """What is left to do of this plan on a network that ``earlier`` has been carried out on.

        Raises:
            TypeError: ``earlier`` is neither a plan nor None.
            PlanError: this plan does not continue ``earlier``.
        """
        if earlier is None:
            return self
        _check_plan("since", earlier)
        done = {(k.parameter, k.axis): k for k in earlier.keeps}
        if not done.keys() <= {(k.parameter, k.axis) for k in self.keeps}:
            raise PlanError("the plan does not continue the one that made the network; build the original network.")
        pairs = [(keep, done.get((keep.parameter, keep.axis))) for keep in self.keeps]
        keeps = [keep if before is None else _relative(before, keep) for keep, before in pairs]
        restored = {r.cell: r for r in earlier.restores}
        for restore in self.restores:
            before = restored.get(restore.cell)
            if before is not None:
                whole = Keep(places_name(before.inside), 0, before.size, before.indices)
                keeps.append(_relative(whole, replace(whole, indices=restore.indices)))
        keeps = [keep for keep in keeps if len(keep.indices) < keep.size]
        return replace(self, keeps=tuple(keeps), restores=tuple(r for r in self.restores if r.cell not in restored))

    def to_json(self) -> str:
        """The plan as JSON text, with a checksum. Equal index lists are stored once."""
        lists: dict[tuple[int, ...], int] = {}
        document = asdict(self) | {"format": FORMAT}
        for entry in (*document["keeps"], *document["restores"]):
            entry["indices"] = lists.setdefault(tuple(entry["indices"]), len(lists))
        for entry in document["restores"]:
            if entry["axis"] == 1:  # as files have it that are older than the other axis
                del entry["axis"]
        return json.dumps(with_checksum(document | {"lists": [list(indices) for indices in lists]}))

    @classmethod
    def from_json(cls, text: str) -> "PrunePlan":
        """The plan that :meth:`to_json` wrote.

        Plans of earlier versions have no checksum and are read all the same.

        Raises:
            PlanError: ``text`` is not such a plan, has been changed, or contradicts itself.
        """
        document = read_document(text)
        lists = [tuple(indices) for indices in document["lists"]]
        keeps = tuple(Keep(**{**k, "indices": lists[k["indices"]]}) for k in document["keeps"])
        restores = tuple(Restore(**{**r, "indices": lists[r["indices"]]}) for r in document["restores"])
        check_positions(keeps, restores)
        zeros = tuple((name, axis) for name, axis in document["zeros"])
        inputs = tuple((tuple(shape), kind) for shape, kind in document["inputs"])
        attributes = tuple((path, name, value) for path, name, value in document.get("attributes", ()))
        return cls(keeps, restores, document["grouped"], zeros, inputs, attributes)


def _check_plan(method: str, given: Any) -> None:
    if not isinstance(given, PrunePlan):
        raise TypeError(f"PrunePlan.{method}() takes a PrunePlan, but got {type(given).__name__!r}.")


def _attributes(graph: ChannelGraph, masks: Mapping[tuple[str, int], np.ndarray],
                cut: Iterable[str]) -> tuple[tuple[str, str, int], ...]:
    """What each attribute that holds a number of channels must be afterwards. What is put back still counts."""
    whole = {(weight, graph.outputs[weight]) for weight in cut}
    found = []
    for resize in graph.resizes:
        stays = [(name, axis) in whole or (name, axis) not in masks or masks[name, axis][k]
                 for name, axis, k in resize.positions]
        if not all(stays):
            found.append((resize.cell, resize.attribute, resize.factor * int(sum(stays))))
    return tuple(found)


def _later(first: PrunePlan, then: PrunePlan) -> tuple[tuple[str, str, int], ...]:
    """The attributes of both plans; the later value counts."""
    values = {(path, name): value for path, name, value in (*first.attributes, *then.attributes)}
    return tuple((path, name, value) for (path, name), value in values.items())


def _compose(first: Keep, then: Keep) -> Keep:
    """What stays of the original axis after both."""
    return replace(first, indices=tuple(first.indices[k] for k in then.indices))


def _relative(first: Keep, both: Keep) -> Keep:
    """The keep that leads from ``first`` to ``both``."""
    place = {index: k for k, index in enumerate(first.indices)}
    if not set(both.indices) <= place.keys():
        raise PlanError(f"the plan keeps channels of {both.parameter!r} that the network has lost already; build the "
                        "original network.")
    return replace(both, size=len(first.indices), indices=tuple(place[index] for index in both.indices))


def _checked(group: Group, stays: Iterable[bool]) -> np.ndarray:
    stays = np.asarray(list(stays), dtype=bool)
    if stays.shape != (group.size,):
        raise PlanError(f"group {group.name!r} has {group.size} channels, but got {stays.size} values.")
    if group.blocked_by is not None and not stays.all():
        raise PlanError(f"group {group.name!r} may not lose channels: {group.blocked_by}")
    return stays


def _full(graph: ChannelGraph, parameter: str, axis: int) -> np.ndarray:
    return np.ones(graph.graph.parameters[parameter][axis], dtype=bool)


def _positions(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(k) for k in np.flatnonzero(mask))


def _restore(graph: ChannelGraph, weight: str, masks: Mapping[tuple[str, int], np.ndarray]) -> Restore:
    mask = masks[weight, graph.outputs[weight]]
    return Restore(graph.places[weight], len(mask), _positions(mask), -1 if weight in graph.dense else 1)
