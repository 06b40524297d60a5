"""What stands on what: NumPy 2, and the remains of an installation, are named with the remedy."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mindspore_gs
from mindspore_gs import _distribution

PACKAGE = Path(mindspore_gs.__file__).parent


@pytest.mark.parametrize(("numpy", "mindspore", "refused"), [
    ("2.0.0", "2.7.0", True), ("2.3.1", "2.10.0", True), ("2.1.0rc1", "2.10.0rc1", True), ("1.26.4", "2.10.0", False),
    ("2.2.0", "2.11.0", False), ("2.2.0", None, False)])
def test_numpy_2(numpy, mindspore, refused, monkeypatch):
    def version(name):
        found = {"numpy": numpy, "mindspore": mindspore}[name]
        if found is None:
            raise _distribution.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(_distribution, "version", version)
    if not refused:
        assert _distribution.refuse_numpy_2() is None
        return
    with pytest.raises(ImportError, match=r"NumPy 2\.\d is installed, but MindSpore 2\.\d+ works with NumPy 1 only.*"
                                          "Run 'pip install \"numpy<2\"'"):
        _distribution.refuse_numpy_2()


def test_numpy_2_in_a_fresh_process(tmp_path):
    """The import itself refuses: here with the metadata of a NumPy 2 in front of the real one."""
    folder = tmp_path / "numpy-2.1.3.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 2.1.3\n")
    done = _python("import mindspore_gs", tmp_path, PACKAGE.parent)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: NumPy 2.1 is installed, but MindSpore 2.")


@pytest.mark.parametrize("module", ["errors", "checkpoint", "graph", "pruner.config"])
def test_the_remains_of_an_installation(module, tmp_path):
    """Golden Stick was uninstalled and took __init__.py along; each file that is left says what happened."""
    shutil.copytree(PACKAGE, tmp_path / "mindspore_gs", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "mindspore_gs" / "__init__.py").unlink()
    done = _python(f"import mindspore_gs.{module}", tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ") and "no __init__.py: another distribution of this name" in last
    assert "pip install --force-reinstall --no-deps mindspore-gs-pruner" in last


def _python(code, *folders):
    path = ":".join(map(str, folders))
    return subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin"},
                          capture_output=True, text=True, timeout=300, cwd=folders[0])
