"""All benchmarks with small defaults: tables on the terminal, one JSON file (make bench).

    python benchmarks/run.py --out output/bench
    python benchmarks/run.py --only training --training '--net resnet20 --batch 8'

Each benchmark is a process of its own, so that none inherits the other's state.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.command import write_json  # noqa: E402
from benchmarks.conditions import conditions  # noqa: E402

BENCHMARKS = ("training", "inference", "tracing")


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--out", type=Path, default=ROOT / "output" / "bench", help="folder of bench.json")
    result.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS)
    for name in BENCHMARKS:
        result.add_argument(f"--{name}", default="", metavar="OPTIONS", help=f"options for {name}.py, in quotes")
    return result


def run_all(options: argparse.Namespace) -> Path:
    """Run the benchmarks one after the other and gather their records in one file.

    Raises:
        subprocess.CalledProcessError: a benchmark failed.
    """
    record = conditions() | {"benchmarks": {}}
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "record.json"
            command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"),
                       *shlex.split(getattr(options, name)), "--json", str(path)]
            subprocess.run(command, check=True)
            found = json.loads(path.read_text())
        record["benchmarks"][name] = {key: found[key] for key in ("options", "rows", "load")}
    target = options.out / "bench.json"
    write_json(record, target)
    return target


def main() -> None:
    """Read the options, run, and say where the file is."""
    print(f"written: {run_all(parser().parse_args())}")


if __name__ == "__main__":
    main()
