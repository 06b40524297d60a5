"""benchmarks/jointrd.py and plain.py: three ways with one budget, their curves, and time and memory of two files."""

import mindspore as ms
import numpy as np
import pytest

from benchmarks import jointrd, plain
from benchmarks.jointrd_plot import draw, figure_of
from benchmarks.networks import network


def row(way, seed, curve):
    return {"way": way, "lr": 0.1, "seed": seed, "teacher": 91.7, "curve": curve, "final": curve[-1], "seconds": 10.0}


RECORD = {"options": {"net": "resnet20", "epochs": 2, "train_images": 0, "start": "teacher", "seeds": [0, 1]},
          "rows": [row("joint", 0, [50.0, 80.0]), row("joint", 1, [54.0, 82.0]), row("naive", 0, [30.0, 60.0]),
                   row("naive", 1, [30.0, 61.0])]}


def test_the_table_has_mean_and_spread():
    table = jointrd.table(RECORD)
    assert list(table.columns[3].cells) == ["52.00 +- 2.00", "30.00 +- 0.00"]
    assert list(table.columns[4].cells) == ["81.00 +- 1.00", "60.50 +- 0.50"]


def test_the_picture_has_a_curve_for_each_way(tmp_path):
    axes = figure_of(RECORD).axes[0]
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert lines["joint, 0.1"] == [[1, 52], [2, 81]] and lines["naive, 0.1"] == [[1, 30], [2, 60.5]]
    draw(RECORD, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000


@pytest.mark.slow
def test_the_three_ways_have_one_budget(tmp_path):
    ms.save_checkpoint(network("resnet20"), str(tmp_path / "net.ckpt"))
    words = ["--out", str(tmp_path / "runs"), "--pretrained", str(tmp_path / "net.ckpt"), "--train_images", "16",
             "--eval_images", "16", "--batch", "8", "--epochs", "2"]
    rows = jointrd.measure(jointrd.parser().parse_args(words))["rows"]
    assert [(row["way"], len(row["curve"]), len(row["losses"])) for row in rows] == [(w, 2, 2) for w in jointrd.WAYS]
    assert all(np.isfinite(row["losses"]).all() for row in rows)
    assert jointrd.measure(jointrd.parser().parse_args(words))["rows"] == rows


@pytest.mark.slow
def test_time_and_memory_of_both_files():
    found = plain.measure(plain.parser().parse_args(["--batch", "2", "--runs", "3"]))["rows"]
    assert [(row["size"], row["batch"]) for row in found] == [(32, 2)]
    assert min(found[0]["ms"]) > 0 and min(found[0]["peak_mb"]) > 50 and found[0]["ratio"].median > 0
    assert plain.table({"options": {"net": "resnet20", "runs": 3}, "rows": found}).row_count == 1
