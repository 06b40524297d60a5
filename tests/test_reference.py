"""docs/api.md, the reference that Sphinx makes, has every public name, and each of them says what it is."""

import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
import zlib

import pytest

from tests.pages import DOCS

MODULES = ["mindspore_gs", "mindspore_gs.pruner", "mindspore_gs.pruner.criteria", "mindspore_gs.masks",
           "mindspore_gs.slim", "mindspore_gs.graph", "mindspore_gs.comp_algo", "mindspore_gs.report",
           "mindspore_gs.errors", "mindspore_gs.distill", "mindspore_gs.int8", "mindspore_gs.analysis",
           "mindspore_gs.pruner.phases", "mindspore_gs.runs", "mindspore_gs.summaries", "mindspore_gs.progress"]
_DIRECTIVE = re.compile(r"^\.\. automodule:: (\S+)\n((?:   :.*\n)*)", re.M)


def public(module):
    """The names that a module offers: ``__all__``, or the public ones that it defines."""
    return set(getattr(module, "__all__", None) or
               [name for name, value in vars(module).items() if not name.startswith("_") and
                getattr(value, "__module__", None) == module.__name__])


def shown(text):
    """The objects that the page asks Sphinx for, by identity, and the names that it describes itself."""
    found = list(re.findall(r"^\.\. py:data:: (\w+)$", text, re.M))
    for name, options in _DIRECTIVE.findall(text):
        module = importlib.import_module(name)
        given = re.search(r":members:(.*)", options)
        assert given, f"{name} shows no members"
        left_out = re.search(r":exclude-members: (.*)", options)
        names = set(re.findall(r"\w+", given[1])) or public(module)
        found += [getattr(module, each) for each in names - set(re.findall(r"\w+", left_out[1] if left_out else ""))]
    return found


TEXT = (DOCS / "api.md").read_text()
NAMES = [(module, name) for module in MODULES for name in sorted(public(importlib.import_module(module)))]


@pytest.mark.parametrize("module, name", NAMES, ids=[f"{module}.{name}" for module, name in NAMES])
def test_a_public_name_is_in_the_reference_and_has_a_docstring(module, name):
    value, there = getattr(importlib.import_module(module), name), shown(TEXT)
    if inspect.ismodule(value):
        assert f".. automodule:: {value.__name__}\n" in TEXT
    else:
        assert name in there or any(value is each for each in there)
    if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
        assert len(inspect.getdoc(value) or "") > 20


def test_a_name_that_is_left_out_is_found():
    text = "\n.. automodule:: mindspore_gs\n   :members:\n   :exclude-members: prune\n"
    import mindspore_gs
    assert any(mindspore_gs.summary is each for each in shown(text))
    assert not any(mindspore_gs.prune is each for each in shown(text))


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path):
    """With the extra ``docs``, as ``make docs`` does it; the inventory has all of the main names."""
    if importlib.util.find_spec("sphinx") is None:
        pytest.skip("Sphinx is not installed; pip install '.[docs]'")
    run = subprocess.run([sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(DOCS), str(tmp_path)],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    inventory = zlib.decompress((tmp_path / "objects.inv").read_bytes().split(b"zlib.\n", 1)[1]).decode()
    import mindspore_gs
    assert [name for name in mindspore_gs.__all__ if f"mindspore_gs.{name} py:" not in inventory] == []
