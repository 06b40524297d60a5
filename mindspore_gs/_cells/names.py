"""Names of parameters: keep them while cells move, and find those that the constructor gave."""

import uuid
from collections import Counter
from collections.abc import Iterator

import mindspore as ms
from mindspore import nn

from mindspore_gs._cells.lookup import owners

_TOKEN = "_gs_network"
_NAMES = "_gs_names"


def restore_names(net: nn.Cell) -> None:
    """Undo what a cell around the network did to the names of parameters whose cells were elsewhere then."""
    names, prefix = constructor_names(net), name_prefix(net)
    for parameter in net.get_parameters():
        parameter.name = prefix + names[parameter.name]


def remember_names(net: nn.Cell) -> None:
    """Write down on each cell of ``net`` how :func:`constructor_names` calls its parameters now.

    From then on they are called so, wherever the cells go and whatever renames the parameters. What is written down
    already stays, so that a second call adds the parameters that came in since. The names go along with copies and
    pickles. Networks that share cells do not share what is written down.
    """
    names = constructor_names(net)
    token = vars(net).setdefault(_TOKEN, uuid.uuid4().hex)
    for _, cell, attribute, parameter in _held(net):
        written = vars(cell).setdefault(_NAMES, {}).setdefault(token, {})
        written.setdefault(attribute, names[parameter.name])


def constructor_names(net: nn.Cell) -> dict[str, str]:
    """From the present name of each parameter to the name that it has after the constructor of ``net``.

    A cell that takes ``net`` in, such as a loss cell of the user's own, renames every parameter to
    ``net.<path of its cell>.<attribute>`` (``auto_prefix``), and so does each further one around it. The prefix is
    what comes before path and attribute in most names; where it is empty, all names are as the constructor left them.
    Where it is not, each parameter gets what attaching the children in their order gives: path and attribute, for a
    cell under several names the path under the last of them, for a weight that cells share that of the first. A
    parameter that lies elsewhere than its name says only loses the prefix. Where a run has given one name to several
    parameters, as ``for layer in self.layers[:-1]`` does in PyNative mode, they are called what is written down again.

    A name of the user's own (``Parameter(name="p")``) lives on in parameters of the network itself only; a cell
    around the network overwrites it, and its attribute takes its place. What :func:`remember_names` has written
    down comes before all this.

    Args:
        net: the network, or a part of a larger one, whose names then start at this part.

    Returns:
        From present to constructor's names, for each name of ``net.get_parameters()``.
    """
    held = list(_held(net))
    _tell_apart(net, held)
    first = _first_places(held)
    prefix = _common_prefix(held)
    attached = _attached_names(net, held) if prefix else {}
    token = vars(net).get(_TOKEN)
    names: dict[str, str] = {}
    for _, cell, attribute, parameter in held:
        written = vars(cell).get(_NAMES, {}).get(token, {}).get(attribute)
        if written:
            names[parameter.name] = written
        elif parameter.name not in names:
            moved = parameter.name.startswith(prefix) and parameter.name not in (
                prefix + first[id(parameter)], prefix + attached.get(id(parameter), ""))
            names[parameter.name] = parameter.name[len(prefix):] if moved or not prefix else attached[id(parameter)]
    return names | _names_in_parts(net, held, names)


def _tell_apart(net: nn.Cell, held: list[tuple[str, nn.Cell, str, ms.Parameter]]) -> None:
    """Where several parameters have one name, give each the name that is written down for it, if there is one."""
    several = Counter(name for name, _ in {(parameter.name, id(parameter)) for *_, parameter in held})
    token = vars(net).get(_TOKEN)
    for _, cell, attribute, parameter in held if max(several.values(), default=0) > 1 else ():
        written = vars(cell).get(_NAMES, {}).get(token, {}).get(attribute)
        if written and several[parameter.name] > 1:
            parameter.name = written


def _names_in_parts(net: nn.Cell, held: list[tuple[str, nn.Cell, str, ms.Parameter]],
                    names: dict[str, str]) -> dict[str, str]:
    """The names of parameters whose cells have moved inside of a part that was changed by itself and then put in.

    What is written down for the part takes the place of the path in it.
    """
    parts = [(path, vars(cell)[_TOKEN]) for path, cell in net.cells_and_names() if path and _TOKEN in vars(cell)]
    own, found = vars(net).get(_TOKEN), {}
    for path, cell, attribute, parameter in held if parts else ():
        written = vars(cell).get(_NAMES, {})
        for part, token in parts:
            name = written.get(token, {}).get(attribute)
            inner = _join(path.removeprefix(part).lstrip("."), attribute)
            if name and own not in written and names[parameter.name].endswith("." + inner):
                found[parameter.name] = names[parameter.name].removesuffix(inner) + name
    return found


def parameters_by_name(net: nn.Cell) -> dict[str, ms.Parameter]:
    """The parameters of a network by the names that its constructor gave them."""
    names = constructor_names(net)
    return {names[parameter.name]: parameter for parameter in net.get_parameters()}


def owners_by_name(net: nn.Cell) -> dict[str, list[tuple[str, nn.Cell, str]]]:
    """For each parameter, by the constructor's name: the cells that hold it, as (path, cell, attribute)."""
    names = constructor_names(net)
    return {names[name]: places for name, places in owners(net).items()}


def name_prefix(net: nn.Cell) -> str:
    """What stands in front of the constructor's names: ``"net."`` where a wrapper renamed them, else nothing."""
    for present, own in constructor_names(net).items():
        if present == own:
            return ""
        if present.endswith("." + own):
            return present[:-len(own)]
    return ""


def _held(net: nn.Cell) -> Iterator[tuple[str, nn.Cell, str, ms.Parameter]]:
    """Each place of each parameter: path of the cell, cell, attribute, parameter."""
    for path, cell in net.cells_and_names():
        for attribute, parameter in cell.parameters_and_names(expand=False):
            yield path, cell, attribute, parameter


def _first_places(held: list[tuple[str, nn.Cell, str, ms.Parameter]]) -> dict[int, str]:
    """Path and attribute of each parameter (by id), as a cell around the network takes them."""
    places: dict[int, str] = {}
    for path, _, attribute, parameter in held:
        places.setdefault(id(parameter), _join(path, attribute))
    return places


def _common_prefix(held: list[tuple[str, nn.Cell, str, ms.Parameter]]) -> str:
    """What comes before path and attribute in most names. The network's own parameters count where it has no others."""
    inner = [entry for entry in held if entry[0]] or held
    votes: Counter[str] = Counter()
    for path, _, attribute, parameter in inner:
        place = _join(path, attribute)
        if parameter.name == place or parameter.name.endswith("." + place):
            votes[parameter.name[:len(parameter.name) - len(place)]] += 1
    return max(votes, key=lambda prefix: (votes[prefix], -len(prefix))) if votes else ""


def _attached_names(net: nn.Cell, held: list[tuple[str, nn.Cell, str, ms.Parameter]]) -> dict[int, str]:
    """The name of each parameter (by id) once the children have been attached in their order."""
    last = {id(cell): _join(key, path) for key, child in net.__dict__["_cells"].items() if child is not None
            for path, cell in child.cells_and_names()}
    names: dict[int, str] = {}
    for path, cell, attribute, parameter in held:
        names.setdefault(id(parameter), _join(last.get(id(cell), path), attribute))
    return names


def _join(path: str, attribute: str) -> str:
    return f"{path}.{attribute}" if path and attribute else path or attribute
