"""The table of engines: what is made adds up, what is there is not made again, and the page has each figure."""

import json
import re

import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")

from benchmarks import performance_files, performance_table, performance_times  # noqa: E402
from benchmarks.networks import Chain  # noqa: E402

KEYS = ("policy", "round_to")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the files of a small network, and the lines about them."""
    folder = tmp_path_factory.mktemp("performance")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(performance_files.NETWORKS, "tiny", (lambda: Chain(4, width=32), 16))
        for engines in (["onnxruntime"], ["onnxruntime"]):  # the second time there is nothing to do
            performance_files.make(folder, ["tiny"], engines, [1, 2], [1, 8])
        performance_times.time_all(folder, ["tiny"], ["onnxruntime"], [1, 2], [1, 8], 3, 0)
        performance_times.time_all(folder, ["tiny"], ["onnxruntime"], [1, 2], [1, 8], 3, 0)
        yield folder, performance_files.lines(folder / "files.jsonl"), performance_files.lines(folder / "times.jsonl")


def test_each_version_once_at_half_of_the_macs(made):
    _, files, times = made
    versions = {("dense", 0), ("limit", 0), *((p, r) for p in ("keep", "couple", "inner", "keep wide") for r in (1, 8))}
    for rows in (files, times):
        assert len(rows) == 2 * len(versions) and {tuple(row[key] for key in KEYS) for row in rows} == versions
    dense = next(row for row in files if row["policy"] == "dense")
    shares = {tuple(row[key] for key in KEYS): row["macs"] / dense["macs"] for row in files}
    assert all(abs(share - 0.5) < 0.12 for version, share in shares.items() if version != ("dense", 0)), shares
    gathers = {"keep": 2, "keep wide": 1}  # two layers write into the sum; one of them is cheaper with filters of zeros
    assert all(row["gathers"] == gathers.get(row["policy"], 0) for row in files)
    assert all(10 < row["peak_mb"] < 1000 and 0 < row["bytes"] <= dense["bytes"] for row in files)


def test_times_are_ratios_within_turns(made):
    _, _, times = made
    for row in times:
        median, low, high = row["speed_up"]
        assert 0 < low <= median <= high and row["ms"] > 0 and row["runs"] == (3 if row["batch"] == 1 else 1)
        assert row["policy"] != "dense" or row["speed_up"] == [1, 1, 1]


def test_the_page(made, monkeypatch):
    folder, _, times = made
    monkeypatch.setitem(performance_files.NETWORKS, "tiny", (None, 16))
    page = performance_table.page(folder)
    keep = next(row for row in times if row["policy"] == "keep" and row["round_to"] == 8 and row["batch"] == 2)
    lines = page[page.index("onnxruntime, batch 2"):].splitlines()
    line = next(line for line in lines if re.match(r"\| tiny \| [0-9.]+ \| keep", line))
    assert "{:.2f} [{:.2f}, {:.2f}]".format(*keep["speed_up"]) in line
    assert "| tiny | keep 8 |" in page and "multiples of 8" in page and "Not made" not in page


def test_what_cannot_be_made_is_a_line(made, tmp_path, monkeypatch):
    monkeypatch.setitem(performance_files._EXPORTS, "onnxruntime", lambda *arguments: (tmp_path / "none").stat())
    performance_files.make(tmp_path, ["tiny"], ["onnxruntime"], [1], [])
    rows = [json.loads(line) for line in (tmp_path / "files.jsonl").read_text().splitlines()]
    assert [row["policy"] for row in rows] == ["dense", "limit"]
    assert all(row["error"].startswith("FileNotFoundError") for row in rows)
    assert "Not made" in performance_table.page(tmp_path)
