"""Where and with what a benchmark ran: machine, versions, commit."""

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.environment import ROOT

PACKAGES = ("mindspore", "numpy", "mindcv")
VARIABLES = ("ONEDNN_MAX_CPU_ISA", "OMP_NUM_THREADS")
BUSY = 0.25  # load for each core, from which times are not worth writing down


def conditions() -> dict:
    """Machine, versions, commit, environment, load and time, ready for JSON."""
    return {"machine": machine(), "versions": versions(), "commit": commit(),
            "environment": {name: os.environ.get(name) for name in VARIABLES},
            "load": os.getloadavg()[0], "time": datetime.now(timezone.utc).isoformat(timespec="seconds")}


def machine() -> dict:
    """Processor, cores that this process may use, memory, system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processor": _processor(), "architecture": platform.machine(), "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(memory / 2**30, 1), "system": platform.platform()}


def versions() -> dict[str, str | None]:
    """Of Python and the packages that matter; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def commit() -> str | None:
    """The commit of this repository, with ``-dirty`` where files differ from it; None outside a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def warning(state: dict) -> str | None:
    """What is wrong with the conditions, where something is."""
    cores, load = state["machine"]["cores"], state["load"]
    if load > BUSY * cores:
        return f"The load was {load:.1f} on {cores} cores when this began: something else runs, do not use the numbers."
    return None


def _processor() -> str:
    """The model of the processor, where the system tells it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
                platform.processor() or "unknown")
