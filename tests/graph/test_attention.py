"""Attention heads are groups: query, key, value and what reads them lose the same heads, or the same places of each."""

import numpy as np
import pytest

from mindspore_gs.graph import trace
from mindspore_gs.slim import PrunePlan, mask, relative_difference, slim
from tests import attention
from tests.helpers import evaluate, image, randomise

SHAPE = (1, 6, 5)
STAYS = "TWO_ACTIVATIONS"

TABLE = {
    "open number of heads": (attention.Attention, {"q k v": (4, None)}, []),
    "joint, heads in an attribute": (attention.Joint, {"qkv": (4, None)}, [("", "heads", 4, 1)]),
    "length from the heads": (attention.Divided, {"q k v": (4, None)}, [("", "heads", 4, 1)]),
    "open length of a head": (attention.OpenLength, {"q k": (3, None), "v": (3, None)}, []),
    "one head": (attention.OneHead, {"q k": (12, None), "v": (12, None)}, []),
    "product in an attribute": (attention.Inner, {"q k v": (3, None)}, [("", "dim", 3, 1), ("", "inner", 12, 4)]),
    "product, heads open": (attention.InnerOpenHeads, {"q k v": (4, None)}, [("", "inner", 12, 3)]),
    "product, length open": (attention.InnerOpenLength, {"q k": (3, None), "v": (3, None)}, [("", "inner", 12, 4)]),
    "joint, product": (attention.InnerJoint, {"qkv": (4, None)}, [("", "heads", 4, 1), ("", "inner", 12, 3)]),
    "product of two attributes": (attention.Product, {"q k v": (3, None)},
                                  [("", "dim", 3, 1), ("", "inner", 12, 4)]),
    "two layers": (attention.Layers, {"layers.0.q layers.0.k layers.0.v": (3, None),
                                      "layers.1.q layers.1.k layers.1.v": (2, None)},
                   [("layers.0", "dim", 3, 1), ("layers.0", "inner", 12, 4), ("layers.1", "heads", 2, 1),
                    ("layers.1", "inner", 10, 5)]),
    "one head, then two": (attention.OneThenTwo, {
        **{f"layers.0.{name}": (4, STAYS) for name in "qkv"}, "layers.1.q layers.1.k layers.1.v": (2, None)},
        [("layers.1", "heads", 2, 1), ("layers.1", "inner", 8, 4)]),
    "functions that another cell calls first": (
        attention.Functional, {"first.embed": (8, None), "first.mixed attention.proj": (8, "MIXES_CHANNELS"),
                               "attention.q attention.k attention.v": (3, None)},
        [("attention", "dim", 3, 1), ("attention", "inner", 12, 4)]),
    "rotary": (attention.Rotary, {"q k v": (3, None)}, [("", "heads", 3, 1)]),
    "grouped queries": (attention.GroupedQueries, {"q k v": (3, None)},
                        [("", "heads", 6, 1), ("", "key_heads", 3, 1)]),
    "numbers in the code": (attention.InCode, {"q": (4, STAYS), "k": (4, STAYS), "v": (4, STAYS)}, []),
}


SLOW = ("product, length open", "joint, product", "open length of a head")


@pytest.mark.parametrize("build, expected, attributes", [
    pytest.param(*row, id=name, marks=pytest.mark.slow if name in SLOW else ()) for name, row in TABLE.items()])
def test_heads(build, expected, attributes):
    net = randomise(build())
    graph = trace(net, SHAPE)
    groups = [g for g in graph.groups() if g.name not in ("embed", "head")]
    assert {" ".join(g.members): (g.size, g.blocked_by and g.blocked_by.reason.name) for g in groups} == expected
    assert [(r.cell, r.attribute, r.old, r.factor) for r in graph.resizes] == attributes
    keep = {g: np.arange(g.size) % 3 != 1 for g in groups if g.blocked_by is None}
    if not keep:
        return
    plan, x = PrunePlan.from_groups(graph, keep), image(2, *SHAPE[1:])
    assert {(cell, name) for cell, name, _ in plan.attributes} == {(cell, name) for cell, name, *_ in attributes}
    small, full = slim(net, plan, check=False), mask(net, plan)
    expected_output = evaluate(full, x)
    assert relative_difference(evaluate(small, x), expected_output) <= 1e-6
    assert relative_difference(evaluate(net, x), expected_output) > 1e-2
    assert sum(p.size for p in small.get_parameters()) < sum(p.size for p in net.get_parameters())


def test_what_attention_takes_from_its_surroundings_stays_and_the_rest_is_free():
    """The width of the half comes from one value and cuts another; the split of the other cell follows an attribute."""
    net, shape = randomise(attention.InHalf()), (1, 3, 6, 6)
    graph = trace(net, shape)
    found = {g.members[0]: (g.size, g.blocked_by and g.blocked_by.reason.name) for g in graph.groups()}
    free = {name: size for name, (size, reason) in found.items() if reason is None}
    assert free == {"stem": 8, "cross.conv": 3, "cross.unit": 3, "part.last": 6}
    assert found["part.first"][1] == "FIXED_BY_CODE" and found["part.inside.qkv"][1] == "FIXED_BY_CODE"
    assert [(r.cell, r.attribute, r.old, r.factor) for r in graph.resizes] == [("cross", "half", 3, 1)]
    keep = {g: np.arange(g.size) % 3 != 1 for g in graph.groups() if g.blocked_by is None}
    plan, x = PrunePlan.from_groups(graph, keep), image(2, *shape[1:])
    assert relative_difference(evaluate(slim(net, plan, check=False), x), evaluate(mask(net, plan), x)) <= 1e-6
