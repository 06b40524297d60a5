"""Build sdist and wheel, look into both, install the wheel in an empty environment, and try it there.

    python tools/release_check.py FOLDER

FOLDER gets the two files and the environments. The wheel is tried without this checkout: the quick start, whose code
must print what its comments say; every command's help; `mindspore-gs doctor`; and all examples in the docstrings.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IN_SDIST = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "README_CN.md", "docs/quickstart.md",
            "docs/img/masks.svg", "examples/mindcv_prune/prune.py", "tests/conftest.py", "benchmarks/run.py",
            "tools/release_check.py")
IN_WHEEL = ("mindspore_gs/__init__.py", "mindspore_gs/py.typed", "mindspore_gs/cli/commands.py",
            "mindspore_gs_doctor/__init__.py")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
PROMISE = re.compile(r"^ *print\(.*\) {2,}# (.+)$", re.M)
FLAGS = ("-o", "doctest_optionflags=NORMALIZE_WHITESPACE ELLIPSIS", "-o", "addopts=")


def main() -> None:
    """All checks; stops at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    sdist, wheel = build(folder)
    look_into(sdist, wheel)
    python = environment(folder / "empty", str(wheel))
    work = folder / "work"
    work.mkdir()
    quick_start(python, work)
    said("more packages for the commands and the docstrings")
    run([python, "-m", "pip", "install", "--quiet", f"{wheel}[cli,onnx,plot,summary]", "pytest"], work)
    commands(python, work)
    said("the examples in the docstrings")
    run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--doctest-modules", *FLAGS, "--pyargs",
         "mindspore_gs", "mindspore_gs_doctor"], work, show=3)
    said(f"all is well with {sdist.name} and {wheel.name}")


def said(text: str) -> None:
    """A line with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def run(command: Sequence[object], folder: Path, show: int = 0, codes: Sequence[int] = (0,)) -> str:
    """Run a program in `folder`; ends this one where its exit code is none of `codes`. Returns what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clean |= {"ONEDNN_MAX_CPU_ISA": os.environ.get("ONEDNN_MAX_CPU_ISA", "AVX2"), "GLOG_v": "3"}
    done = subprocess.run([str(part) for part in command], cwd=folder, text=True, capture_output=True, env=clean,
                          check=False)
    if done.returncode not in codes:
        sys.exit(f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\nerror: exit code {done.returncode} of "
                 + " ".join(str(part) for part in command))
    if show:
        print("\n".join(done.stdout.splitlines()[-show:]), flush=True)
    return done.stdout


def environment(folder: Path, *packages: str) -> Path:
    """The Python of a new environment with these packages and nothing else."""
    said(f"an empty environment with {', '.join(Path(package).name for package in packages)}")
    run([sys.executable, "-m", "venv", folder], ROOT)
    python = folder / "bin" / "python"
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], ROOT)
    return python


def build(folder: Path) -> tuple[Path, Path]:
    """Both files, checked as a package index checks them."""
    python = environment(folder / "tools", "build", "twine")
    said("build")
    run([python, "-m", "build", "--outdir", folder, ROOT], folder)
    sdist, wheel = next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))
    run([python, "-m", "twine", "check", "--strict", sdist, wheel], folder, show=2)
    return sdist, wheel


def look_into(sdist: Path, wheel: Path) -> None:
    """What must be in, what must not be, and links of the README that lead somewhere from a package index."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    inside = set(zipfile.ZipFile(wheel).namelist())
    missing = [name for name in IN_SDIST if name not in names] + [name for name in IN_WHEEL if name not in inside]
    strange = [name for name in names | inside if re.search(r"\.(ckpt|mindir|onnx|pyc)$|__pycache__", name)]
    strange += [name for name in inside if name.split("/")[0] in ("tests", "benchmarks", "examples", "docs")]
    if missing or strange:
        sys.exit(f"error: missing {missing}, and not wanted {strange}")
    said(f"{sdist.name}: {len(names)} files, {sdist.stat().st_size:,} bytes; {wheel.name}: {len(inside)} files, "
         f"{wheel.stat().st_size:,} bytes")


def quick_start(python: Path, work: Path) -> None:
    """The code of the quick start, from its page, in a file, with nothing but the wheel installed."""
    said("the quick start")
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    blocks = BLOCK.findall(page)
    (work / "quick.py").write_text("\n".join(blocks), encoding="utf-8")
    lines = iter(run([python, "quick.py"], work).splitlines())
    wanted = [promise for block in blocks for promise in PROMISE.findall(block)]
    lost = [promise for promise in wanted if promise not in lines]
    if lost or not wanted:
        sys.exit(f"error: the quick start does not print {lost or 'anything'}")
    said(f"the quick start printed all of its {len(wanted)} lines")


def commands(python: Path, work: Path) -> None:
    """The command line as it is installed."""
    said("the commands")
    command = python.with_name("mindspore-gs")
    for name in ("inspect", "prune", "export", "report", "doctor"):
        run([command, name, "--help"], work)
    run([command, "--version"], work, show=1)
    run([command, "doctor"], work, show=20, codes=(0, 1))
    run([command, "prune", "quick:Net", "--input", "1,3,16,16", "--out", "small"], work, show=3)
    if not (work / "small" / "report.html").is_file():
        sys.exit("error: prune wrote no report.html")


if __name__ == "__main__":
    main()
