"""Engines that run an exported network, and how long it takes in each."""

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn

from mindspore_gs._files import scratch_folder
from mindspore_gs.errors import EngineError
from mindspore_gs.export import export_mindir, export_onnx, load_mindir
from mindspore_gs.export.sessions import fed, open_session
from mindspore_gs.timing import take_turns

RUNS = 21
WARM_UP = 3
LITE_FOLDER = "MINDSPORE_GS_LITE"  # environment variable: where examples/on_device/build.sh put its programs


@dataclass(frozen=True)
class Engine:
    """Something that runs exported networks.

    Attributes:
        name: its name.
        export: writes a network to a file for it: (network, inputs, path without suffix) -> path.
        time: median seconds of one inference of each file: (files, inputs) -> one number for each file. The files
            take turns, so that all see the same machine.
    """

    name: str
    export: Callable[[nn.Cell, Any, Path], Path]
    time: Callable[[Sequence[Path], Sequence[Any]], list[float]]


def engine(which: str | Callable[[Path], float]) -> Engine:
    """The engine of a name, or one that times an ONNX file with a function of yours.

    Args:
        which: ``"mindspore"``: MindIR in MindSpore's own runtime. ``"onnxruntime"``: ONNX in onnxruntime, one thread.
            ``"lite"``: MindSpore Lite, one thread, with the programs that ``examples/on_device/build.sh`` builds; the
            environment variable ``MINDSPORE_GS_LITE`` names their folder. A function: it gets the path of an ONNX
            file and returns the seconds of one inference, measured wherever you like.

    Raises:
        EngineError: the engine is not installed; it says what to install.
        ValueError: there is no engine of that name.

    Examples:
        >>> from mindspore_gs.engines import engine
        >>> engine("mindspore").name
        'mindspore'
        >>> engine(lambda path: 0.25).time(["net.onnx"], [])
        [0.25]
    """
    if callable(which):
        return Engine(getattr(which, "__name__", "function"), export_onnx, partial(_by_function, which))
    if not isinstance(which, str) or which not in ENGINES:
        raise ValueError(f"the engine must be one of {tuple(ENGINES)} or a function that takes the path of an ONNX "
                         f"file and returns seconds, but got {which!r}.")
    return ENGINES[which]()


def _mindspore() -> Engine:
    def load(path: Path, inputs: Sequence[Any]) -> Callable[[], None]:
        return partial(_run_cell, load_mindir(path), inputs)

    return Engine("mindspore", export_mindir, partial(_in_turns, load))


def _onnxruntime() -> Engine:
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise EngineError("the engine 'onnxruntime' is not installed: pip install 'mindspore-gs-pruner[onnx]'") \
            from error

    def load(path: Path, inputs: Sequence[Any]) -> Callable[[], None]:
        session = open_session(str(path), threads=1)
        return partial(session.run, None, fed(session, inputs))

    return Engine("onnxruntime", export_onnx, partial(_in_turns, load))


def _lite() -> Engine:
    folder = Path(os.environ.get(LITE_FOLDER, ""))
    programs = [folder / name for name in ("convert", "run")]
    if LITE_FOLDER not in os.environ or not all(program.is_file() for program in programs):
        raise EngineError("the engine 'lite' needs MindSpore Lite's programs: run 'bash examples/on_device/build.sh "
                          f"FOLDER' and set the environment variable {LITE_FOLDER} to that folder; it is "
                          f"{os.environ.get(LITE_FOLDER, 'not set')!r}.")
    return Engine("lite", partial(_export_lite, folder), partial(_time_lite, folder))


ENGINES: dict[str, Callable[[], Engine]] = {"mindspore": _mindspore, "onnxruntime": _onnxruntime, "lite": _lite}


def _by_function(function: Callable[[Path], float], files: Sequence[Path], inputs: Sequence[Any]) -> list[float]:
    seconds = [function(file) for file in files]
    for found in seconds:
        if not isinstance(found, Real) or isinstance(found, bool) or not 0 < found < np.inf:
            raise EngineError("the function that times a file must return the seconds of one inference as a positive "
                              f"number, but returned {found!r}.")
    return [float(found) for found in seconds]


def _in_turns(load: Callable[[Path, Sequence[Any]], Callable[[], Any]], files: Sequence[Path],
              inputs: Sequence[Any]) -> list[float]:
    seconds = take_turns([load(file, inputs) for file in files], RUNS, WARM_UP)
    return np.median(seconds, axis=0).tolist()


def _run_cell(cell: nn.Cell, inputs: Sequence[Any]) -> None:
    """Until the outputs are computed."""
    outputs = cell(*inputs)
    for value in outputs if isinstance(outputs, (tuple, list)) else (outputs,):
        value.asnumpy()


def _export_lite(folder: Path, net: nn.Cell, inputs: Any, path: Path) -> Path:
    """Through ONNX to the device format; MindSpore Lite 2.0 does not read the MindIR of MindSpore 2.10."""
    onnx = export_onnx(net, inputs, path, open_batch=False)
    _call(folder, "convert", "2", str(onnx), str(path), "1")
    return path.with_name(path.name + ".ms")


def _time_lite(folder: Path, files: Sequence[Path], inputs: Sequence[Any]) -> list[float]:
    """Its program runs a file by itself; the files take turns with a few runs each."""
    turns = []
    with scratch_folder() as scratch:
        first, out = scratch / "x.bin", scratch / "y.bin"
        value = inputs[0].asnumpy()
        (np.moveaxis(value, 1, -1) if value.ndim == 4 else value).tofile(first)  # it takes the channels last
        for _ in range(WARM_UP):
            said = [_call(folder, "run", str(file), str(first), str(out), "1", str(RUNS)) for file in files]
            turns.append([_median_ms(text) / 1000 for text in said])
    return np.median(turns, axis=0).tolist()


def _median_ms(text: str) -> float:
    found = re.search(r"median ms ([0-9.]+)", text)
    if found is None:
        raise EngineError(f"MindSpore Lite printed no time: {text.strip()[-200:]!r}")
    return float(found.group(1))


def _call(folder: Path, program: str, *arguments: str) -> str:
    library = folder / "mindspore_lite" / "lib"
    done = subprocess.run([str(folder / program), *arguments], capture_output=True, text=True,
                          env=os.environ | {"LD_LIBRARY_PATH": str(library)})
    if done.returncode != 0:
        raise EngineError(f"MindSpore Lite's {program} failed: {(done.stdout + done.stderr).strip()[:300]}")
    return done.stdout
