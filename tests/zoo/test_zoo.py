"""Models of mindcv: half of every free group removed, masked = slim = reloaded MindIR."""

import argparse
from importlib.util import find_spec

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from benchmarks import zoo
from benchmarks.coverage import run_one
from benchmarks.coverage_table import COLUMNS, page
from benchmarks.randomise import calibrate, images, randomise
from benchmarks.zoo_models import MODELS
from mindspore_gs.graph import trace
from mindspore_gs.slim import slim

mindcv = pytest.mark.skipif(find_spec("mindcv") is None, reason="mindcv is not installed: pip install '.[zoo]'")

# model: height and width of the image, least prunable share of the parameters
SAMPLE = {
    "squeezenet1_0": (64, 0.99), "seresnet18": (64, 0.99), "mobilenet_v2_035_128": (64, 0.99),
    "regnet_x_200mf": (64, 0.99), "ghostnet_050": (64, 0.9),
}


@pytest.fixture
def toy():
    """Two convolutions; the eight channels between them can be removed."""
    return nn.SequentialCell(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))


@mindcv
@pytest.mark.parametrize("name", SAMPLE)
def test_sample(name):
    size, prunable = SAMPLE[name]
    record = zoo.measure(name, size)
    assert (record["status"], record["error"]) == ("equal", "")
    assert record["prunable"] >= prunable
    assert record["params_after"] < (1 - prunable / 2) * record["params_before"]


@mindcv
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name not in SAMPLE])
def test_the_rest_is_equal_or_refused(name, tmp_path):
    options = argparse.Namespace(out=tmp_path, again=False, timeout=1800, seed=0)
    record = run_one(name, options)
    assert record["status"] in ("equal", "refused"), record["error"]


@mindcv
def test_a_slim_network_with_other_weights_is_wrong(monkeypatch):
    monkeypatch.setattr(zoo, "slim", lambda net, plan, check: randomise(slim(net, plan, check), seed=1))
    record = zoo.measure("squeezenet1_0", 64)
    assert record["status"] == "WRONG" and record["masked_slim"] > 0.1
    assert record["first_difference"] == "'features.0'"


@mindcv
def test_the_record_says_what_is_refused_and_where():
    record = zoo.measure("squeezenet1_0", 32)
    assert (record["status"], record["step"]) == ("refused", "trace") and "TraceError" in record["error"]


@pytest.mark.parametrize(("change", "status"), [
    ({}, "equal"), ({"masked_slim": 2e-4}, "WRONG"), ({"masked_slim": np.inf}, "WRONG"),
    ({"slim_mindir": 2e-4}, "WRONG"), ({"two_inputs": 1e-3}, "dull"), ({"masked_dense": 0.0}, "dull"),
    ({"masked_dense": np.inf}, "equal"), ({"masked_dense": np.nan}, "dull"), ({"two_inputs": np.inf}, "dull"),
    ({"largest_output": np.nan}, "dull"), ({"masked_slim": 2e-4, "rounding": 1e-4}, "equal"),
    ({"masked_slim": 2e-3, "rounding": 1e-2}, "WRONG"),
])
def test_judge(change, status):
    record = {"masked_slim": 1e-6, "slim_mindir": 0.0, "two_inputs": 0.5, "masked_dense": 0.5, "largest_output": 2.0,
              "rounding": 1e-6}
    record.update(change)
    zoo.judge(record)
    assert record["status"] == status and bool(record["error"]) == (status != "equal")


def test_differences_are_relative_to_small_outputs_too():
    masked, small = np.array([[1e-3, 0]]), np.array([[1e-3, 1e-6]])
    large = np.array([5.0])
    found = zoo.differences([[large, masked], [large, 2 * masked], [large, 1.5 * masked]], [large, 3 * masked],
                            [large, small], [large, small])
    np.testing.assert_allclose([found["masked_slim"], found["slim_mindir"]], [1e-3, 0])
    np.testing.assert_allclose([found["two_inputs"], found["masked_dense"], found["rounding"]], [1, 2, 0.5])


