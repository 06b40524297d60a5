"""The benchmarks run on tiny settings, and what they write down adds up. Nothing is said about any time."""

import json
import math
from importlib.util import find_spec

import numpy as np
import pytest
from mindspore import nn

from benchmarks import conditions, inference, operators, run, tracing, training
from benchmarks.command import write_json
from benchmarks.networks import network
from benchmarks.turns import Spread, ratio
from mindspore_gs.timing import take_turns


def measure(benchmark, tmp_path, *words):
    """Run a benchmark in this process; the record as it comes back from JSON."""
    options = benchmark.parser().parse_args(list(words))
    record = {"options": vars(options), **benchmark.measure(options)}
    assert benchmark.table(record).row_count > 0
    write_json(record, tmp_path / "record.json")
    return record, json.loads((tmp_path / "record.json").read_text())["rows"]


def is_spread(value):
    numbers = value["low"], value["median"], value["high"]
    return all(0 < number < math.inf for number in numbers) and sorted(numbers) == list(numbers)


def test_training(tmp_path):
    _, rows = measure(training, tmp_path, "--net", "chain4", "--size", "16", "--batch", "4", "--runs", "2")
    assert [row["network"] for row in rows] == ["dense", "knockoff", "masked", "slim keep", "slim couple",
                                                 "slim inner"]
    assert all(is_spread(row["ratio"]) for row in rows)
    assert rows[0]["ratio"] == {"median": 1, "low": 1, "high": 1}
    for row in rows[3:]:
        assert is_spread(row["speed_up"]) and 0 < row["macs_ratio"] < 1
        assert row["ideal"] == pytest.approx(1 / row["macs_ratio"])
        assert row["share"] == pytest.approx(row["speed_up"]["median"] / row["ideal"])


def test_operators(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, rows = measure(operators, tmp_path, "--net", "chain4", "--size", "16", "--batch", "8", "--runs", "1")
    times = {row["operator"]: (row["dense"], row["other"]) for row in rows}
    assert times["Conv2DBackpropFilter"][0] > 0 == times["Conv2DBackpropFilter"][1]
    for total, *parts in zip(times.pop("all"), *times.values()):
        assert total == pytest.approx(sum(parts))


def test_inference(tmp_path):
    record, rows = measure(inference, tmp_path, "--net", "chain4", "--size", "16", "--batch", "2", "--rate", "0.5",
                           "--round-to", "2", "--runs", "2")
    assert [(row["size"], row["batch"], row["residual"], row["round_to"], row["rate"]) for row in rows] == [
        (16, 2, "keep", 2, 0.5), (16, 2, "couple", 2, 0.5), (16, 2, "inner", 2, 0.5)]
    assert 0 < rows[0]["gathers"] < 1 and rows[1]["gathers"] == rows[2]["gathers"] == 0
    for row in rows:
        assert is_spread(row["ratio"]) and is_spread(row["speed_up"])
        assert 0 < row["macs_ratio"] < 1 and 0 < row["params_ratio"] < 1
        assert row["bytes_ratio"] == row["bytes"][1] / row["bytes"][0] < 1
        assert is_spread(row["folding"]) and all(100 < megabytes < 10_000 for megabytes in row["peak_mb"])
    if find_spec("matplotlib"):
        inference.draw(record, tmp_path / "latency.png")
        assert (tmp_path / "latency.png").stat().st_size > 1000


def test_tracing(tmp_path):
    record, rows = measure(tracing, tmp_path, "--net", "chain6", "--size", "16", "--runs", "1")
    assert [(row["network"], row["convolutions"]) for row in rows] == [("chain6", 6)]
    for row in rows:
        assert list(row["ratios"]) == list(row["seconds"]) == list(tracing.STEPS)
        assert all(is_spread(value) for value in row["ratios"].values())
        assert row["ratios"]["trace to slim"]["median"] == pytest.approx(
            sum(row["ratios"][step]["median"] for step in ("trace", "groups()", "plan", "slim")))
    if find_spec("matplotlib"):
        tracing.draw(record, tmp_path / "tracing.png")
        assert (tmp_path / "tracing.png").stat().st_size > 1000


def test_all_in_one_file(tmp_path):
    words = ["--out", str(tmp_path), "--only", "tracing", "--tracing", "--net chain4 --size 16 --runs 1"]
    record = json.loads(run.run_all(run.parser().parse_args(words)).read_text())
    assert list(record["benchmarks"]) == ["tracing"]
    assert record["benchmarks"]["tracing"]["rows"][0]["network"] == "chain4"
    assert record["machine"]["cores"] > 0 and record["versions"]["mindspore"].startswith("2.")
    assert set(record) == {"machine", "versions", "commit", "environment", "load", "time", "benchmarks"}


def test_actions_take_turns():
    order = []
    seconds = take_turns([lambda: order.append("a"), lambda: order.append("b")], runs=2, warm_up=1)
    assert order == ["a", "b", "b", "a", "a", "b"] and seconds.shape == (2, 2)


def test_a_ratio_is_taken_within_a_turn():
    slow_then_fast = np.array([100.0, 1.0, 1.0])
    assert ratio(slow_then_fast, slow_then_fast / 2) == Spread(2, 2, 2)


def test_a_busy_machine_is_named():
    state = {"machine": {"cores": 2}, "load": 0.4}
    assert conditions.warning(state) is None
    assert "The load was 1.5 on 2 cores" in conditions.warning(state | {"load": 1.5})


def test_the_chain_has_as_many_convolutions_as_its_name_says():
    cells = network("chain10").cells_and_names()
    assert sum(isinstance(cell, nn.Conv2d) for _, cell in cells) == 10


def test_a_network_of_mindcv_by_its_name():
    pytest.importorskip("mindcv.models", reason="mindcv is not installed; it comes with the extra 'zoo'")
    assert any(isinstance(cell, nn.Conv2d) for _, cell in network("mindcv:squeezenet1_0").cells_and_names())


@pytest.mark.parametrize("name, words", [("chain7", "even number of at least 4 .*got 7"),
                                         ("resnet99", "'resnet99', but must be resnet18, .*chainN")])
def test_a_network_that_does_not_exist(name, words):
    with pytest.raises(ValueError, match=words):
        network(name)
