"""The owner of masks: attach them to a network, set them, read them back, detach to a plain copy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import (
    copy_network,
    forget_compilation,
    get_cell,
    name_prefix,
    names_in_methods,
    owners_by_name,
)
from mindspore_gs._device import multiplication
from mindspore_gs._mixin import mix_in, take_out
from mindspore_gs._precision import cell_inside, path_without_casts
from mindspore_gs.errors import PlanError, PruningError
from mindspore_gs.graph import ChannelGraph, Group, Slice
from mindspore_gs.masks.beneath import masks_beneath
from mindspore_gs.masks.cells import (
    MaskedConv2dbn,
    MaskedLayerNorm,
    MaskedNorm,
    MaskedOutput,
    MaskedParameter,
    MaskedParameters,
    MaskedTuple,
    mask_parameter,
    unmasked,
)
from mindspore_gs.record import Record, drop_record, has_record, pruned_network, record_of, set_record

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
Key = tuple[str, int]


@dataclass(frozen=True)
class Site:
    """A cell whose parameters are masked.

    Attributes:
        path: path of the cell.
        mixin: what has been mixed into its class.
        masks: for each mask, the attribute that holds it and the (parameter, axis) pairs that it masks.
        raw: attributes whose parameters read as their product with the mask.
    """

    path: str
    mixin: type
    masks: tuple[tuple[str, tuple[Key, ...]], ...]
    raw: tuple[str, ...] = ()


class Masks:
    r"""The masks of a network: which channels of its groups are silent.

    A mask multiplies what makes a channel or shifts it: the filter and the bias of the layer, or gamma and beta of the
    BatchNorm behind it: :math:`\hat w_j = m_j w_j` with :math:`m_j \in \{0, 1\}`. A channel with :math:`m_j = 0` is
    zero for every input and gets no gradient, so the masked network computes and learns what the network without the
    channel would. Masks are parameters of shape (channels,) that nothing trains, stored with the network's checkpoint;
    setting them compiles nothing again.

    Examples:
        >>> from mindspore import nn
        >>> from mindspore_gs.graph import trace
        >>> from mindspore_gs.masks import Masks
        >>> net = nn.SequentialCell(nn.Dense(4, 3), nn.ReLU(), nn.Dense(3, 2))
        >>> graph = trace(net, (1, 4))
        >>> masks = Masks.attach(net, graph, graph.groups()[:1])
        >>> masks.set({graph.groups()[0]: [True, False, True]})
        >>> abs(net[0].weight.asnumpy()[1]).tolist()
        [0.0, 0.0, 0.0, 0.0]
        >>> [stays.tolist() for stays in masks.read().values()]
        [[True, False, True]]
        >>> type(masks.detached()[0]).__name__
        'Dense'
    """

    def __init__(self, net: nn.Cell):
        self._net, self._record = pruned_network(net), record_of(net)

    @classmethod
    def attach(cls, net: nn.Cell, graph: ChannelGraph, groups: Iterable[Group], residual: str = "couple") -> "Masks":
        """Put masks on every cell that makes channels of ``groups`` or shifts them, in place; all channels stay.

        Args:
            net: the network that ``graph`` was traced from.
            graph: its channel graph.
            groups: groups of ``graph`` that are free.
            residual: the policy that the groups come from.

        Raises:
            TypeError: ``graph`` or a group is something else.
            PruningError: the network has masks already, or another pruner has begun with it.
            PlanError: a group is blocked.
        """
        groups = tuple(groups)
        if not isinstance(graph, ChannelGraph) or not all(isinstance(group, Group) for group in groups):
            raise TypeError(f"Masks.attach() takes a channel graph and groups of it, as trace() gives, but got "
                            f"{type(graph).__name__!r} and {groups!r:.100}.")
        if has_record(net) and (record_of(net).masks or record_of(net).graph is not graph):
            raise PruningError(f"{type(net).__name__} has masks already; go on with it, or build a new network.")
        for group in groups:
            if group.blocked_by is not None:
                raise PlanError(f"group {group.name!r} may not lose channels: {group.blocked_by}")
        record = Record(graph, residual, groups)
        sites = _Attaching(net, graph, groups).sites()
        set_record(net, replace(record, masks=sites))
        forget_compilation(net)
        return cls(net)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups that have masks."""
        return self._record.groups

    def set(self, choice: Mapping[Group, Iterable[bool]]) -> None:
        """Say which channels stay.

        Args:
            choice: for each group that is to change, one truth value per channel: whether it stays. The other groups
                keep their masks.

        Raises:
            PruningError: the network has no masks yet.
            PlanError: a group has no masks here, gets the wrong number of values, or would lose all its channels.
        """
        vectors = {key: parameter.asnumpy().copy() for key, parameter in self._parameters().items()}
        for group, stays in choice.items():
            stays = np.asarray(list(stays), dtype=bool)
            if group not in self.groups or stays.shape != (group.size,) or not stays.any():
                raise PlanError(f"group {group.name!r} takes {group.size} truth values of which at least one is true, "
                                f"and must be one that the masks were attached to, but got {stays.size} values of "
                                f"which {int(stays.sum())} are true.")
            for part in self._record.graph.silencers(group):
                vectors[part.parameter, part.axis][part.indices] = stays[:, None]
        for key, parameter in self._parameters().items():
            parameter.set_data(ms.Tensor(vectors[key], parameter.dtype))

    def read(self) -> dict[Group, np.ndarray]:
        """What stays of each group, shape (channels,).

        Raises:
            PruningError: the network has no masks yet.
            PlanError: masks of one group contradict each other.
        """
        parameters = self._parameters()
        vectors = {key: parameter.asnumpy().astype(bool) for key, parameter in parameters.items()}
        found = {}
        for group in self.groups:
            votes = [vectors[s.parameter, s.axis][s.indices].all(axis=1)
                     for s in self._record.graph.silencers(group)]
            if not all((vote == votes[0]).all() for vote in votes):
                raise PlanError(f"the masks of {', '.join(group.members)} differ, but these layers share their "
                                "channels; the checkpoint was made with another 'residual' policy.")
            found[group] = votes[0] if votes else np.ones(group.size, bool)
        return found

    def detached(self) -> nn.Cell:
        """A copy of the network in its original form: plain cells at full width, no masks."""
        plain = copy_network(self._net)
        strip(plain)
        return plain

    def _parameters(self) -> dict[Key, ms.Parameter]:
        """The mask of each (parameter, axis)."""
        if self.groups and not self._record.masks:
            raise PruningError(f"{type(self._net).__name__} has no masks yet; Masks.attach() puts them on.")
        found = {}
        for site in self._record.masks:
            cell = cell_inside(self._net, site.path)
            for attribute, keys in site.masks:
                if not isinstance(cell, site.mixin):
                    raise PruningError(f"{type(self._net).__name__} had a masked cell at {site.path!r}, in whose place "
                                       f"there is another {type(cell).__name__} now, without a mask. Put it in before "
                                       "apply(), or behind convert().")
                found.update(dict.fromkeys(keys, getattr(cell, attribute)))
        return found


