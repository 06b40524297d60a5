"""Times of the files that performance_files.py made: each in turns with the dense network's, in one process."""

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.conditions import conditions, warning
from benchmarks.memory import wait
from benchmarks.performance_files import NETWORKS, lines
from benchmarks.turns import ratio
from mindspore_gs.timing import take_turns

WARM_UP = 3
IN_A_ROW = 5  # inferences of one start of Lite's program; the median of them is one turn's


def time_all(folder: Path, networks: list[str], engines: list[str], batches: list[int], rounds: list[int], runs: int,
             minutes: float) -> None:
    """Time what has no time yet, the most important first, and write one JSON line for each file to ``times.jsonl``.

    All files of one network, engine and batch, with two roundings, take turns in one process. A line has what its line
    in ``files.jsonl`` has, and ``ms`` (median), ``speed_up`` (dense time over this file's within a turn: median and
    quartiles), ``runs``, and under which conditions it was measured.
    """
    made = [row for row in lines(folder / "files.jsonl") if "file" in row]
    done = {_key(row) for row in lines(folder / "times.jsonl")}
    begin = time.monotonic()
    for number, engine, batch, name in _in_order(networks, engines, batches, rounds):
        group = [row for row in made if (row["net"], row["engine"], row["batch"]) == (name, engine, batch)]
        new = [row for row in group if row["round_to"] in (0, *number) and _key(row) not in done]
        dense = [row for row in group if row["policy"] == "dense"]
        if not new or not dense or all(row["policy"] == "dense" for row in new) and len(group) > 1:
            continue
        if minutes and time.monotonic() - begin > 60 * minutes:
            print(f"stopped after {minutes} minutes; the same command goes on")
            return
        rows = dense + [row for row in new if row["policy"] != "dense"]
        rows = _timed(folder, rows, runs if batch == 1 else -(-runs // 3))
        rows = [row for row in rows if _key(row) not in done]
        done |= {_key(row) for row in rows}
        with (folder / "times.jsonl").open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def _in_order(networks: list[str], engines: list[str], batches: list[int],
              rounds: list[int]) -> list[tuple[tuple[int, ...], str, int, str]]:
    """Roundings in pairs, engine, batch and network: onnxruntime at batch 1 first, more roundings last."""
    pairs = [tuple(rounds[k:k + 2]) for k in range(0, len(rounds), 2)]
    return [(pair, engine, batch, name) for pair in pairs for batch in batches for engine in engines
            for name in networks]


def _timed(folder: Path, rows: list[dict], runs: int) -> list[dict]:
    state = conditions()
    if warning(state):
        print(warning(state))
    name, engine, batch = (rows[0][key] for key in ("net", "engine", "batch"))
    size = NETWORKS[name][1]
    x = np.random.default_rng(0).standard_normal((batch, 3, size, size)).astype(np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        seconds = _SECONDS[engine]([folder / row["file"] for row in rows], x, runs, Path(scratch))
    found = []
    for row, own in zip(rows, seconds.T):
        speed = ratio(seconds[:, 0], own)
        found.append(row | {"ms": 1000 * float(np.median(own)), "runs": runs, "load": state["load"],
                            "speed_up": [speed.median, speed.low, speed.high], "commit": state["commit"],
                            "time": state["time"], "processor": state["machine"]["processor"]})
        print(f"{name}, {engine}, batch {batch}, {row['policy']} {row['round_to'] or ''}: {found[-1]['ms']:.2f} ms, "
              f"speed-up {speed}", flush=True)
    return found


def _onnxruntime(files: list[Path], x: np.ndarray, runs: int, scratch: Path) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = [onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"]) for file in files]
    return take_turns([partial(session.run, None, {session.get_inputs()[0].name: x}) for session in sessions], runs,
                      WARM_UP)


def _mindspore(files: list[Path], x: np.ndarray, runs: int, scratch: Path) -> np.ndarray:
    import mindspore as ms

    from mindspore_gs import load_mindir

    ms.set_context(mode=ms.GRAPH_MODE, runtime_num_threads=1)
    image = ms.Tensor(x)

    def run(cell: Callable) -> None:
        wait(cell(image))

    return take_turns([partial(run, load_mindir(file)) for file in files], runs, WARM_UP)


def seconds_in_lite(files: list[Path], x: np.ndarray, runs: int, scratch: Path) -> np.ndarray:
    """Seconds of each turn (row) and file (column) in MindSpore Lite.

    Its program runs one file; the programs take turns, and each start gives one median.

    Args:
        files: the files, for Lite.
        x: the input, channels in axis 1.
        runs: how many inferences of each file, about.
        scratch: a folder for input and output.
    """
    program, image, out = Path(os.environ["MINDSPORE_GS_LITE"]) / "run", scratch / "x.bin", scratch / "y.bin"
    np.moveaxis(x, 1, -1).tofile(image)
    repeats = IN_A_ROW if len(x) == 1 else 2
    seconds = np.zeros((-(-runs // repeats), len(files)))
    for turn, row in enumerate(seconds):
        for step in range(len(files)):
            k = (turn + step) % len(files)
            told = subprocess.run([str(program), str(files[k]), str(image), str(out), "1", str(repeats)],
                                  capture_output=True, text=True, check=True).stdout
            row[k] = float(re.findall(r"median ms ([0-9.]+)", told)[0]) / 1000
    return seconds


_SECONDS: dict[str, Callable[[list[Path], np.ndarray, int, Path], np.ndarray]] = {
    "onnxruntime": _onnxruntime, "mindspore": _mindspore, "lite": seconds_in_lite}


def _key(row: dict) -> tuple:
    return tuple(row[name] for name in ("net", "policy", "round_to", "engine", "batch"))
