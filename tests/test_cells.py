"""Cells by identity: found and replaced in every container, names of parameters."""

import copy
import pickle
from collections import OrderedDict, namedtuple
from functools import partial
from types import SimpleNamespace

import mindspore as ms
import pytest
from mindspore import nn

from mindspore_gs._cells import (
    constructor_names,
    evaluating,
    every_cell,
    get_cell,
    keeping_names,
    owners,
    remember_names,
    replace_cell,
    replace_everywhere,
)

Pair = namedtuple("Pair", "first second")


class Times(nn.Cell):
    """Multiply by a number, which the output shows."""

    def __init__(self, factor):
        super().__init__()
        self.weight = ms.Parameter(ms.Tensor([float(factor)], ms.float32))

    def construct(self, x):
        return x * self.weight


class Chained(nn.Cell):
    """Runs through ``body``, whatever holds the cells."""

    def __init__(self, make, *cells):
        super().__init__()
        self.a, self.b = cells
        self.body = make(self.a, self.b)
        self.steps = self.body.values() if isinstance(self.body, (dict, nn.CellDict)) else None

    def construct(self, x):
        for cell in self.body.values() if isinstance(self.body, (dict, nn.CellDict)) else self.body:
            x = cell(x)
        return x


class OwnLoop(nn.SequentialCell):
    """A SequentialCell whose construct is overridden: the cells in reverse order, and once more."""

    def construct(self, x):
        for cell in reversed(list(self._cells.values())):
            x = cell(x)
        return self[0](x)


def sequential(a, b):
    return nn.SequentialCell(a, b, a, nn.ReLU(), b)


