"""examples/yolo: what it draws, how it measures, and the whole way where mindyolo is installed."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).parents[2] / "examples" / "yolo"
needs_mindyolo = pytest.mark.skipif(find_spec("mindyolo") is None,
                                    reason="mindyolo is not installed (benchmarks/requirements-coverage.txt)")


@pytest.fixture
def modules(monkeypatch):
    """The example's shapes.py and measure.py."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("shapes", "measure"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import measure
    import shapes
    yield shapes, measure
    for name in ("shapes", "measure"):
        sys.modules.pop(name, None)


def test_the_boxes_are_where_the_shapes_are(modules):
    shapes, _ = modules
    pictures = shapes.draw_pictures(12, 64, 3)
    assert np.array_equal(pictures.pixels, shapes.draw_pictures(12, 64, 3).pixels)
    for number in range(12):
        bright = (pictures.pixels[number] > 80).any(axis=2)
        inside = np.zeros_like(bright)
        for left, top, right, bottom, kind in pictures.boxes(number):
            assert 0 <= left < right <= 64 and 0 <= top < bottom <= 64 and 0 <= kind < len(shapes.NAMES)
            inside[round(top):round(bottom), round(left):round(right)] = True
        assert bright.any() and not (bright & ~inside).any()
    images, targets = pictures.inputs(slice(4, 8))
    assert images.shape == (4, 3, 64, 64) and images.min() >= 0 and images.max() <= 1
    assert targets[:, 0, 0].tolist() == [0, 1, 2, 3] and (pictures.targets[..., 0] == 0).all()


def test_precision_is_one_for_the_true_boxes_and_falls_with_wrong_ones(modules):
    shapes, measure = modules
    pictures = shapes.draw_pictures(40, 64, 1)
    true = [np.insert(pictures.boxes(k), 4, 0.9, axis=1) for k in range(40)]
    assert measure.mean_precision(true, pictures) == pytest.approx(1.0)
    assert measure.mean_precision([boxes[:0] for boxes in true], pictures) == 0.0
    moved = [boxes + np.array([40, 40, 40, 40, 0, 0]) for boxes in true]
    assert measure.mean_precision(moved, pictures) == 0.0
    twice = [np.concatenate([boxes, boxes * np.array([1, 1, 1, 1, 0.5, 1])]) for boxes in true]
    assert measure.mean_precision(twice, pictures) == pytest.approx(1.0)  # the second find of a box comes last
    first = [np.concatenate([boxes + np.array([40, 40, 40, 40, 0.05, 0]), boxes]) for boxes in true]
    assert measure.mean_precision(first, pictures) == pytest.approx(0.5, abs=0.01)


def test_the_sheet_has_a_row_for_each_network(modules):
    shapes, measure = modules
    pictures = shapes.draw_pictures(3, 64, 1)
    found = [np.insert(pictures.boxes(k), 4, 0.9, axis=1) for k in range(3)]
    sheet = measure.picture(pictures, [("dense", found), ("slim", found)], count=6, zoom=2)
    assert sheet.size == (3 * 132, 3 * 150)
    assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 100


@needs_mindyolo
def test_every_stage(tmp_path):
    options = "--mode PYNATIVE --size 64 --images 8 --batch 4 --steps 2 --kf_steps 1 --ft_steps 1"
    done = subprocess.run([sys.executable, str(FOLDER / "prune.py"), *options.split()], cwd=tmp_path, text=True,
                          capture_output=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / "output" / "results.json").read_text())
    for name in ("gamma", "scop"):
        assert abs(results[name]["macs"] - 0.6) <= 0.02 and results[name]["params"][1] < results[name]["params"][0]
        for file, size in results[name]["files"].items():
            assert (tmp_path / "output" / file).stat().st_size == size > 100_000
    assert Image.open(tmp_path / "output" / "boxes.png").size == (6 * 132, 6 * 150)


@pytest.mark.parametrize("arguments", [("--size", "100"), ("--batch", "9", "--images", "8")])
@needs_mindyolo
def test_wrong_sizes_are_refused(arguments, tmp_path):
    done = subprocess.run([sys.executable, str(FOLDER / "prune.py"), *arguments], cwd=tmp_path, text=True,
                          capture_output=True, timeout=300, check=False)
    assert done.returncode == 2 and f"{arguments[0]} must be" in done.stderr
