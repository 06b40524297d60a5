"""benchmarks/accuracy.py: one file for each run, no run twice, means and pictures that add up."""

import json

import mindspore as ms
import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks import accuracy
from benchmarks.accuracy_plot import draw, figure_of
from benchmarks.networks import network


def row(criterion, seed, target, before):
    return {"criterion": criterion, "scope": "layer", "target": target, "seed": seed, "macs": target, "params": target,
            "dense": 90.0, "before": {"nothing": 10.0, "recalibrated": 20.0, "compensated": before}, "after": {}}


RECORD = {"options": {"net": "resnet20", "seeds": [0, 1], "tune": [], "epochs": 0},
          "rows": [row("l1", 0, 0.5, 70.0), row("l1", 1, 0.5, 74.0), row("l1", 0, 0.7, 80.0), row("l1", 1, 0.7, 81.0)]}


def test_the_table_has_mean_and_spread():
    table = accuracy.table(RECORD)
    assert table.row_count == 2
    assert list(table.columns[-1].cells) == ["72.00 +- 2.00", "80.50 +- 0.50"]


def test_the_picture_has_a_line_for_each_way(tmp_path):
    figure = figure_of(RECORD)
    assert isinstance(figure, Figure)
    lines = figure.axes[0].get_legend_handles_labels()
    assert lines[1] == ["dense", "l1, layer, nothing", "l1, layer, recalibrated", "l1, layer, compensated"]
    points = lines[0][3].lines[0].get_xydata()
    np.testing.assert_allclose(points, [[0.5, 72.0], [0.7, 80.5]])
    draw(RECORD, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


def options(tmp_path, *words):
    return accuracy.parser().parse_args(["--out", str(tmp_path / "runs"), "--images", "16", "--batch", "8", *words])


def test_an_unknown_criterion(tmp_path):
    with pytest.raises(ValueError, match="the criterion 'best' is unknown; there are .*l1, l2"):
        accuracy.measure(options(tmp_path, "--criteria", "best"))


@pytest.mark.slow
def test_a_run_is_done_once_and_goes_on_where_it_was_stopped(tmp_path):
    ms.save_checkpoint(network("resnet20"), str(tmp_path / "net.ckpt"))
    words = ["--pretrained", str(tmp_path / "net.ckpt"), "--targets", "0.5"]
    first = accuracy.measure(options(tmp_path, *words))["rows"]
    files = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert files == ["resnet20-l1-layer-0.5-0.json"]
    assert first[0]["macs"] == pytest.approx(0.5, abs=0.02) and set(first[0]["before"]) == set(accuracy.REPAIRS)
    both = accuracy.measure(options(tmp_path, *words, "--criteria", "l1", "random"))["rows"]
    assert [row["criterion"] for row in both] == ["l1", "random"]
    assert both[0]["before"] == first[0]["before"] and "commit" in both[0]
    stored = json.loads((tmp_path / "runs" / files[0]).read_text())
    assert stored["before"] == first[0]["before"]
    with pytest.raises(ValueError, match="is of a run with other settings"):
        accuracy.measure(options(tmp_path, *words, "--images", "32"))
