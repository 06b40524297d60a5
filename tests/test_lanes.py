"""What ``make test`` leaves out is what it says, and what CI runs leaves out nothing but what is slow."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lanes import LONG, MOST, SLOW, WHOLE, surplus

ROOT = Path(__file__).parents[1]
SOME = """
import pytest

@pytest.mark.parametrize("k", range(2))
def test_case(k):
    print("ran", k)

@pytest.mark.long
def test_long(): pass

@pytest.mark.slow
def test_slow(): pass
"""


@pytest.mark.parametrize("cases, stay", [(0, "012345"), (1, "0"), (2, "05"), (3, "025"), (9, "012345")])
def test_cases_are_spread_from_the_first_to_the_last(cases, stay):
    names = [f"x.py::test[{k}]" for k in range(6)] + ["x.py::other"]
    assert set(names) - surplus(names, cases) == {f"x.py::test[{k}]" for k in stay} | {"x.py::other"}


@pytest.mark.parametrize("name", [*LONG, *SLOW, *WHOLE])
def test_what_takes_long_is_there(name):
    file, _, function = name.partition("[")[0].partition("::")
    assert (ROOT / file).exists() and (not function or f"def {function}(" in (ROOT / file).read_text())


@pytest.mark.parametrize("options, passed, said", [
    (["--cases", "1", "-m", "not slow and not long"], 1,
     "left out: 1 more cases of parametrised tests, make test-all runs them; 1 tests that take long, make test-all "
     "runs them; 2 slow tests, make test-slow runs them"),
    (["-m", "not slow", "-n", "2"], 2, "left out: 2 slow tests, make test-slow runs them"),
    (["--cases", "1", "-n", "2"], 3, "left out: 1 more cases of parametrised tests, make test-all runs them"),
    ([], 4, None)], ids=["default", "all", "processes", "nothing"])
def test_a_line_says_what_was_left_out(options, passed, said, tmp_path):
    (tmp_path / "test_some.py").write_text(SOME)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = long\n    slow\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "tests.lanes", *options], cwd=tmp_path, text=True,
                          capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) == passed
    assert ("left out" in done.stdout) == (said is not None) and (said is None or said in done.stdout)


def test_of_many_cases_those_beyond_most_are_slow(tmp_path):
    (tmp_path / "test_many.py").write_text(SOME.replace("range(2)", f"range({MOST + 3})"))
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "tests.lanes", "-m", "not slow"], cwd=tmp_path,
                          text=True, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert f"{MOST + 1} passed" in done.stdout and "left out: 4 slow tests" in done.stdout


def test_files_with_what_takes_long_come_first(tmp_path):
    (tmp_path / "test_a.py").write_text("def test_short(): pass\n")
    (tmp_path / "test_b.py").write_text(SOME)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = long\n    slow\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "tests.lanes", "-v"], cwd=tmp_path, text=True,
                          capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    names = re.findall(r"^(test_\w\.py::\w+)", done.stdout, re.M)
    assert names[0] == "test_b.py::test_case" and names[-1] == "test_a.py::test_short" and len(names) == 5


def test_ci_runs_what_the_readme_says_and_make_knows_both_lanes():
    script, makefile = (ROOT / ".ci" / "run").read_text(), (ROOT / "Makefile").read_text()
    command = re.search(r"^exec (make [a-z-]+)", script, re.M).group(1)
    assert command == "make test-all"
    for readme in ("README.md", "README_CN.md"):
        assert re.search(rf"^ +{command}\b", (ROOT / readme).read_text(), re.M), readme
    assert re.search(r"^test-all:.*\n\t.*-m \"not slow\"", makefile, re.M)
    assert re.search(r"^test:.*\n\t.*--cases", makefile, re.M)
