"""Importing the package prints nothing and loads nothing heavy. (Its cost is measured in benchmarks, not here.)"""

import inspect
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mindspore_gs

PROBE = """
import sys, mindspore
before = set(sys.modules)
import mindspore_gs
from mindspore_gs.pruner.scop.scop_pruner import PrunerKfCompressAlgo
import json; print(json.dumps(sorted(set(sys.modules) - before)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def imported():
    return subprocess.run([sys.executable, "-W", "error::DeprecationWarning:mindspore_gs", "-c", PROBE],
                          cwd=Path(mindspore_gs.__file__).parents[1], capture_output=True, text=True, timeout=300)


def test_importing_prints_nothing(imported):
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout == ""


def test_importing_loads_nothing_heavy(imported):
    loaded = set(json.loads(imported.stderr.strip().splitlines()[-1]))
    roots = {name.split(".")[0] for name in loaded}
    assert not roots & {"click", "rich", "matplotlib", "yaml", "sklearn", "onnx", "onnxruntime", "pandas", "torch"}
    assert "mindspore_gs.graph.rules" in loaded


def test_public_names():
    assert len(set(mindspore_gs.__all__)) == len(mindspore_gs.__all__)
    assert all(hasattr(mindspore_gs, name) for name in mindspore_gs.__all__)
    assert {"CompAlgo", "PrunerKfCompressAlgo", "PrunerFtCompressAlgo", "save_pruned", "load_pruned", "export_mindir",
            "export_onnx", "recalibrate", "summary"} <= set(mindspore_gs.__all__)


def test_imports_run_one_way():
    """pruner -> masks -> slim -> graph; and what is below the pruners never mentions SCOP."""
    root = Path(mindspore_gs.__file__).parent
    for folder, forbidden in (("graph", r"mindspore_gs\.(slim|masks|pruner)|\bscop\b|knockoff"),
                              ("slim", r"mindspore_gs\.(masks|pruner)|\bscop\b|knockoff"),
                              ("masks", r"mindspore_gs\.pruner|\bscop\b|knockoff")):
        for file in sorted((root / folder).rglob("*.py")):
            assert re.search(forbidden, file.read_text().lower()) is None, file


def test_only_the_entry_point_imports_the_command_line():
    root = Path(mindspore_gs.__file__).parent
    files = [f.relative_to(root) for f in sorted(root.rglob("*.py")) if "mindspore_gs.cli" in f.read_text()]
    assert [f.as_posix() for f in files if f.parts[0] != "cli"] == ["__main__.py"]


def test_mindspores_private_interfaces_are_touched_in_one_file():
    root = Path(mindspore_gs.__file__).parent
    files = [f.relative_to(root).as_posix() for f in sorted(root.rglob("*.py")) if "mind_ir_pb2" in f.read_text()]
    assert files == ["graph/_decode.py", "graph/_mindir.py"]


def test_no_module_is_shadowed_by_a_function_of_its_name():
    """Otherwise ``import mindspore_gs.slim.slim`` would give the module or the function, as the wind blows."""
    root = Path(mindspore_gs.__file__).parent
    for file in sorted(root.rglob("*.py")):
        name = ".".join(file.relative_to(root.parent).with_suffix("").parts)
        if not name.endswith("__"):
            assert inspect.ismodule(pkgutil.resolve_name(name)), name
