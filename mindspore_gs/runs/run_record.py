"""What became of a network in one run: as an object, as JSON, and as an HTML page."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn

from mindspore_gs._files import checked_folder, checked_path, whole_file
from mindspore_gs.analysis import Sensitivity
from mindspore_gs.errors import PruningError
from mindspore_gs.graph import trace
from mindspore_gs.pruner.select import Ranking
from mindspore_gs.report import Report, compare
from mindspore_gs.runs.fields import check_fields
from mindspore_gs.runs.inspection import Inspection, inspect_graph
from mindspore_gs.runs.page import page

FORMAT = "mindspore-gs run 1"
RESULTS, PAGE = "results.json", "report.html"
_DIGITS = 5  # of a score; a picture shows no more


def environment() -> dict[str, str]:
    """Versions and the machine."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for name in ("mindspore-gs-pruner", "mindspore", "numpy", "onnx", "onnxruntime"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class RunRecord:
    """One run: what was pruned, and what came out. Only the first three must be known.

    Attributes:
        network: what was pruned.
        report: layers, parameters and MACs before and after.
        inspection: what could have been pruned, and what is blocked and why.
        command: the command line.
        residual: the policy for residual streams.
        environment: versions and machine, by name.
        files: bytes of each file that was written, by name.
        accuracy: share of right answers, in [0, 1], by stage, such as ``{"dense": 0.92, "pruned": 0.81}``.
        latency: seconds of one inference: ``{"before": ..., "after": ..., "engine": "mindspore"}``.
        rankings: scores of the channels, from :attr:`mindspore_gs.ChannelPruner.rankings`.
        sensitivity: what :func:`mindspore_gs.analysis.sensitivity` has found, for the page.
        training: the log of each training, by title, from :class:`~mindspore_gs.progress.TrainingProgress`.
        run: the run's name, where it has one; run.json beside the files has the same, and the checksum of each file.
    """

    network: str
    report: Report
    inspection: Inspection
    command: str = ""
    residual: str = "couple"
    environment: Mapping[str, str] = field(default_factory=environment)
    files: Mapping[str, int] = field(default_factory=dict)
    accuracy: Mapping[str, float] = field(default_factory=dict)
    latency: Mapping[str, Any] = field(default_factory=dict)
    rankings: Sequence[Ranking] = ()
    sensitivity: Sensitivity | None = None
    training: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    run: str = ""

    @classmethod
    def of(cls, dense: nn.Cell, small: nn.Cell, *shapes: Any, **others: Any) -> "RunRecord":
        """The record of two networks, which are traced.

        Args:
            dense: the network before.
            small: the slim one.
            shapes: what they are called with, as for :func:`mindspore_gs.graph.trace`.
            others: attributes of the record; ``network`` is the name of the dense network's class unless given.

        Examples:
            >>> from mindspore import nn
            >>> from mindspore_gs.runs import RunRecord
            >>> record = RunRecord.of(nn.Conv2d(3, 8, 1), nn.Conv2d(3, 4, 1), (1, 3, 10, 10), accuracy={"dense": 0.9})
            >>> document = record.document()
            >>> document["network"], document["macs"]["ratio"], document["accuracy"]
            ('Conv2d', 0.5, {'dense': 0.9})
        """
        graph = trace(dense, *shapes)
        named = {"network": type(dense).__name__} | others
        return cls(report=compare(graph, trace(small, *graph.examples())),
                   inspection=inspect_graph(graph, named["network"], named.get("residual", "couple")), **named)

    def document(self) -> dict[str, Any]:
        """As what JSON can hold; docs/command_line.md lists the keys."""
        r = self.report
        blocked = [{"layers": list(row.members), "channels": row.channels, **asdict(row.blocked)}
                   for row in self.inspection.blocked if row.blocked is not None]
        return {"format": FORMAT, "run": self.run, "network": self.network, "command": self.command,
                "environment": dict(self.environment), "residual": self.residual,
                "inputs": [list(shape) for shape in r.input_shapes],
                "params": {"before": r.params_before, "after": r.params_after, "ratio": r.params_ratio},
                "macs": {"before": r.macs_before, "after": r.macs_after, "ratio": r.macs_ratio},
                "layers": [{"layer": row.layer, "channels": list(row.channels), "params": list(row.params),
                            "macs": list(row.macs)} for row in r.rows],
                "blocked": blocked, "files": dict(self.files), "accuracy": _numbers(self.accuracy),
                "latency": _numbers(self.latency), "scores": [_ranking(row) for row in self.rankings],
                "sensitivities": [] if self.sensitivity is None else _sensitivities(self.sensitivity),
                "training": {title: [_numbers(entry) for entry in log] for title, log in self.training.items()}}

    def write(self, folder: str | Path) -> dict[str, Any]:
        """Write ``results.json`` and ``report.html`` into a folder, whole or not at all.

        Args:
            folder: made where it is missing.

        Returns:
            The document.

        Raises:
            TypeError, ValueError: ``folder`` is no path of a folder.
        """
        folder = checked_folder("RunRecord.write()", "folder", folder)
        document = self.document()
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in ((RESULTS, json.dumps(document, indent=2) + "\n"), (PAGE, page(document))):
            with whole_file(folder / name) as draft:
                draft.write_text(text, encoding="utf-8")
        return document


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with Python's numbers in the place of NumPy's; None for what is not finite, such as a loss of NaN."""
    plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in values.items()}
    return {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in plain.items()}


def _sensitivities(found: Sensitivity) -> list[dict[str, Any]]:
    """For each group the value of the metric by rate, beginning with the whole network's."""
    return [{"layer": ", ".join(group.members), "metric": found.metric,
             "rates": [0.0, *(point.rate for point in group.points)],
             "numbers": [found.baseline, *(point.value for point in group.points)]} for group in found.groups]


def _ranking(row: Ranking) -> dict[str, Any]:
    """The scores from the highest to the lowest; the first ``kept`` of them stay."""
    ordered = sorted((float(f"{score:.{_DIGITS}g}") for score in row.scores), reverse=True)
    return {"layers": list(row.members), "kept": int(row.stays.sum()), "scores": ordered}


def read_document(path: str | Path) -> dict[str, Any]:
    """The document of a run from its ``results.json``.

    Raises:
        TypeError, ValueError: ``path`` is no path of a file.
        PruningError: there is no such file, or it is something else.
    """
    path = checked_path("read_document()", "path", path)
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PruningError(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise PruningError(f"{path} is no JSON ({error}); give the results.json of a run.") from error
    except RecursionError as error:
        raise PruningError(f"{path} is no JSON of a run: it is nested too deeply.") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise PruningError(f"{path} is not the results.json of 'mindspore-gs prune' or of a RunRecord.")
    check_fields(document, str(path))
    return document