CONTAINERS = {  # how the two cells are held, and how often each is run
    "sequential": (lambda a, b: [nn.SequentialCell([a, b])], 1, 1),
    "repeated in a sequential": (lambda a, b: [sequential(a, b)], 2, 2),
    "ordered sequential": (lambda a, b: [nn.SequentialCell(OrderedDict(first=a, second=b))], 1, 1),
    "overridden construct": (lambda a, b: [OwnLoop(a, b)], 2, 1),
    "nested sequential": (lambda a, b: nn.SequentialCell(nn.SequentialCell(a, b), a), 2, 1),
    "cell list": (lambda a, b: nn.CellList([a, b, a]), 2, 1),
    "cell dict": (lambda a, b: nn.CellDict({"x": a, "y": b}), 1, 1),
    "tuple": (lambda a, b: (a, b, b), 1, 2),
    "list": (lambda a, b: [a, b, a], 2, 1),
    "dict": (lambda a, b: {"x": a, "y": b, "z": a}, 2, 1),
    "named tuple": (lambda a, b: Pair(b, a), 1, 1),
    "bound methods": (lambda a, b: [a.construct, b.construct], 1, 1),
    "partial": (lambda a, b: [partial(a), partial(b)], 1, 1),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_replaced_in_every_container(kind):
    make, a, b = CONTAINERS[kind]
    net = Chained(make, Times(2), Times(3))
    assert float(net(ms.Tensor([1.0])).asnumpy()[0]) == 2 ** a * 3 ** b
    names = [p.name for p in net.get_parameters()]
    keys = [path for path, _ in net.cells_and_names()]
    replace_everywhere(net, {net.a: Times(5), net.b: Times(7)})
    assert float(net(ms.Tensor([1.0])).asnumpy()[0]) == 5 ** a * 7 ** b
    assert float(net.a.weight.asnumpy()[0]) == 5 and float(net.b.weight.asnumpy()[0]) == 7
    assert [path for path, _ in net.cells_and_names()] == keys
    assert len(names) == len(list(net.get_parameters()))


class Deep(nn.Cell):
    """Cells deep inside tuples, lists and dicts; one that is no child at all; a list that holds itself."""

    def __init__(self, hidden):
        super().__init__()
        self.table = {"rows": [(1, "text", (hidden,))], "other": [None, {"cell": hidden}]}
        self.table["rows"].append(self.table["rows"])
        self.holder = SimpleNamespace(cell=hidden, size=3)
        self.seen = {hidden}

    def construct(self, x):
        return self.table["rows"][0][2][0](self.table["other"][1]["cell"](x))


def test_replaced_deep_inside_and_where_no_child_is():
    hidden, new = Times(2), Times(5)
    net = Deep(hidden)
    rows = net.table["rows"]
    assert any(cell is hidden for cell in every_cell(net))
    replace_everywhere(net, {hidden: new})
    assert net.table["rows"] is rows and rows[0] == (1, "text", (new,))
    assert net.holder.cell is new and net.seen == {new}
    assert float(net(ms.Tensor([1.0])).asnumpy()[0]) == 25


def test_a_list_that_two_cells_share_stays_shared():
    first, second, old, new = nn.Cell(), nn.Cell(), Times(2), Times(5)
    first.parts = second.parts = [old]
    net = nn.CellList([first, second])
    replace_everywhere(net, {old: new})
    assert first.parts is second.parts and first.parts[0] is new


def test_two_cells_change_places():
    a, b = Times(2), Times(3)
    net = nn.SequentialCell(a, nn.ReLU(), b)
    replace_everywhere(net, {a: b, b: a})
    assert net[0] is b and net[2] is a and net.cell_list[0] is b


def test_a_replacement_may_hold_what_it_replaces():
    net = nn.SequentialCell(nn.SequentialCell(Times(2)), Times(3))
    old = net[0][0]
    with keeping_names(net):
        around = nn.SequentialCell(old, Times(10))
    replace_everywhere(net, {old: around})
    assert net[0][0] is around and around[0] is old and old.weight.name == "0.0.weight"
    assert float(net(ms.Tensor([1.0])).asnumpy()[0]) == 60


def test_parameter_names_stay():
    net = nn.SequentialCell(OrderedDict(body=nn.SequentialCell(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), b=Times(1)))
    norm = net[0][1]
    new = nn.BatchNorm2d(4)
    names = [p.name for p in new.get_parameters()]
    replace_cell(net, "body.1", new)
    assert net[0].cell_list[1] is new and [p.name for p in new.get_parameters()] == names
    assert norm.gamma.name == "body.1.gamma"
    assert net[0][0].weight.name == "body.0.weight" and net[1].weight.name == "b.weight"


def test_replaced_before_it_is_compiled(graph_mode):
    net = Chained(lambda a, b: sequential(a, b), Times(2), Times(3))
    replace_everywhere(net, {net.a: Times(5)})
    assert float(net(ms.Tensor([1.0], ms.float32)).asnumpy()[0]) == 25 * 9


@pytest.mark.parametrize("which, reason", [("root", "the network itself"), ("stranger", "not in the network")])
def test_what_is_not_inside_is_refused(which, reason):
    net = nn.SequentialCell(Times(2))
    with pytest.raises(ValueError, match=f"a .* cannot be replaced: it is {reason}"):
        replace_everywhere(net, {net if which == "root" else Times(2): Times(3)})


def test_get_cell_goes_through_every_name():
    shared = nn.ReLU()
    net = nn.SequentialCell(shared, Times(2), shared)
    net.table = {"x": (Times(3), shared)}
    assert get_cell(net, "2") is shared and get_cell(net, "table.x.1") is shared and get_cell(net, "") is net


def test_owners_of_a_shared_weight():
    net = nn.SequentialCell(nn.Dense(3, 3), nn.Dense(3, 3))
    net[1].weight = net[0].weight
    held = owners(net)
    assert [(path, attribute) for path, _, attribute in held["0.weight"]] == [("0", "weight"), ("1", "weight")]


class Root(nn.Cell):
    """Parameters of its own, some with names of the user's, and the same cell under two names."""

    def __init__(self):
        super().__init__()
        self.scale = ms.Parameter(ms.Tensor([1.0]), name="p")
        self.shift = ms.Parameter(ms.Tensor([0.0]))
        self.conv = nn.Conv2d(3, 4, 1)
        self.inner = Named()
        self.blocks = nn.CellList([Times(1), Times(2)])
        self.alias = nn.SequentialCell(self.conv, nn.BatchNorm2d(4))
        self.tied = Times(1)
        self.tied.weight = self.blocks[1].weight

    def construct(self, x):
        return self.blocks[1](self.blocks[0](self.alias(x))) * self.scale + self.shift + self.tied(self.inner(x)).sum()


class Named(nn.Cell):
    def __init__(self):
        super().__init__()
        self.q = ms.Parameter(ms.Tensor([1.0]), name="mine")

    def construct(self, x):
        return x * self.q


class Own(nn.Cell):
    """As Root, without what MindSpore cannot pickle; a cell under two names."""

    def __init__(self):
        super().__init__()
        self.scale = ms.Parameter(ms.Tensor([1.0]), name="p")
        self.inner = Named()
        self.blocks = nn.CellList([Times(1)])
        self.tied = self.blocks[0]

    def construct(self, x):
        return self.tied(self.inner(x)) * self.scale


class Around(nn.Cell):
    """What a user puts around a network; ``auto_prefix`` renames."""

    def __init__(self, net, **options):
        super().__init__(**options)
        self.net, self.extra = net, Times(1)

    def construct(self, x):
        return self.net(self.extra(x)).sum()


def names_of(net):
    return [p.name for p in net.get_parameters()]


@pytest.mark.parametrize("make", [Root, lambda: nn.SequentialCell(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)),
                                  lambda: nn.CellList([Times(1), nn.CellList([Times(2)])]), lambda: nn.Conv2d(3, 4, 1),
                                  lambda: nn.CellDict({"x": nn.Dense(2, 2)})])
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_constructor_names_inside_other_cells(make, depth):
    net = make()
    given = names_of(net)
    if make is Root and depth:  # a cell around it has overwritten the user's name of the network's own parameter
        given[given.index("p")] = "scale"
    outer = net
    for _ in range(depth):
        outer = Around(outer)
    if depth:
        assert names_of(net)[0].startswith("net." * depth)
    assert constructor_names(net) == dict(zip(names_of(net), given))


