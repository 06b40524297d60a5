"""Kill runs at random moments, start them again, and compare the end with a run that nobody has killed.

    python -m tests.trust.kills --kills 102 --mode PYNATIVE --out kills.json

Prints a line for each chain: how many kills it took, in which phases, and whether all files are the same bytes. With
``--out`` it goes on behind the chains that are in this file.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TRAIN = ("--config_path demo_digits.yaml --net tiny --image_size 8 --train_images 64 --batch_size 16 --epochs 2 "
         "--kf_steps 6 --recalibrate_steps 2 --ft_epochs 2 --eval_images 48 --eval_batch_size 48 --latency_runs 1 "
         "--target_macs 0.6 --snapshot_steps 2 --results_json out/results.json --output_path out")
KINDS = {
    "train": f"train {TRAIN}",
    "masked": f"train {TRAIN} --fine_tune masked --criterion l1",
    "prune": "prune prune tests.trust.killed:network --input 1,3,8,8 --criterion taylor --data "
             "tests.trust.killed:batches --prune-rate 0.5 --residual keep --compensate --onnx --out out",
}
RESULTS = "results.json"
FREE = {RESULTS, "report.html", "run.json"}  # they hold seconds, or the checksums of these


def start(kind: str, folder: Path, number: int = 0, milliseconds: float = 0, mode: str = "PYNATIVE") -> int:
    """One process in ``folder``; its exit status."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    command = KINDS[kind] + ("" if kind == "prune" else f" --mode {mode}")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1",
                                "GLOG_v": "3", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    with (folder / "log").open("a") as log:
        return subprocess.run([sys.executable, str(HERE / "killed.py"), str(folder / "out"), str(number),
                               str(milliseconds), *command.split()], cwd=folder, stdout=log, stderr=log,
                              env=environment, timeout=7200, check=False).returncode


def chain(kind: str, folder: Path, kills: int, draw: random.Random, mode: str = "PYNATIVE") -> Counter:
    """Start a run again and again, until it has been killed ``kills`` times; then to its end. The phases of the kills.

    Raises:
        AssertionError: a process ended otherwise than by the kill.
    """
    done = 0
    while done < kills:
        after, late = draw.randint(1, 250 if kind != "prune" else 90), draw.choice((0, 0, 0.3, 3, 30))
        status = start(kind, folder, after, late, mode)
        assert status in (0, -signal.SIGKILL), (folder / "log").read_text()[-3000:]
        if status == 0:  # it was complete before its time came, and the next one starts anew
            continue
        done += 1
    assert start(kind, folder, mode=mode) == 0, (folder / "log").read_text()[-3000:]
    lines = (folder / "events").read_text().splitlines()
    return Counter(line.removeprefix("killed in ") for line in lines if line.startswith("killed in "))


def differences(one: Path, other: Path) -> list[str]:
    """What is not the same in the folders of two runs, and what is left of killed processes."""
    names = [{path.name for path in (folder / "out").iterdir()} for folder in (one, other)]
    found = [f"{name} is there once only" for name in names[0] ^ names[1]]
    found += [f"tmp/{path.name} is left" for path in (other / "tmp").iterdir() if path.name.startswith("mindspore_gs")]
    for name in sorted(names[0] & names[1] - FREE):
        if (one / "out" / name).read_bytes() != (other / "out" / name).read_bytes():
            found.append(f"{name} has other bytes")
    results = [json.loads((folder / "out" / RESULTS).read_text()) for folder in (one, other)]
    notes = [json.loads((folder / "out" / "run.json").read_text()) for folder in (one, other)]
    for key in ("run", "accuracy", "layers", "params", "macs", "params_after", "macs_after"):
        if results[0].get(key) != results[1].get(key):
            found.append(f"{RESULTS} has another {key!r}")
    losses = [{name: [entry["loss"] for entry in log] for name, log in result.get("log", {}).items()}
              for result in results]
    found += ["the losses of the epochs differ"] if losses[0] != losses[1] else []
    found += [] if all(note["complete"] for note in notes) else ["run.json is not complete"]
    return found


def notes(path: Path | None, settings: dict) -> dict:
    """What earlier runs with the same settings have found."""
    found = settings | {"kills": 0, "differences": [], "phases": {}, "chains": []}
    if path is None or not path.exists():
        return found
    earlier = json.loads(path.read_text())
    if {name: earlier.get(name) for name in settings} != settings:
        raise SystemExit(f"{path} is of a run with other settings; give another file for --out")
    return earlier


def main() -> None:
    """All kinds of runs, in chains of six kills."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=102)
    parser.add_argument("--chain", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--mode", choices=("PYNATIVE", "GRAPH"), default="PYNATIVE")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = notes(options.out, {"seed": options.seed, "mode": options.mode, "chain": options.chain,
                                "kinds": options.kinds})
    with TemporaryDirectory() as place:
        for number in range(len(found["chains"]), -(-options.kills // options.chain)):
            kind = options.kinds[number % len(options.kinds)]
            whole, folder = Path(place, kind, "whole"), Path(place, kind, str(number))
            assert whole.exists() or start(kind, whole, mode=options.mode) == 0, (whole / "log").read_text()[-3000:]
            draw = random.Random(f"{options.seed} {number}")
            phases = {f"{kind}: {phase}": count
                      for phase, count in chain(kind, folder, options.chain, draw, options.mode).items()}
            wrong = differences(whole, folder)
            found["kills"] += sum(phases.values())
            found["phases"] = dict(Counter(found["phases"]) + Counter(phases))
            found["differences"] += wrong
            found["chains"].append({"phases": phases, "differences": wrong})
            print(f"{kind} {sum(phases.values())} kills: {phases}; {wrong or 'all files are the same'}", flush=True)
            if options.out:
                options.out.write_text(json.dumps(found, indent=2) + "\n")
            shutil.rmtree(folder)
    print(f"{found['kills']} kills, {len(found['differences'])} differences")
    sys.exit(bool(found["differences"]))


if __name__ == "__main__":
    main()
