"""Exporting networks and comparing the exported files."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from mindspore import nn
from mindspore_gs import export_mindir, export_onnx, load_mindir

from src.measure import latency

EXPORTERS = {"MINDIR": export_mindir, "ONNX": export_onnx}


def export_network(net: nn.Cell, path: Path, shape: tuple[int, ...], file_format: str = "MINDIR") -> Path:
    """Export `net` for float32 inputs of `shape`; the format puts its ending on `path` where it is missing.

    The file is compared with the network before it is put in place.
    """
    return EXPORTERS[file_format](net, shape, path)


def export_both(dense: nn.Cell, slim: nn.Cell, folder: Path, shape: tuple[int, ...], runs: int) -> dict[str, Any]:
    """Export both as dense.mindir and slim.mindir, run them; their bytes and milliseconds."""
    paths = [export_network(net, folder / name, shape) for net, name in ((dense, "dense"), (slim, "slim"))]
    times = latency([load_mindir(path) for path in paths], shape, runs)
    return {"mindir_bytes_before": paths[0].stat().st_size, "mindir_bytes_after": paths[1].stat().st_size,
            "latency_ms_before": times[0], "latency_ms_after": times[1]}
