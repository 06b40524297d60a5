"""What a run of ``mindspore-gs prune`` did, as JSON: the command ``report`` makes a page of it."""

import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mindspore_gs.cli.errors import CommandError
from mindspore_gs.cli.inspection import Inspection
from mindspore_gs.report import Report

FORMAT = "mindspore-gs run 1"
_HIGHEST = 1e300


@dataclass(frozen=True)
class RunRecord:
    """One run.

    Attributes:
        network: what was pruned, as it was named on the command line.
        command: the command line.
        environment: versions and machine, by name.
        residual: the policy for residual streams.
        report: layers, parameters and MACs before and after.
        inspection: what could have been pruned, and what is blocked and why.
        files: bytes of each file that was written, by name.
        run: the run's name; run.json beside the files has the same, and the checksum of each file.
    """

    network: str
    command: str
    environment: dict[str, str]
    residual: str
    report: Report
    inspection: Inspection
    files: dict[str, int]
    run: str

    def document(self) -> dict[str, Any]:
        """As what JSON can hold; docs/command_line.md lists the keys."""
        r = self.report
        blocked = [{"layers": list(row.members), "channels": row.channels, **asdict(row.blocked)}
                   for row in self.inspection.blocked if row.blocked is not None]
        return {"format": FORMAT, "run": self.run, "network": self.network,
                "command": self.command, "environment": self.environment,
                "residual": self.residual, "inputs": [list(shape) for shape in r.input_shapes],
                "params": {"before": r.params_before, "after": r.params_after, "ratio": r.params_ratio},
                "macs": {"before": r.macs_before, "after": r.macs_after, "ratio": r.macs_ratio},
                "layers": [{"layer": row.layer, "channels": list(row.channels), "params": list(row.params),
                            "macs": list(row.macs)} for row in r.rows],
                "blocked": blocked, "files": self.files}


def environment() -> dict[str, str]:
    """Versions and the machine."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for name in ("mindspore-gs-pruner", "mindspore", "numpy", "onnx", "onnxruntime"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def read_document(path: str) -> dict[str, Any]:
    """The document of a run from its file.

    Raises:
        CommandError: there is no such file, or it is not from ``mindspore-gs prune``.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise CommandError(f"{path} is no JSON ({error}); give the results.json of a run.") from error
    except RecursionError as error:
        raise CommandError(f"{path} is no JSON of a run: it is nested too deeply.") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CommandError(f"{path} is not the results.json of 'mindspore-gs prune'.")
    wrong = next((name for name, fits in _FIELDS.items() if not fits(document.get(name))), None)
    if wrong is not None:
        raise CommandError(f"{path} is damaged: its {wrong!r} is not as 'mindspore-gs prune' writes it.")
    return document


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _HIGHEST


def _whole(value: Any) -> bool:
    return isinstance(value, int) and _number(value)


def _pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_whole, value))


def _mapping(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _each(**fields: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """A list of objects with these fields, and maybe more."""
    return lambda value: isinstance(value, list) and all(
        isinstance(row, dict) and all(fits(row.get(name)) for name, fits in fields.items()) for row in value)


def _listed(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _sizes(value: Any) -> bool:
    return (isinstance(value, dict) and _number(value.get("ratio"))
            and all(_whole(value.get(name)) for name in ("before", "after")))


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "network": _text, "command": _text, "environment": _mapping(_text), "residual": _text,
    "inputs": _listed(_listed(_whole)), "params": _sizes, "macs": _sizes, "files": _mapping(_whole),
    "layers": _each(layer=_text, channels=_pair, params=_pair, macs=_pair),
    "blocked": _each(layers=_listed(_text), channels=_whole, reason=_text, sentence=_text, operator=_text, place=_text),
}