def test_accounts(toy):
    toy.extra = nn.Dense(5, 2)  # for training only
    graph = trace(toy, (1, 3, 8, 8))
    groups = graph.groups()
    found = zoo.accounts(toy, graph, groups)
    blocked = found.pop("blocked")
    free, total = 3 * 8 * 9 + 16 + 8 * 4 * 9, 3 * 8 * 9 + 16 + 8 * 4 * 9 + 12
    assert found == {"trainable": total, "prunable": free / total, "groups": 2, "free_groups": 1, "channels": 12,
                     "free_channels": 8, "outside": 12, "untraced": 12}
    assert [(b["reason"], b["operator"], b["channels"], b["params"]) for b in blocked] == [
        ("REACHES_OUTPUT", "Conv2D", 4, 0)]
    entries = {name: zoo._entries({name: tuple(toy.parameters_dict()[name].shape)}, groups[1:])
               for name in ("0.weight", "3.weight")}
    assert entries == {"0.weight": 0, "3.weight": 8 * 4 * 9}


def test_half_of_each_free_group_goes(toy):
    groups = trace(toy, (1, 3, 8, 8)).groups()
    first, second = zoo.half(groups, seed=1), zoo.half(groups, seed=2)
    assert list(first) == [groups[0]] and first[groups[0]].sum() == 4
    assert (first[groups[0]] != second[groups[0]]).any()


def test_no_parameter_keeps_its_initial_value(toy):
    before = {p.name: p.asnumpy().copy() for p in toy.get_parameters()}
    x = images((2, 3, 8, 8))
    calibrate(randomise(toy, seed=1), x, seed=1)
    for p in toy.get_parameters():
        assert (p.asnumpy() != before[p.name]).all() and np.unique(p.asnumpy()).size == p.size
    spread = toy[0](x).asnumpy().var((0, 2, 3))
    ratio = toy[1].moving_variance.asnumpy() / (spread + spread.mean())
    assert ratio.min() > 0.49 and ratio.max() < 1.51


def test_calibrating_leaves_the_statistics_of_removed_channels(toy):
    weight = toy[0].weight.asnumpy().copy()
    weight[2] = 0
    toy[0].weight.set_data(ms.Tensor(weight))
    before = randomise(toy[1], seed=1).moving_mean.asnumpy().copy()
    calibrate(toy, images((2, 3, 8, 8)))
    assert np.flatnonzero(toy[1].moving_mean.asnumpy() == before).tolist() == [2]


def test_the_page():
    head = {"reason": "REACHES_OUTPUT", "operator": "MatMul", "place": "p", "groups": 1, "channels": 4, "params": 0}
    softmax = head | {"reason": "MIXES_CHANNELS", "operator": "Softmax", "place": "q", "params": 200_000}
    equal = {"model": "a", "family": "f", "size": 64, "status": "equal", "error": "", "prunable": 0.75, "groups": 2,
             "seconds": {"trace": 1.0, "group": 0.5, "total": 9.0}, "params_before": 2_000_000, "params_after": 500_000,
             "macs_before": 4_000_000, "macs_after": 1_000_000, "masked_slim": 1e-7, "slim_mindir": 0.0, "channels": 12,
             "free_channels": 8, "free_groups": 1, "trainable": 2_000_000, "outside": 0, "blocked": [head]}
    crash = {"model": "b", "status": "CRASH", "error": "E: x|y", "size": 0, "seconds": {"total": 2.0}}
    kept = {"status": "refused", "error": "no", "masked_slim": 1e-7}
    blocked = equal | {"model": "c", "family": "g", "prunable": 0.25, "blocked": [head, softmax], "task": "detection",
                       "outside": 500_000, "scop": {"keep": kept, "couple": kept | {"status": "equal"}}}
    text = page([blocked, equal | {"commit": "abc+"}, crash], "command")
    rows = sorted(line for line in text.splitlines() if line.startswith(("| a ", "| b ", "| c |")))
    assert [row.count("|") for row in rows] == [len(COLUMNS) + 1] * 3
    assert rows[0] == ("| a | f | 64 | 75.0% | 0.50 / 2.00 M (25%) | 1.00 / 4.00 M (25%) | 1.0e-07 | 0.0e+00 | - | "
                       "1.0 / 0.5 / 9.0 | abc+ | equal |")
    assert "3 networks from 2 families: 2 equal, 1 CRASH." in text
    assert "prunable in 1 networks from 1 families" in text
    assert "| classification | 2 | 1 CRASH, 1 equal | 75.0% | - |" in text
    assert "| detection | 1 | 1 equal | 25.0% | no group 25.0%, MIXES_CHANNELS 10.0% |" in text
    assert "### a" not in text and "E: x\\|y" in text and "| MIXES_CHANNELS | Softmax | 1 | 4 | 200,000 | `q` |" in text
    assert "| refused, equal | 1.0 / 0.5 / 9.0 | - | equal |" in text and "SCOP, keep: refused: no" in text