def test_constructor_names_of_a_part():
    whole = nn.SequentialCell(OrderedDict(backbone=Root(), neck=nn.SequentialCell(Times(1), nn.Dense(2, 2))))
    assert constructor_names(whole)["neck.1.weight"] == "neck.1.weight"
    assert constructor_names(whole[1]) == {"neck.0.weight": "0.weight", "neck.1.weight": "1.weight",
                                           "neck.1.bias": "1.bias"}
    assert constructor_names(whole[0])["backbone.conv.weight"] == names_of(Root())[2] == "alias.0.weight"


def test_a_part_that_another_cell_renamed_once_more():
    whole = nn.Cell()
    whole.part = nn.SequentialCell(Times(1), Times(2), Times(3))
    whole.other = whole.part[1]
    assert names_of(whole.part) == ["part.0.weight", "other.weight", "part.2.weight"]
    assert list(constructor_names(whole.part).values()) == ["0.weight", "1.weight", "2.weight"]


@pytest.mark.parametrize("net", [Around(Root(), auto_prefix=False), Root()], ids=["no prefix", "own names"])
def test_names_without_anything_in_common_stay(net):
    assert constructor_names(net) == {name: name for name in names_of(net)}


def test_names_elsewhere_than_their_place_lose_the_prefix_only():
    net = nn.SequentialCell(Times(1), nn.Conv2d(3, 4, 1), Times(2))
    Around(net)
    with keeping_names(net):
        net[1] = nn.SequentialCell(net[1])  # as a pruner's cells do
    assert names_of(net) == ["net.0.weight", "net.1.weight", "net.2.weight"]
    assert list(constructor_names(net).values()) == ["0.weight", "1.weight", "2.weight"]


def test_remembered_names_survive_moves_renames_copies_and_pickles():
    net = Own()
    given = names_of(net)
    assert given == ["p", "inner.q", "tied.weight"]
    remember_names(net)
    with keeping_names(net):
        replace_everywhere(net, {net.inner: nn.SequentialCell(net.inner)})
    for twin in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        Around(Around(twin))
        assert names_of(twin) == ["net.net.scale", "net.net.inner.0.q", "net.net.blocks.0.weight"]
        assert list(constructor_names(twin).values()) == given


def test_remembered_names_tell_parameters_apart_that_a_run_has_called_the_same():
    net = nn.SequentialCell(nn.SequentialCell(Times(1)), nn.SequentialCell(Times(2)))
    with evaluating(net):
        nn.CellList([net[0][0]]), nn.CellList([net[1][0]])
        assert names_of(net) == ["0.weight", "0.weight"]
    assert names_of(net) == ["0.0.weight", "1.0.weight"]
    remember_names(net)
    nn.CellList([net[0][0]]), nn.CellList([net[1][0]])
    assert list(constructor_names(net).values()) == names_of(net) == ["0.0.weight", "1.0.weight"]


def test_remembered_names_of_a_part_are_its_own():
    whole = nn.SequentialCell(nn.SequentialCell(Times(1)), Times(2))
    remember_names(whole[0])
    assert constructor_names(whole[0]) == {"0.0.weight": "0.weight"}
    assert constructor_names(whole) == {"0.0.weight": "0.0.weight", "1.weight": "1.weight"}
    remember_names(whole)
    whole[0].append(Times(3))
    remember_names(whole)
    Around(whole)
    assert list(constructor_names(whole).values()) == ["0.0.weight", "0.1.weight", "1.weight"]
    assert list(constructor_names(whole[0]).values())[0] == "0.weight"
