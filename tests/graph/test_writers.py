"""Who writes channels: a weighted operator with its bias and BatchNorm."""

import pytest

from mindspore_gs.graph.writers import find_writers
from tests.traces import graph

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
