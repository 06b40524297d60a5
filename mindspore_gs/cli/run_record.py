"""What a run of ``mindspore-gs prune`` did, as JSON: the command ``report`` makes a page of it."""

import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mindspore_gs.cli.errors import CommandError
from mindspore_gs.cli.inspection import Inspection
from mindspore_gs.report import Report

FORMAT = "mindspore-gs run 1"


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
    """

    network: str
    command: str
    environment: dict[str, str]
    residual: str
    report: Report
    inspection: Inspection
    files: dict[str, int]

    def document(self) -> dict[str, Any]:
        """As what JSON can hold; docs/command_line.md lists the keys."""
        r = self.report
        blocked = [{"layers": list(row.members), "channels": row.channels, **asdict(row.blocked)}
                   for row in self.inspection.blocked if row.blocked is not None]
        return {"format": FORMAT, "network": self.network, "command": self.command, "environment": self.environment,
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
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CommandError(f"{path} is not the results.json of 'mindspore-gs prune'.")
    return document