def masked_groups(net: nn.Cell) -> tuple[Group, ...]:
    """The groups that have masks in a network; none where it has no masks."""
    return record_of(net).groups if has_record(net) and record_of(net).masks else ()


def masked_by_value(net: nn.Cell) -> list[str]:
    """Paths of the cells with a parameter that reads as its product with a mask."""
    return [site.path for site in record_of(net).masks if site.mixin is MaskedParameters]


def masked_values(net: nn.Cell) -> list[str]:
    """Present names of the parameters that read as their product with a mask."""
    cells = [(get_cell(net, site.path), site.raw) for site in record_of(net).masks if site.mixin is MaskedParameters]
    return [cell.__dict__[unmasked(attribute)].name for cell, raw in cells for attribute in raw]


def strip(net: nn.Cell) -> nn.Cell:
    """Take the masks off a network, in place; what was masked has its own values again."""
    for site in record_of(net).masks:
        cell = cell_inside(net, site.path)
        take_out(cell, site.mixin)
        for attribute, _ in site.masks:
            delattr(cell, attribute)
        for attribute in site.raw:
            del cell.__dict__[unmasked(attribute)]
        cell.__dict__.pop("masked_norm", None)
        if site.mixin is MaskedLayerNorm:
            vars(cell)["layer_norm"] = vars(cell).pop(unmasked("layer_norm"))
        for name in ("mask_times", "mask_along_last"):
            cell.__dict__.pop(name, None)
    drop_record(net)
    forget_compilation(net)
    return net


