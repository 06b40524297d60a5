"""benchmarks/accuracy.py: one file for each network, none measured twice, means and pictures that add up."""

import json

import mindspore as ms
import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks import accuracy, results_table
from benchmarks.accuracy_plot import draw, figure_of, steps_figure
from benchmarks.accuracy_rows import Choice, Row, read_rows
from benchmarks.networks import network


def row(criterion, seed, target, value, weights="compensated", steps=0, teacher=0.0):
    choice = Row(Choice(criterion, "layer", target, seed), weights, steps, teacher)
    return {**choice.record(), "net": "resnet20", "macs": target, "params": target, "dense": 90.0, "accuracy": value}


ROWS = [row("l1", 0, 0.5, 70.0), row("l1", 1, 0.5, 74.0), row("l1", 0, 0.7, 80.0), row("l1", 1, 0.7, 81.0),
        row("l1", 0, 0.5, 20.0, "nothing"), row("l1", 1, 0.5, 22.0, "nothing")]
TRAINED = [row("l1", 0, 0.5, 70.0), row("l1", 0, 0.5, 75.0, steps=50), row("l1", 0, 0.5, 77.0, steps=50, teacher=0.5)]


def test_the_table_has_mean_and_spread():
    table = accuracy.table({"options": {"net": "resnet20"}, "rows": ROWS})
    assert table.row_count == 3
    assert list(table.columns[-2].cells) == ["72.00 ± 2.00", "80.50 ± 0.50", "21.00 ± 1.00"]
    assert list(table.columns[-1].cells) == ["2", "2", "2"]


def test_the_picture_has_a_line_for_each_way(tmp_path):
    figure = figure_of(ROWS)
    assert isinstance(figure, Figure)
    lines = figure.axes[0].get_legend_handles_labels()
    assert lines[1] == ["dense", "l1, layer, compensated", "l1, layer, nothing"]
    np.testing.assert_allclose(lines[0][1].lines[0].get_xydata(), [[0.5, 72.0], [0.7, 80.5]])
    draw({"rows": ROWS}, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_lines_against_steps_begin_without_training():
    handles, labels = steps_figure(TRAINED).axes[0].get_legend_handles_labels()
    assert labels == ["dense", "l1, compensated, no teacher", "l1, compensated, with teacher"]
    np.testing.assert_allclose(handles[1].lines[0].get_xydata(), [[0, 70.0], [50, 75.0]])
    np.testing.assert_allclose(handles[2].lines[0].get_xydata(), [[0, 70.0], [50, 77.0]])


def test_the_tables_of_the_page():
    plain, trained = results_table.tables(ROWS + TRAINED[1:])
    assert plain.splitlines()[2:] == [
        "| l1 | layer | 0.500 | 50.0% | 50.0% | 21.00 ± 1.00 |  | **72.00 ± 2.00** |",
        "| l1 | layer | 0.700 | 70.0% | 70.0% |  |  | **80.50 ± 0.50** |"]
    assert trained.splitlines()[2:] == [
        "| l1 | layer | compensated | no | 75.00 |", "| l1 | layer | compensated | 0.5 | 77.00 |"]


def test_what_stands_between_the_marks_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- runs: begin -->\nold\n<!-- runs: end -->\nafter\n")
    results_table.write(page, "runs", "new")
    assert page.read_text() == "before\n<!-- runs: begin -->\nnew\n<!-- runs: end -->\nafter\n"
    with pytest.raises(ValueError, match="has no lines .*other: begin"):
        results_table.write(page, "other", "new")


def options(tmp_path, *words):
    return accuracy.parser().parse_args(["--out", str(tmp_path / "runs"), "--images", "16", "--batch", "8",
                                         "--test_images", "64", *words])


def test_every_row_that_is_asked_for_has_a_name_of_its_own(tmp_path):
    given = options(tmp_path, "--steps", "5", "--epochs", "1", "0", "--teachers", "0", "0.5", "--tune", "nothing",
                    "compensated", "--starts", "scratch-E", "scratch-B", "rewound", "--scratch-epochs", "2")
    rows = list(accuracy.wanted(Choice("l1", "layer", 0.5, 0), given, epoch=200))
    assert len(rows) == 3 + 2 * 2 * 2 + 3 == len({row.file("net") for row in rows})
    assert [(row.weights, row.steps) for row in rows[-3:]] == [("scratch-E", 400), ("scratch-B", 800), ("rewound", 300)]
    assert rows[0].file("resnet20") == "resnet20-l1-layer-0.5-0-nothing.json"
    assert rows[3].file("resnet20") == "resnet20-l1-layer-0.5-0-nothing-5steps-lr0.01-teacher0.json"


@pytest.mark.parametrize(("words", "message"), [
    (["--criteria", "best"], "the criterion 'best' is unknown; there are .*l1, l2"),
    (["--starts", "scratch-B", "--budget", "params"], "'budget' must be 'macs', but is 'params'"),
], ids=["criterion", "budget"])
def test_wrong_options(tmp_path, words, message):
    with pytest.raises(ValueError, match=message):
        accuracy.measure(options(tmp_path, *words))


@pytest.mark.slow
def test_a_row_is_measured_once_and_the_command_goes_on_where_it_was_stopped(tmp_path):
    ms.save_checkpoint(network("resnet20"), str(tmp_path / "net.ckpt"))
    words = ["--pretrained", str(tmp_path / "net.ckpt"), "--targets", "0.5"]
    first = accuracy.measure(options(tmp_path, *words))["rows"]
    files = sorted(path.name for path in (tmp_path / "runs").glob("*.json"))
    assert files == [f"resnet20-l1-layer-0.5-0-{weights}.json" for weights in sorted(accuracy.REPAIRS)]
    assert first[0]["macs"] == pytest.approx(0.5, abs=0.02) and first[0]["channels"] == first[2]["channels"]
    both = accuracy.measure(options(tmp_path, *words, "--criteria", "l1", "taylor", "--steps", "2"))["rows"]
    assert [(row["criterion"], row["steps"]) for row in both] == 3 * [("l1", 0)] + [("l1", 2)] + 3 * [("taylor", 0)] \
        + [("taylor", 2)]
    stored = json.loads((tmp_path / "runs" / files[0]).read_text())
    assert stored["accuracy"] == first[2]["accuracy"] and "commit" in stored
    assert len(read_rows(tmp_path / "runs")) == 8
    with pytest.raises(ValueError, match="is of a run with other settings"):
        accuracy.measure(options(tmp_path, *words, "--images", "32"))


@pytest.mark.slow
def test_a_dense_network_of_its_own_the_knockoff_phase_and_other_starts(tmp_path):
    words = ["--criteria", "scop", "--kf-steps", "2", "--dense-epochs", "1", "--rewind", "2", "--scratch-epochs", "1",
             "--batch", "400", "--repairs", "nothing", "--starts", "scratch-E", "rewound", "unlearned",
             "--gate-steps", "2"]
    rows = accuracy.measure(options(tmp_path, *words, "--images", "400", "--engine", "mindspore"))["rows"]
    assert [(row["weights"], row["steps"]) for row in rows] == [("nothing", 0), ("scratch-E", 3), ("rewound", 1),
                                                              ("unlearned", 3)]
    assert rows[3]["channels"] != rows[1]["channels"] == rows[2]["channels"]
    assert all(0.45 < row["macs"] < 0.55 for row in rows)
    assert {path.name for path in (tmp_path / "runs").glob("*.ckpt")} == {"dense.ckpt", "early.ckpt"}
