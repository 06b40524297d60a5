"""Libraries whose networks need less than the library imports."""

import importlib
import sys

import pytest

from benchmarks import recipes, zoo_yolo
from benchmarks.stand_ins import stand_in


def test_what_is_missing_can_be_imported_and_what_is_there_stays():
    stand_in("no_such_library", "json")
    inner = importlib.import_module("no_such_library.inner")
    assert isinstance(inner.Reader, type) and inner.check(len) is len and inner.check(1)(len) is len
    assert importlib.import_module("json").loads("[1]") == [1]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("another_library_that_is_missing")
    assert "no_such_library.inner" in sys.modules


@pytest.mark.parametrize("name", zoo_yolo.YOLOS)
def test_each_layer_of_a_detector_reads_layers_before_it(name):
    rows = zoo_yolo.YOLOS[name][1]().rows
    for place, (source, number, _, _) in enumerate(rows):
        assert number >= 1
        for each in source if isinstance(source, list) else [source]:
            assert -place <= each < place if place else each == -1
    assert rows[-1][2].endswith("Head") and len(rows[-1][0]) in (3, 6)


def test_every_network_has_a_recipe_of_its_own():
    found = recipes.names()
    assert len(set(found)) == len(found)
    for name in found:
        if name.startswith(("papers/", "mindocr/", "mindyolo/")):
            made = recipes.recipe(name)
            assert made.library == name.partition("/")[0] and made.task and all(made.shapes)
