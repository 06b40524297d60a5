"""Answer the questions that MindIR leaves open: trace the network a second time, with fewer channels.

Numbers that come from ``x.shape`` are smaller then, numbers in the code are not. A number that an attribute of the
user's cell holds is tried with the attribute changed. What fits no reading keeps its channels.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs._cells import constructor_names, copy_network, get_cell, owners_by_name
from mindspore_gs._resize import resize_cell
from mindspore_gs.errors import PruningError
from mindspore_gs.graph._mindir import export_graph
from mindspore_gs.graph.channel_graph import ChannelGraph
from mindspore_gs.graph.checks import with_checked
from mindspore_gs.graph.group import Group
from mindspore_gs.graph.ids import NONE
from mindspore_gs.graph.ir import Graph
from mindspore_gs.graph.places import holder_of, is_library, path_of, positions
from mindspore_gs.graph.questions import BLOCKED, TOGETHER, Option, Question, Reading, Resize, Site
from mindspore_gs.graph.restores import restore_path
from mindspore_gs.graph.seen import as_seen
from mindspore_gs.graph.shapes import follows
from mindspore_gs.graph.views import all_views, unread

Readings = dict[Site, Reading]
Family = tuple[str, str, int, frozenset[Option]]
_FITS, _DIFFERS, _REFUSES = "fits", "differs", "refuses"


def settle(net: nn.Cell, graph: ChannelGraph, tensors: tuple[ms.Tensor, ...]) -> ChannelGraph:
    """The channel graph with an answer to each question that free channels depend on.

    Where no such question is left, nothing is traced again. Otherwise the likeliest readings are tried at once, which
    is one more trace; attributes that code only compares follow the channels, unless it refuses to run then, which is
    another one. If they do not fit, all numbers that attributes hold follow at once, which is seldom more than
    one trace more. Only if that does not fit either, the questions are tried one after the other; those at the same
    place of cells of one class have one answer.
    """
    graph = likeliest(net, graph)
    checked = with_checked(net, graph)
    for candidate in (checked, graph) if checked.checked else (graph,):
        found = _judge(net, candidate, tensors) if _shrinking(candidate) else _FITS
        if found == _FITS:
            return candidate
        if found == _DIFFERS:
            graph = candidate
            break
    for candidate in _by_attributes(net, graph):
        if not _shrinking(candidate) or fits(net, candidate, tensors):
            return candidate
    families = _families(net, graph)
    answers: Readings = {site: Reading(BLOCKED) for site in _products(graph)}
    for alone in (True, False):
        for family, sites in families.items():
            if not answers.keys() >= set(sites):
                answers |= _answer(net, graph, tensors, families, answers, family, sites, alone)
    settled = with_readings(net, graph, answers)
    if fits(net, settled, tensors):
        return settled
    everything = {site: Reading(BLOCKED) for sites in families.values() for site in sites}
    return with_readings(net, graph, everything)


def likeliest(net: nn.Cell, graph: ChannelGraph) -> ChannelGraph:
    """The channel graph in which channels are cut into blocks along an axis that leaves some of them free.

    The likeliest axis of a reshape may be one that a later operator cuts into parts of its own.
    """
    stuck = _cut_and_blocked(graph, 1)
    for place in range(1, max((len(question.options) for question in stuck.values()), default=0)):
        further = {site: question for site, question in stuck.items() if len(question.options) > place}
        readings = {site: Reading(question.options[place]) for site, question in further.items()}
        candidate = with_readings(net, graph, readings)
        still = _cut_and_blocked(candidate, place)
        graph = with_readings(net, graph, {site: candidate.readings[site] for site in further.keys() - still.keys()})
        stuck = {site: question for site, question in further.items() if site in still}
    return _along_one_axis(net, graph) if _cut_and_blocked(graph, 1) else graph


def _along_one_axis(net: nn.Cell, graph: ChannelGraph) -> ChannelGraph:
    """The channel graph with all channels cut along the same axis, as attention needs; as it is if that frees none."""
    cut = {site: question.options for site, question in graph.channels.questions.items()
           if isinstance(question.options[0], int) and len(question.options) > 1}
    for axis in sorted({option for options in cut.values() for option in options if isinstance(option, int)}):
        candidate = with_readings(net, graph, {site: Reading(axis) for site, options in cut.items() if axis in options})
        if not _cut_and_blocked(candidate, 1):
            return candidate
    return graph


def _cut_and_blocked(graph: ChannelGraph, place: int) -> dict[Site, Question]:
    """The questions how channels are cut into blocks, with more than ``place`` answers, that leave no channel free."""
    cut = {site: question for site, question in graph.channels.questions.items()
           if len(question.options) > place and isinstance(question.options[0], int)}
    if not cut:
        return {}
    free = _free(graph, graph.groups())
    return {site: question for site, question in cut.items() if not free[question.ids].any()}


def _free(graph: ChannelGraph, groups: Iterable[Group]) -> np.ndarray:
    """For each id, whether a free group among ``groups`` has it."""
    free = np.zeros(graph.channels.size, bool)
    for group in groups:
        if group.blocked_by is None and group.size > 1:
            free[graph.ids_of(group)] = True
    return free


def _products(graph: ChannelGraph) -> list[Site]:
    """The products of two activations whose channels may go together."""
    return [site for site, question in graph.channels.questions.items() if question.options == (TOGETHER,)]


# (whether numbers in front of MindSpore's layers may be the user's, and only those behind attention are asked for;
#  whether all attributes that are a number follow, or the first of them; whether a multiple of the number of channels
#  may be an attribute's)
_WAYS = ((True, True, True), (False, True, True), (True, False, True), (True, False, False))


def _by_attributes(net: nn.Cell, graph: ChannelGraph) -> Iterator[ChannelGraph]:
    """The channel graph with attributes of the user's cells that follow the channels, all at once, in a few ways.

    With attention, they hold the number of heads, the length of one, or the product of both; or what attention
    multiplies stays as it is, and if need be what the cells around it cut into parts. That is at most eleven ways,
    whatever the number of layers, and two more where some layers have one head and others several; those that come to
    the same are tried once.
    """
    tried, products = [graph.resizes], _products(graph)
    with_attention = bool(_shrinking(graph, products))
    stays = with_readings(net, graph, {site: Reading(BLOCKED) for site in products})
    ways = [(graph, *way, least) for way, least in product(_WAYS, (True, False))] if with_attention else []
    ways[2:2] = [(apart, *way, True) for way in _WAYS[:2] for apart in _without_single_heads(net, graph, products)]
    more = [(with_readings(net, stays, _near(net, graph, products)), False, True, True, True)] if with_attention else []
    for base, around, joint, multiples, least in (*ways, (stays, False, True, True, True), *more):
        candidate = with_readings(net, base, _named(net, base, least, around, joint, multiples))
        around_products = base not in (stays, *(each for each, *_ in more))
        if candidate.resizes in tried or not _shrinking(candidate, products if around_products else None):
            continue
        tried.append(candidate.resizes)
        if around_products or not _ties(candidate):  # whether such a tie is meant, one question at a time tells
            yield candidate
    if with_attention:
        yield stays


def _without_single_heads(net: nn.Cell, graph: ChannelGraph, products: list[Site]) -> list[ChannelGraph]:
    """The channel graph in which attention of one head stays, while that of several may lose heads; or none.

    One head cannot be lost, and the length of a head is often in the code as a factor.
    """
    nodes = {node.name: node for each in (graph.graph, *graph.others) for node in each.nodes}
    shapes = {site: nodes[graph.channels.questions[site].node].shape for site in products}
    single = [site for site, shape in shapes.items() if len(shape) > 3 and shape[-3] == 1]
    mixed = 0 < len(single) < len(products)
    return [with_readings(net, graph, {site: Reading(BLOCKED) for site in single})] if mixed else []


def _near(net: nn.Cell, graph: ChannelGraph, products: list[Site]) -> Readings:
    """The channels stay at questions in the cells that multiply activations, in those within and in those around.

    The code there may take a number of channels from one value for another. The network itself is not meant.
    """
    questions = graph.channels.questions
    paths = [path for site in products if (path := path_of(net, graph, questions[site]))]
    held = {site: holder_of(net, graph, question) for site, question in questions.items()}
    return {site: Reading(BLOCKED) for site, path in held.items()
            if path and any(f"{one}.".startswith(f"{path}.") or f"{path}.".startswith(f"{one}.") for one in paths)}


def _ties(graph: ChannelGraph) -> bool:
    """Whether attributes that hold a number at several places make channels go together, or stay, for that alone."""
    apart = replace(graph, resizes=tuple(replace(resize, alike=()) for resize in graph.resizes))
    with_ties, without = ([g.size for g in each.groups() if g.blocked_by is None] for each in (graph, apart))
    return with_ties != without


def _named(net: nn.Cell, graph: ChannelGraph, least: bool, around: bool, joint: bool, multiples: bool) -> Readings:
    """For numbers that attributes hold and free channels depend on, the reading that they follow the channels.

    Args:
        net: the network.
        graph: its channel graph.
        least: where several axes have an attribute each, take the shortest (heads), unless the code leaves one open;
            else the longest (the length of one head), whether one is open or not.
        around: whether numbers in front of MindSpore's layers may be the user's. Then only those are asked for that
            depend on channels that attention multiplies.
        joint: whether all attributes that are the number follow, or the first of them.
        multiples: whether an attribute may hold a multiple of the number of channels. Where heads are repeated
            (grouped queries), it only looks like one.

    Attributes are the number itself where channels are cut into blocks, else the number or the largest multiple.
    """
    questions = graph.channels.questions
    free = _free(graph, _shrinking(graph, _products(graph)) if around else graph.groups())
    concerned = {site for site, question in questions.items() if free[question.ids].any()}
    most = max(len(question.options) for question in questions.values())
    found: dict[Site, list[tuple[int, Reading]]] = {}
    for place in range(most):
        at = with_readings(net, graph, {site: Reading(question.options[min(place, len(question.options) - 1)])
                                for site, question in questions.items()})
        for site, question in at.channels.questions.items():
            if site not in concerned or question.options == (TOGETHER,):
                continue
            if least and place == 0 and question.number == -1:
                found[site] = [(0, at.readings[site])]
            names, exact = attributes_of(net, at, question, around)[1:]
            if not multiples and question.number not in (None, len(question.counted)):
                names, exact = (), ()
                found.setdefault(site, []).append((len(question.counted), at.readings[site]))
            if exact or (names and not isinstance(at.readings[site].option, int)):
                reading = Reading(at.readings[site].option, exact if joint and exact else names[:1])
                found.setdefault(site, []).append((len(question.counted), reading))
    choose = min if least else max
    return {site: choose(readings, key=lambda pair: pair[0])[1] for site, readings in found.items()}


def _families(net: nn.Cell, graph: ChannelGraph) -> dict[Family, list[Site]]:
    """The questions, those at the same place of cells of one class together, if they can have the same answers.

    The class is that of the cell whose code it is, and the one that MindIR names: a reshape of nn.BatchNorm1d may be
    taken for one of the cell around it.
    """
    found: dict[Family, list[Site]] = {}
    seen: Counter[tuple[str | None, str, str]] = Counter()
    for question in graph.channels.questions.values():
        path, scope, operator = path_of(net, graph, question), *question.site[:2]
        own = "" if path is None else type(get_cell(net, path)).__qualname__
        kind = f"{own} {scope.rpartition('/')[-1].partition('-')[-1]}"
        place = (path, operator, scope)
        found.setdefault((kind, operator, seen[place], frozenset(question.options)), []).append(question.site)
        seen[place] += 1
    return found


def _answer(net: nn.Cell, graph: ChannelGraph, tensors: tuple[ms.Tensor, ...], families: Mapping[Family, list[Site]],
            answers: Readings, family: Family, sites: list[Site], alone: bool) -> Readings:
    """The reading of one family that fits; other open questions keep their channels meanwhile.

    None where all channels that it concerns are blocked anyway. If ``alone``, also none where its channels depend on
    other open questions: those that can be answered by themselves come first, or one that has no answer would speak
    against all that are asked together with it.
    """
    if not _shrinking(graph, sites):
        return {}
    open_sites = [site for key, others in families.items() if key != family for site in others if site not in answers]
    closed = {site: Reading(BLOCKED) for site in open_sites}
    for tried in _trials(net, graph, sites, open_sites):
        candidate = with_readings(net, graph, answers | closed | tried)
        if not _shrinking(candidate):  # its channels depend on other open questions too
            if alone:
                return {}
            candidate = with_readings(net, graph, answers | tried)
        if _shrinking(candidate) and fits(net, candidate, tensors):
            return tried
    return {site: Reading(BLOCKED) for site in sites}


def _trials(net: nn.Cell, graph: ChannelGraph, sites: list[Site], open_sites: list[Site]) -> Iterator[Readings]:
    """Each reading of a family by itself, then with the open questions whose number the same attribute holds."""
    questions = graph.channels.questions
    paths = {holder_of(net, graph, questions[site]) for site in sites}
    held = {site: attributes_of(net, graph, questions[site]) for site in open_sites}
    for reading in _candidates(net, graph, sites):
        tried = dict.fromkeys(sites, reading)
        yield tried
        others = {site: Reading(questions[site].options[0], reading.attributes) for site, (path, names, _)
                  in held.items() if reading.attributes and path in paths and set(reading.attributes) <= set(names)}
        if others:
            yield tried | others


def _candidates(net: nn.Cell, graph: ChannelGraph, sites: list[Site]) -> list[Reading]:
    """All readings of a family: as it stands; with all attributes that are the number; with each that may hold it."""
    readings = [Reading(option) for option in graph.channels.questions[sites[0]].options]
    for option in graph.channels.questions[sites[0]].options:
        at = with_readings(net, graph, {site: Reading(option) for site in sites}).channels.questions
        held = [attributes_of(net, graph, at[site]) for site in sites if site in at]
        names = [name for name in (held[0][1] if held else ()) if all(name in more for _, more, _ in held)]
        exact = tuple(name for name in names if name in held[0][2])
        readings += [Reading(option, exact)] if len(exact) > 1 else []
        readings += [Reading(option, (name,)) for name in names]
    return readings


def attributes_of(net: nn.Cell, graph: ChannelGraph, question: Question,
                around: bool = True) -> tuple[str | None, tuple[str, ...], tuple[str, ...]]:
    """The user's cell whose code a number is in, its attributes that may hold it, and those that are the number.

    May hold it: the number itself first, then multiples of the number of channels, the largest first. A number that
    the code leaves open is in none. In front of one of MindSpore's layers (if ``around``), it is the number itself.
    """
    count, path = len(question.counted), path_of(net, graph, question)
    seen = path is not None and not is_library(get_cell(net, path))
    if count < 2 or question.number == -1 or not (seen or around):
        return path, (), ()
    path = path if seen else holder_of(net, graph, question)
    if path is None:
        return path, (), ()
    number = question.number or count
    values = {name: value for name, value in vars(get_cell(net, path)).items()
              if isinstance(value, int) and not isinstance(value, bool) and value > 0 and not name.startswith("_")
              and (value == number if question.number and not seen else value % count == 0)}
    exact = tuple(name for name, value in values.items() if value == number)
    return path, tuple(sorted(values, key=lambda name: (name not in exact, -values[name]))), exact


def with_readings(net: nn.Cell, graph: ChannelGraph, readings: Readings) -> ChannelGraph:
    """The channel graph with these answers too, and with the attributes that have to follow.

    An attribute that holds the number at several places makes the channels there go together.
    """
    read = replace(graph, readings={**graph.readings, **readings}, resizes=())
    found: dict[tuple[str, str], list[Resize]] = {}
    for site, reading in readings.items():
        for attribute in reading.attributes if site in read.channels.questions else ():
            resize = _resize(net, read, read.channels.questions[site], attribute)
            found.setdefault((resize.cell, resize.attribute), []).append(resize)
    resizes = [replace(first, alike=tuple(dict.fromkeys(other.positions for other in others)))
               for first, *others in found.values()]
    checked = [resize for resize in graph.checked if (resize.cell, resize.attribute) not in found]
    return replace(read, resizes=(*resizes, *checked))


def _resize(net: nn.Cell, graph: ChannelGraph, question: Question, attribute: str) -> Resize:
    path = str(holder_of(net, graph, question))
    old = getattr(get_cell(net, path), attribute)
    return Resize(path, attribute, old, old // len(question.counted), positions(graph.channels, question.counted))


def _shrinking(graph: ChannelGraph, sites: Collection[Site] | None = None) -> dict[Group, np.ndarray]:
    """The free groups that a question (at these sites) concerns, with the channels of each that go: every second.

    Without sites, also those whose number is an attribute that code only compares.
    """
    channels = graph.channels
    asked = np.zeros(channels.size, bool)
    for resize in graph.checked if sites is None else ():
        asked[[channels.offsets[name, axis] + k for name, axis, k in resize.positions]] = True
    for site, question in channels.questions.items():
        if sites is None or site in sites:
            asked[question.ids] = True
    return {group: np.arange(group.size) % 2 == 1 for group in graph.groups()
            if group.blocked_by is None and group.size > 1 and asked[graph.ids_of(group)].any()}


def fits(net: nn.Cell, graph: ChannelGraph, tensors: tuple[ms.Tensor, ...]) -> bool:
    """Whether the network without half of the channels in question is what the graph says that it must be."""
    return _judge(net, graph, tensors) == _FITS


def _judge(net: nn.Cell, graph: ChannelGraph, tensors: tuple[ms.Tensor, ...]) -> str:
    """Whether the network without half of the channels in question is what the graph says that it must be.

    Or whether it differs from that, or refuses to run.
    """
    channels, going = graph.channels, _shrinking(graph)
    gone = np.zeros(channels.size + 1, bool)  # the last one is NONE's
    for group, leaves in going.items():
        for part in group.slices:
            gone[channels.offsets[part.parameter, part.axis] + part.indices[leaves]] = True
    if any(restore_path(part.parameter) is not None for group in going for part in group.slices):
        return _FITS  # a network that is slim already was looked at when it was whole
    small = _shrunk(net, graph, gone)
    names, paths = constructor_names(small), {name: held[0][0] for name, held in owners_by_name(small).items()}
    own = {view.training: (view, flows) for view, flows in zip((graph.graph, *graph.others), channels.flows)}

    def alike(view: Graph) -> bool:
        first, flows = own[view.training]
        return follows(first, flows, gone, as_seen(view, names, paths))

    try:
        deployed = export_graph(small, tensors)
        if False in own and not unread(small, deployed) and not alike(deployed):
            return _DIFFERS  # the graph that is trained need not be exported
        views = {view.training: view for view in all_views(small, deployed, tensors)}
    except PruningError:
        return _REFUSES
    fits = views.keys() >= own.keys() and all(alike(views[training]) for training in own)
    return _FITS if fits else _DIFFERS


def _shrunk(net: nn.Cell, graph: ChannelGraph, gone: np.ndarray) -> nn.Cell:
    """A copy of the network without these channels."""
    small, channels = copy_network(net), graph.channels
    owned = owners_by_name(small)
    touched: dict[int, tuple[nn.Cell, int | None]] = {}
    for (name, axis), start in channels.offsets.items():
        size = graph.graph.parameters[name][axis]
        stays = ~gone[start:start + size]
        if name not in owned or stays.all():
            continue
        parameter = getattr(owned[name][0][1], owned[name][0][2])
        values = np.compress(stays, parameter.asnumpy(), axis=axis)
        parameter.set_data(ms.Tensor(values, parameter.dtype), slice_shape=True)
        groups = graph.grouped.get(name) if axis == 0 else None
        for _, cell, _ in owned[name]:
            before = touched.get(id(cell), (cell, None))[1]
            count = before if groups is None else int(stays.sum()) * groups // size
            touched[id(cell)] = (cell, count)
    for cell, count in touched.values():
        resize_cell(cell, count)
    for resize in graph.resizes:
        kept = sum(not gone[channels.offsets[name, axis] + k] for name, axis, k in resize.positions)
        setattr(get_cell(small, resize.cell), resize.attribute, resize.factor * kept)
    return small


assert NONE == -1  # gone[NONE] is the last entry
