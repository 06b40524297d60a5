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
          "UpsampleLinear1D": "linear", "UpsampleTrilinear3D": "linear", "UpsampleBicubic2D": "cubic"}


@onnx_rule(*_MODES)
def _resized(node: Node, writer: Writer) -> str:
    """By the ratio of the sizes at the traced input."""
    corners, centres = _alignment(node, writer)
    mode = _MODES[node.op]
    transform = "align_corners" if corners else "half_pixel" if centres else "asymmetric"
    rounding = "round_prefer_ceil" if corners or centres else "floor"
    sizes = writer.shape(node.inputs[0])[2:]
    scales = [1.0, 1.0, *(int(after) / int(before) for after, before in zip(node.shape[2:], sizes))]
    options: dict[str, Any] = {"nearest_mode": rounding} if mode == "nearest" else {}
    if mode == "cubic":
        options = {"cubic_coeff_a": -0.75}
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
        if mode not in ("asymmetric", "align_corners", "half_pixel", "0", "1", "2"):
            raise ExportError(f"{node} has the coordinates {mode!r}, which have no ONNX rule")
        return mode in ("align_corners", "1"), mode in ("half_pixel", "2")
    place = 1 if node.op in ("ResizeNearestNeighbor", "ResizeBilinear") else 2
    corners = node.attrs.get("align_corners", None)
    centres = node.attrs.get("half_pixel_centers", None)
    place += 1 if place == 1 and len(node.inputs) > 3 else 0
    return (bool(writer.argument(node, place, False) if corners is None else corners),
            bool(writer.argument(node, place + 1, False) if centres is None else centres))


@onnx_rule("ResizeBicubic")
def _cubic(node: Node, writer: Writer) -> str:
    """A product with a matrix on each side: MindSpore's kernel takes its coefficients from a table of 1,024 steps."""
    corners, centres = (bool(writer.option(node, key, place, False)) for place, key in (
        (2, "align_corners"), (3, "half_pixel_centers")))
    rows, columns = (writer.array(_cubic_shares(int(before), int(after), corners, centres), node.dtype)
                     for before, after in zip(writer.shape(node.inputs[0])[2:], node.shape[2:]))
    turned = writer.add("Transpose", columns, perm=[1, 0])
    across = writer.add("MatMul", writer.tensor(node.inputs[0], node.dtype), turned)
    return writer.add("MatMul", rows, across)


_STEPS = 1024


def _cubic_shares(before: int, after: int, corners: bool, centres: bool) -> np.ndarray:
    """Share of each position in each result, shape (after, before): cubic convolution (Keys, 1981).

    With a = -0.5 for centres of pixels, where shares of positions outside go to the others, and a = -0.75 otherwise,
    where they go to the edge.
    """
    matrix = np.zeros((after, before))
    scale = np.float32((before - 1) / (after - 1) if corners and after > 1 else before / after)
    for k in range(after):
        place = np.float32((np.float32(k) + np.float32(0.5)) * scale - np.float32(0.5) if centres else k * scale)
        first = int(np.floor(place))
        step = np.rint(np.float32(place - first) * _STEPS) / _STEPS
        shares = _keys(np.abs(np.arange(-1, 3) - step), -0.5 if centres else -0.75)
        places = first + np.arange(-1, 3)
        inside = np.clip(places, 0, before - 1)
        if centres:
            shares = np.where(inside == places, shares, 0)
            shares /= shares.sum()
        np.add.at(matrix[k], inside, shares)
    return matrix


def _keys(distance: np.ndarray, a: float) -> np.ndarray:
    near = ((a + 2) * distance - (a + 3)) * distance ** 2 + 1
    return np.where(distance <= 1, near, ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a)


@onnx_rule("GridSampler2D")
def _sampled(node: Node, writer: Writer) -> str:
    """Values at places that a grid gives; in MindIR modes are texts or their numbers."""
    x, grid = (writer.tensor(name) for name in node.inputs[:2])
    mode = _one_of(("bilinear", "nearest", "bicubic"), writer.option(node, "interpolation_mode", 2, "bilinear"))
    padding = _one_of(("zeros", "border", "reflection"), writer.option(node, "padding_mode", 3, "zeros"))
    return writer.add("GridSample", x, grid, mode=mode, padding_mode=padding,
                      align_corners=int(bool(writer.option(node, "align_corners", 4, False))))


def _one_of(names: tuple[str, ...], value: Any) -> str:
    return names[value] if isinstance(value, int) else str(value)


@onnx_rule("AffineGrid")
def _affine_grid(node: Node, writer: Writer) -> str:
    """Where an affine map sends each place of an image or volume, which goes from -1 to 1 along each axis: theta times
    (x, y, 1)."""
    sizes, corners = [int(n) for n in node.shape[1:-1]], bool(node.attrs.get("align_corners", False))
    lines = [(np.linspace(-1, 1, n) if n > 1 else np.zeros(1)) * (1 if corners else (n - 1) / n) for n in sizes]
    mesh = np.meshgrid(*lines, indexing="ij")[::-1]
    places = np.stack([*mesh, np.ones(sizes)], -1).reshape(-1, len(sizes) + 1)
    theta = writer.add("Transpose", writer.tensor(node.inputs[0]), perm=[0, 2, 1])
    return writer.reshape(writer.add("MatMul", writer.array(places, node.dtype), theta), node.shape)


@onnx_rule("GridSampler3D")
def _sampled_in_space(node: Node, writer: Writer) -> str:
    raise ExportError(f"{node} samples volumes, which ONNX has from opset 20 on and opset 17 has not")
