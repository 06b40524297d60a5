"""What the package can prune: networks of four libraries, one process each, one JSON file each, one table.

    python benchmarks/coverage.py --out output/coverage --table docs/coverage.md

The libraries are mindcv, mindyolo, mindocr, and tests/zoo/tasks.py, which has networks after papers of other tasks.
Models whose JSON file is in the folder already are not run again, unless --again. With model names only these are
run, and the table shows everything that the folder holds.
"""

import argparse
import json
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.coverage_table import page, short_line  # noqa: E402
from benchmarks.recipes import names  # noqa: E402


def finished(path: Path) -> dict | None:
    """The record in a file, if its process came to an end."""
    record = json.loads(path.read_text()) if path.is_file() else None
    return record if record and "total" in record["seconds"] else None


def run_one(name: str, options: argparse.Namespace) -> dict:
    """Measure one model in a process of its own; what it prints goes to a log beside its record."""
    path = options.out / f"{name.replace('/', '-')}.json"
    record = finished(path)
    if record is not None and not options.again:
        return record
    path.unlink(missing_ok=True)
    command = [sys.executable, str(ROOT / "benchmarks" / "zoo.py"), name, "--out", str(path), "--seed",
               str(options.seed), *(["--scop"] if "/" in name else [])]
    with open(path.with_suffix(".log"), "wb") as log:
        try:
            code = subprocess.run(command, stdout=log, stderr=log, timeout=options.timeout, check=False).returncode
            end = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        except subprocess.TimeoutExpired:
            end = f"stopped after {options.timeout} s"
    record = finished(path)
    if record is None:
        record = json.loads(path.read_text()) if path.is_file() else {"model": name, "size": 0, "seconds": {}}
        record.update(status="CRASH", error=f"{end} during step {record.get('step', 'start')!r}")
        record["seconds"].setdefault("total", float("nan"))
        path.write_text(json.dumps(record, indent=1))
    return record


def run_all(options: argparse.Namespace) -> None:
    """Measure the models, ``--jobs`` at a time, and say a line about each."""
    options.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        for record in pool.map(lambda name: run_one(name, options), options.models or names()):
            print(short_line(record), flush=True)


def main() -> None:
    """Read the options, run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help=f"default: all {len(names())}")
    parser.add_argument("--out", type=Path, default=ROOT / "output" / "coverage", help="folder of the JSON files")
    parser.add_argument("--table", type=Path, help="write the page here instead of printing it")
    parser.add_argument("--again", action="store_true", help="run finished models again")
    parser.add_argument("--jobs", type=int, default=1, help="models at a time")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds for one model")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    run_all(options)
    records = [json.loads(path.read_text()) for path in sorted(options.out.glob("*.json"))]
    records = [record for record in records if record["model"] in {*names(), *options.models}]
    text = page(records, shlex.join(["python", "benchmarks/coverage.py", *sys.argv[1:]]))
    if options.table:
        options.table.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
