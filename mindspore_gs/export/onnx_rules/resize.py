"""ONNX rules of operators that change the size of images."""

from typing import Any

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node

_MODES = {"ResizeNearestNeighbor": "nearest", "ResizeNearestNeighborV2": "nearest", "UpsampleNearest1D": "nearest",
          "UpsampleNearest2D": "nearest", "UpsampleNearest3D": "nearest", "ResizeBilinear": "linear",
          "ResizeBilinearV2": "linear", "UpsampleBilinear2D": "linear", "ResizeLinear1D": "linear",
          "UpsampleLinear1D": "linear", "UpsampleTrilinear3D": "linear"}


@onnx_rule(*_MODES)
def _resized(node: Node, writer: Writer) -> str:
    """By the ratio of the sizes at the traced input."""
    corners, centres = _alignment(node, writer)
    mode = _MODES[node.op]
    transform = "align_corners" if corners else "half_pixel" if centres else "asymmetric"
    rounding = "round_prefer_ceil" if corners else "floor"
    sizes = writer.shape(node.inputs[0])[2:]
    scales = [1.0, 1.0, *(int(after) / int(before) for after, before in zip(node.shape[2:], sizes))]
    options: dict[str, Any] = {"nearest_mode": rounding} if mode == "nearest" else {}
    return writer.add("Resize", writer.tensor(node.inputs[0]), "", *_target(node, scales, sizes, writer), mode=mode,
                      coordinate_transformation_mode=transform, **options)


def _target(node: Node, scales: list[float], sizes: tuple[int, ...], writer: Writer) -> tuple[str, ...]:
    """Scales where they give the sizes exactly, otherwise the sizes."""
    exact = all(float(np.float32(s)) * int(n) == int(m) for s, n, m in zip(scales[2:], sizes, node.shape[2:]))
    if exact:
        return (writer.array(scales, np.float32),)
    return "", writer.vector(node.shape)


def _alignment(node: Node, writer: Writer) -> tuple[bool, bool]:
    """Whether corners are aligned, and whether positions are those of the centres of pixels."""
    if node.op.startswith("Upsample"):
        linear = "Nearest" not in node.op
        return (bool(writer.argument(node, 3, False)) if linear else False), linear
    if node.op == "ResizeLinear1D":
        mode = str(node.attrs.get("coordinate_transformation_mode", writer.argument(node, 2, "align_corners")))
        if mode not in ("align_corners", "half_pixel", "0", "1"):
            raise ExportError(f"{node} has the coordinates {mode!r}, which have no ONNX rule")
        return mode in ("align_corners", "0"), True
    place = 1 if node.op in ("ResizeNearestNeighbor", "ResizeBilinear") else 2
    corners = node.attrs.get("align_corners", None)
    centres = node.attrs.get("half_pixel_centers", None)
    place += 1 if place == 1 and len(node.inputs) > 3 else 0
    return (bool(writer.argument(node, place, False) if corners is None else corners),
            bool(writer.argument(node, place + 1, False) if centres is None else centres))
