"""Speed of slim networks where they run: policies x roundings x engines, at half of the MACs, beside the limit.

    python benchmarks/performance.py make FOLDER       # prune, export, measure bytes and memory; resumes
    python benchmarks/performance.py time FOLDER       # only timing, in turns with the dense network; resumes
    python benchmarks/performance.py table FOLDER      # Markdown from what is there

``make`` may run on a busy machine, ``time`` needs a quiet one. It begins with what matters most (onnxruntime, batch 1,
roundings 1 and 8) and goes on with the rest, as long as --minutes allows. MindSpore Lite takes part where the
environment variable MINDSPORE_GS_LITE names the folder that examples/on_device/build.sh has built.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread in every engine
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

ROUNDS = (1, 8, 4, 16)
BATCHES = (1, 16)


def parser() -> argparse.ArgumentParser:
    """The options."""
    from benchmarks.performance_files import ENGINES, NETWORKS

    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("step", choices=("make", "time", "table"))
    result.add_argument("folder", type=Path, help="where the files are, with files.jsonl and times.jsonl")
    result.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    result.add_argument("--engines", nargs="+", default=None, choices=ENGINES, help="default: those that are installed")
    result.add_argument("--batches", nargs="+", type=int, default=list(BATCHES), help="images in one call")
    result.add_argument("--rounds", nargs="+", type=int, default=list(ROUNDS), help="multiples of channels")
    result.add_argument("--runs", type=int, default=31, help="turns that count at batch 1; a third of them at others")
    result.add_argument("--minutes", type=float, default=0.0, help="begin nothing new after so long; 0: no limit")
    return result


def main() -> None:
    """Do one step."""
    from benchmarks import performance_files, performance_table, performance_times

    options = parser().parse_args()
    engines = options.engines or list(performance_files.available())
    which = options.folder, options.networks, engines, options.batches, options.rounds
    if options.step == "make":
        performance_files.make(*which)
    elif options.step == "time":
        performance_times.time_all(*which, options.runs, options.minutes)
    else:
        print(performance_table.page(options.folder))


if __name__ == "__main__":
    main()