class _Attaching:
    """What is needed while masks are being attached."""

    def __init__(self, net: nn.Cell, graph: ChannelGraph, groups: tuple[Group, ...]):
        self.net, self.graph = net, graph
        self.prefix, self.owned = name_prefix(net), owners_by_name(net)
        self.slices: dict[Key, list[Slice]] = {}
        for group in groups:
            for part in graph.silencers(group):
                self.slices.setdefault((part.parameter, part.axis), []).append(part)
        self.made: dict[Key, ms.Parameter] = {}

    def sites(self) -> tuple[Site, ...]:
        """Attach everything."""
        sites = [self._pair(weight, paths) for weight, paths in self.graph.pairs.items()]
        done = {site.path for site in sites if site is not None}
        rest: dict[str, list[tuple[Key, str]]] = {}
        for key in self.slices:
            for path, _, attribute in self.owned[key[0]]:
                if path not in done:
                    rest.setdefault(path, []).append((key, attribute))
        sites += [self._cell(path, entries) for path, entries in rest.items()]
        return tuple(site for site in sites if site is not None)

    def _pair(self, weight: str, paths: tuple[str, str]) -> Site | None:
        """Golden Stick's pair: the mask belongs to the convolution, and acts in the BatchNorm."""
        keys = self._keys_of(paths[1])
        norm = get_cell(self.net, paths[1])
        entries = [(key, attribute) for key in keys for at, _, attribute in self.owned[key[0]] if at == paths[1]]
        if len(self._alike(keys)) != 1 or not (type(norm) in _NORMS or self._beneath(norm, entries)):
            return None
        convolution = get_cell(self.net, paths[0])
        parameter = self._parameter(keys, paths[0], "out_index")
        _hold(convolution, "out_index", parameter)
        convolution.__dict__["masked_norm"] = norm
        mix_in(convolution, MaskedConv2dbn)
        return Site(paths[0], MaskedConv2dbn, (("out_index", keys),))

    def _keys_of(self, path: str) -> tuple[Key, ...]:
        return tuple(key for key in self.slices if self.graph.cells.get(key[0]) == path)

    def _cell(self, path: str, entries: list[tuple[Key, str]]) -> Site:
        cell = get_cell(self.net, path)
        keys = tuple(key for key, _ in entries)
        if type(cell) in _NORMS and len(self._alike(keys)) == 1:
            _hold(cell, "channel_mask", self._parameter(keys, path, "mask"))
            cell.mask_times = multiplication(cell.gamma.dtype)
            mix_in(cell, MaskedNorm)
            return Site(path, MaskedNorm, (("channel_mask", keys),))
        if any(name in self.graph.recomputed for name, _ in keys):
            return self._layer_norm(cell, path, keys)
        if len(self._alike(keys)) == 1 and self._beneath(cell, entries):
            return self._output(cell, path, entries)
        return self._parameters_of(cell, path, entries)

    def _beneath(self, cell: nn.Cell, entries: list[tuple[Key, str]]) -> bool:
        return masks_beneath(cell, self.graph, entries)

    def _output(self, cell: nn.Cell, path: str, entries: list[tuple[Key, str]]) -> Site:
        """A class of the user's around a layer of MindSpore's: what that computes is masked."""
        keys = tuple(key for key, _ in entries)
        _hold(cell, "channel_mask", self._parameter(keys, path, "mask"))
        cell.mask_times = multiplication(getattr(cell, entries[0][1]).dtype)
        cell.mask_along_last = isinstance(cell, nn.Dense)
        mix_in(cell, MaskedOutput)
        return Site(path, MaskedOutput, (("channel_mask", keys),))

    def _layer_norm(self, cell: nn.Cell, path: str, keys: tuple[Key, ...]) -> Site:
        """A layer normalisation, which computes over what stays."""
        _hold(cell, "channel_mask", self._parameter(keys, path, "mask"))
        vars(cell)[unmasked("layer_norm")] = vars(cell).pop("layer_norm")
        mix_in(cell, MaskedLayerNorm)
        return Site(path, MaskedLayerNorm, (("channel_mask", keys),))

    def _parameters_of(self, cell: nn.Cell, path: str, entries: list[tuple[Key, str]]) -> Site:
        """Any other cell: its parameters read as their products with the masks."""
        masks: list[tuple[str, tuple[Key, ...]]] = []
        factors: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
        attributes = dict(entries)
        for keys in self._alike(tuple(attributes)):
            name = self._free_name(cell, attributes[keys[0]], keys[0][1])
            _hold(cell, name, self._parameter(keys, path, name))
            masks.append((name, keys))
            for key in keys:
                factors.setdefault(attributes[key], []).append((name, self._shape(key)))
        masked = {attribute: MaskedParameter(attribute, *found) for attribute, found in factors.items()}
        for attribute in masked:
            cell.__dict__[unmasked(attribute)] = getattr(cell, attribute)
        cell.mask_times = multiplication(next(getattr(cell, attribute).dtype for attribute in masked))
        mix_in(cell, MaskedParameters, **masked, **_tuples(cell, masked))
        return Site(path, MaskedParameters, tuple(masks), tuple(masked))

    @staticmethod
    def _free_name(cell: nn.Cell, attribute: str, axis: int) -> str:
        """Under which name a cell holds a mask: what is free of ``mask``, ``mask_of_weight``, ``mask_of_weight_1``."""
        plain = attribute.replace(".", "_")  # what a tuple of weights of other cells registers has dots
        names = ("mask", f"mask_of_{plain}")
        return next((name for name in names if not hasattr(cell, name)), f"mask_of_{plain}_{axis}")

    def _shape(self, key: Key) -> tuple[int, ...]:
        """How a mask broadcasts against its parameter."""
        return tuple(-1 if axis == key[1] else 1 for axis in range(len(self.graph.graph.parameters[key[0]])))

    def _alike(self, keys: tuple[Key, ...]) -> list[tuple[Key, ...]]:
        """The keys in classes that the same channels lie along in the same way; one mask serves a class."""
        classes: dict[Any, list[Key]] = {}
        for key in keys:
            where = tuple(part.indices.tobytes() for part in self.slices[key])
            classes.setdefault((self._length(key), where), []).append(key)
        return [tuple(found) for found in classes.values()]

    def _length(self, key: Key) -> int:
        return self.graph.graph.parameters[key[0]][key[1]]

    def _parameter(self, keys: tuple[Key, ...], path: str, attribute: str) -> ms.Parameter:
        """The mask of these keys; another cell may hold it already. Mixed precision does not change its name."""
        if keys[0] in self.made:
            return self.made[keys[0]]
        path = path_without_casts(self.net, path)
        name = self.prefix + (f"{path}.{attribute}" if path else attribute)
        parameter = mask_parameter(ms.Tensor(np.ones(self._length(keys[0]), np.float32)), name)
        self.made.update(dict.fromkeys(keys, parameter))
        return parameter


def _tuples(cell: nn.Cell, masked: Mapping[str, MaskedParameter]) -> dict[str, MaskedTuple]:
    """For each tuple with one of the ``masked`` parameters of a cell that its code reads: how it reads now.

    A tuple that no code of the cell reads, such as all weights for an optimizer, goes on holding parameters.
    """
    read = names_in_methods(cell)
    attributes = {id(parameter): name for name, parameter in cell.parameters_and_names(expand=False)}
    found = {}
    for name, value in vars(cell).items():
        members = [attributes.get(id(item), "") for item in value] if isinstance(value, tuple) and name in read else []
        if all(members) and masked.keys() & set(members):
            found[name] = MaskedTuple(*(masked[key].arguments if key in masked else (key,) for key in members))
    return found


def _hold(cell: nn.Cell, attribute: str, parameter: ms.Parameter) -> None:
    """Register a parameter with a cell; it keeps its name."""
    name = parameter.name
    setattr(cell, attribute, parameter)
    parameter.name = name
