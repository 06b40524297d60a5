"""Who writes channels, which convolution is the first, and which addend of a sum is the shortcut."""

import pytest

from mindspore_gs.graph import Blocked, trace
from mindspore_gs.graph.ir import Graph, Node
from mindspore_gs.graph.writers import find_writers, first_convolutions, shortcut_convolutions
from tests import networks


def graph(*nodes, outputs=None):
    """A graph from "name = op input input" lines; names that start with w are weights."""
    made = []
    for line in nodes:
        name, op, *inputs = line.replace("=", " ").split()
        made.append(Node(name, op, tuple(inputs), {}, (1, 4, 8, 8)))
    read = {i for node in made for i in node.inputs} - {node.name for node in made}
    weights = {name: (4, 4, 3, 3) for name in sorted(read) if name.startswith("w")}
    return Graph(tuple(made), {}, weights, {"x": (1, 4, 8, 8)}, outputs or (made[-1].name,))


SUMS = {  # graph -> weights on a shortcut
    "identity": (["a = Conv2D x w1", "b = ReLU a", "c = Conv2D b w2", "s = Add c a"], set()),
    "projection left": (["a = Conv2D x w0", "b = Conv2D a w1", "c = Conv2D b w2", "p = Conv2D a wp", "s = Add p c"],
                        {"wp"}),
    "projection right": (["a = Conv2D x w0", "b = Conv2D a w1", "c = Conv2D b w2", "p = Conv2D a wp", "s = Add c p"],
                         {"wp"}),
    "as many on both sides": (["a = Conv2D x w0", "b = Conv2D a w1", "c = Conv2D a w2", "s = Add b c"], set()),
    "two against three": (["a = Conv2D x w0", "b = Conv2D a w1", "c = Conv2D b w2", "d = Conv2D c w3",
                           "p = Conv2D a wp", "q = Conv2D p wq", "s = Add d q"], {"wp", "wq"}),
    "from the network's input": (["b = Conv2D x w1", "c = Conv2D b w2", "p = Conv2D x wp", "s = Add p c"], {"wp"}),
    "the same value twice": (["a = Conv2D x w0", "s = Add a a"], set()),
    "an earlier sum is the ancestor": (
        ["a = Conv2D x w0", "b = Conv2D a w1", "c = Conv2D b w2", "p = Conv2D a wp", "s = Add p c",
         "d = Conv2D s w3", "e = Conv2D d w4", "t = Add e s"], {"wp"}),
}


@pytest.mark.parametrize("nodes, expected", SUMS.values(), ids=SUMS)
def test_the_shortcut_is_the_side_with_fewer_convolutions(nodes, expected):
    traced = graph(*nodes)
    assert shortcut_convolutions(traced, [n for n in traced.nodes if n.op == "Add"]) == expected


FIRSTS = {
    "one stem": (["a = Conv2D x w1", "b = ReLU a", "c = Conv2D b w2"], {"w1"}),
    "two stems": (["a = Conv2D x w1", "b = Conv2D x w2", "c = Add a b", "d = Conv2D c w3"], {"w1", "w2"}),
    "behind a dense layer": (["a = MatMul x w1", "b = Conv2D a w2", "c = Conv2D b w3"], {"w2"}),
    "none": (["a = MatMul x w1"], set()),
}


@pytest.mark.parametrize("nodes, expected", FIRSTS.values(), ids=FIRSTS)
def test_first_convolutions(nodes, expected):
    assert first_convolutions(graph(*nodes)) == expected


WRITERS = {  # graph -> (last value, gamma, uses) of each writer
    "alone": (["a = Conv2D x w1", "b = ReLU a"], [("a", None, 1)]),
    "bias and norm": (["a = Conv2D x w1", "b = BiasAdd a wb", "n = BatchNorm b wg wB wm wv", "o = TupleGetItem n k"],
                      [("o", "wg", 1)]),
    "something between": (["a = Conv2D x w1", "r = ReLU a", "n = BatchNorm r wg wB wm wv", "o = TupleGetItem n k"],
                          [("a", None, 1)]),
    "read by two": (["a = Conv2D x w1", "n = BatchNorm a wg wB wm wv", "o = TupleGetItem n k", "s = Add o a"],
                    [("a", None, 1)]),
    "two norms": (["a = Conv2D x w1", "n = BatchNorm a wg wB wm wv", "o = TupleGetItem n k",
                   "m = BatchNorm o wh wB wm wv", "p = TupleGetItem m k"], [("o", "wg", 1)]),
    "used twice": (["a = Conv2D x w1", "b = Conv2D a w1"], [("a", None, 2), ("b", None, 2)]),
    "norm used twice": (["a = Conv2D x w1", "n = BatchNorm a wg wB wm wv", "o = TupleGetItem n k", "c = Conv2D o w2",
                         "m = BatchNorm c wg wB wm wv", "p = TupleGetItem m k"],
                        [("o", "wg", 2), ("p", "wg", 2)]),
}


@pytest.mark.parametrize("nodes, expected", WRITERS.values(), ids=WRITERS)
def test_a_writer_ends_behind_its_batch_norm(nodes, expected):
    assert [(w.last, w.gamma, w.uses) for w in find_writers(graph(*nodes))] == expected


def test_an_output_of_the_network_ends_a_writer():
    traced = graph("a = Conv2D x w1", "n = BatchNorm a wg wB wm wv", "o = TupleGetItem n k", outputs=("a", "o"))
    assert [w.last for w in find_writers(traced)] == ["a"]


@pytest.mark.parametrize("build, expected", [
    (networks.Chain, {"conv1.weight": Blocked.FIRST_CONVOLUTION}),
    (networks.Identity, {"stem.weight": Blocked.FIRST_CONVOLUTION}),
    (networks.Projection, {"stem.weight": Blocked.FIRST_CONVOLUTION, "short.0.weight": Blocked.SHORTCUT}),
    (networks.OptionA, {"stem.weight": Blocked.FIRST_CONVOLUTION}),
    (networks.Long, {"stem.weight": Blocked.FIRST_CONVOLUTION, "layer2.0.downsample.0.weight": Blocked.SHORTCUT}),
], ids=["chain", "identity", "projection", "option_a", "long"])
def test_what_stays_whole_in_traced_networks(build, expected):
    assert trace(build(), (1, 3, 8, 8)).whole == expected
