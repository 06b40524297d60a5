"""doctor: each kind of trouble is found, with its remedy; and help needs no extra."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mindspore_gs_doctor import checks as doctor

pytest.importorskip("click", reason="click is not installed (extra 'cli')")

from click.testing import CliRunner  # noqa: E402

from mindspore_gs.cli.commands import commands  # noqa: E402

ROOT = Path(__file__).parents[2]


def distribution_in(folder, name, version):
    """A distribution as pip leaves it: a folder with metadata."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder


@pytest.fixture
def found_first(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_numpy_2_is_found(found_first):
    distribution_in(found_first, "numpy", "2.1.0")
    finding = doctor.numpy_version()
    assert (finding.level, finding.found) == ("problem", "2.1.0") and "pip install 'numpy<2'" in finding.remedy


def checked(check, folder, site=ROOT, path=()):
    """What a check says in a Python that is started in ``folder``, with ``path`` in front of ``site``."""
    code = f"from mindspore_gs_doctor import checks; import json; print(json.dumps(checks.{check}.document()))"
    clean = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder,
                          env=clean | {"PYTHONPATH": os.pathsep.join(map(str, (*path, site)))}, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("place", ["mindspore_gs.py", "mindspore_gs/__init__.py"])
@pytest.mark.parametrize("where", ["current directory", "path"])
def test_another_mindspore_gs_in_front_is_found(place, where, tmp_path):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("")
    (tmp_path / "elsewhere").mkdir()
    here, path = (tmp_path, ()) if where == "current directory" else (tmp_path / "elsewhere", (tmp_path,))
    finding = checked("owner_of_the_package()", here, path=path)
    assert finding["level"] == "problem" and f"Python takes {tmp_path / place} for mindspore_gs" in finding["found"]
    assert checked("owner_of_the_package()", tmp_path / "elsewhere")["level"] == "ok"


def test_remains_without_init_are_found(tmp_path):
    shutil.copytree(ROOT / "mindspore_gs_doctor", tmp_path / "site" / "mindspore_gs_doctor")
    (tmp_path / "site" / "mindspore_gs" / "pruner").mkdir(parents=True)
    finding = checked("owner_of_the_package()", tmp_path, site=tmp_path / "site")
    assert finding["level"] == "problem" and "has no __init__.py" in finding["found"]
    assert "--force-reinstall" in finding["remedy"]


def test_the_command_answers_where_the_package_cannot_be_imported(tmp_path):
    """Every other command says why in one line; doctor does not import the package."""
    (tmp_path / "mindspore_gs.py").write_text("raise ImportError('not this one')")
    code = "import sys; sys.argv = ['mindspore-gs', {!r}]; from mindspore_gs_doctor import main; main()"
    done = [subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, text=True, cwd=tmp_path,
                           env=os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}, check=False)
            for name in ("inspect", "doctor")]
    assert done[0].returncode == 1 and done[0].stderr.startswith("error: not this one ('mindspore-gs doctor' looks")
    assert done[0].stderr.count("\n") == 1
    assert done[1].returncode == 1 and f"Python takes {tmp_path / 'mindspore_gs.py'}" in done[1].stdout


AVX512 = Path("/proc/cpuinfo").is_file() and "avx512f" in Path("/proc/cpuinfo").read_text()


@pytest.mark.skipif(not AVX512, reason="this CPU has no AVX-512, so its convolutions are fast anyway")
def test_the_slow_convolution_is_found_for_real(tmp_path):
    finding = checked("convolution(checks.measure_convolution)", tmp_path)
    assert finding["level"] == "problem" and finding["found"].endswith("ONEDNN_MAX_CPU_ISA is not set")


def test_golden_stick_beside_it_is_found(found_first):
    assert doctor.owner_of_the_package().level == "ok"
    distribution_in(found_first, "mindspore-gs", "1.4.1")
    finding = doctor.owner_of_the_package()
    assert finding.level == "problem" and "mindspore-gs 1.4.1" in finding.found
    assert "pip uninstall mindspore-gs mindspore-gs-pruner" in finding.remedy


def test_another_mindspore_is_found(found_first):
    distribution_in(found_first, "mindspore", "2.5.0")
    finding = doctor.mindspore_version()
    assert finding.level == "problem" and "2.7 to 2.10" in finding.remedy


@pytest.mark.parametrize(("speed", "level"), [(0.6, "problem"), (60.0, "ok")])
def test_slow_convolutions_are_found(speed, level, monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    finding = doctor.convolution(lambda: speed)
    assert finding.level == level and f"{speed} GFLOP/s" in finding.found
    assert ("ONEDNN_MAX_CPU_ISA=AVX2" in finding.remedy) == (level == "problem")


def test_a_busy_machine_is_not_taken_for_a_wrong_setting(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    finding = doctor.convolution(lambda: 0.6)
    assert finding.level == "note" and "measure again when the machine is quiet" in finding.remedy


def test_a_convolution_that_fails_is_a_finding():
    def fails():
        raise SystemError("pyboost_zeros")

    finding = doctor.convolution(fails)
    assert finding.level == "problem" and "SystemError: pyboost_zeros" in finding.found


def test_a_convolution_is_really_measured():
    assert doctor.measure_convolution() > 0.01


def test_the_command_says_it_with_its_exit_code(monkeypatch):
    findings = [doctor.Finding("a", "ok", "1"), doctor.Finding("b", "problem", "2", "do this")]
    monkeypatch.setattr("mindspore_gs.cli.commands.examine", lambda: findings)
    result = CliRunner().invoke(commands, ["doctor"])
    assert result.exit_code == 1 and "-> do this" in result.stdout
    result = CliRunner().invoke(commands, ["doctor", "--json"])
    assert [row["level"] for row in json.loads(result.stdout)] == ["ok", "problem"]


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_need_no_extra(option):
    code = f"import sys; sys.modules['click'] = None; sys.argv = ['x', {option!r}]"
    code += "; from mindspore_gs.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0 and "mindspore-gs" in done.stdout, done.stderr
