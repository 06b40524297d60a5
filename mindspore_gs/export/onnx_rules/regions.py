"""ONNX rules of detectors: values of feature maps in boxes, and at places that the network computes."""

import numpy as np

from mindspore_gs.errors import ExportError
from mindspore_gs.export.batch import Multiple
from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node


@onnx_rule("ROIAlign")
def _means_in_boxes(node: Node, writer: Writer) -> str:
    """Boxes have the number of their image in front; in the end mode 1 their last pixel belongs to them."""
    rois = writer.tensor(node.inputs[1])
    images, boxes = writer.add("Split", rois, writer.array([1, 4], np.int64), outputs=2, axis=1)
    if int(node.attrs.get("roi_end_mode", 1)):
        boxes = writer.add("Add", boxes, writer.array([0, 0, 1, 1], writer.dtype(node.inputs[1])))
    images = writer.add("Cast", writer.reshape(images, (-1,)), to=writer.type_number("int64"))
    return writer.add("RoiAlign", writer.tensor(node.inputs[0]), boxes, images, mode="avg",
                      coordinate_transformation_mode="output_half_pixel", output_height=int(node.shape[2]),
                      output_width=int(node.shape[3]), sampling_ratio=int(node.attrs.get("sample_num", 2)),
                      spatial_scale=float(node.attrs["spatial_scale"]))


@onnx_rule("DeformableOffsets")
def _moved_windows(node: Node, writer: Writer) -> str:
    """The windows of a deformable convolution side by side, each place moved and scaled by what the network says.

    Offsets are (N, 3 G K, H, W) for K places of a window and G groups of channels: along x, along y, and the scale.
    """
    if str(node.attrs.get("format", "NCHW")) != "NCHW":
        raise ExportError(f"{node} has channels in the last axis; use NCHW")
    batch, channels, height, width = writer.shape(node.inputs[0])
    rows, columns = (int(n) for n in node.shape[2:])
    (up, across), groups = (int(n) for n in node.attrs["ksize"]), int(node.attrs.get("deformable_groups", 1))
    count = Multiple(int(batch) * groups, batch.each * groups) if isinstance(batch, Multiple) else int(batch) * groups
    moves = writer.reshape(writer.tensor(node.inputs[1]), (batch, 3, groups, up, across, rows // up, columns // across))
    moves = writer.reshape(writer.add("Transpose", moves, perm=[0, 2, 5, 3, 6, 4, 1]), (count, rows, columns, 3))
    along, scale = writer.add("Split", moves, writer.array([2, 1], np.int64), outputs=2, axis=3)
    # Pixel p is where GridSample has (2 p + 1) / size - 1.
    grid = writer.add("Add", along, writer.array(_regular_places(node, up, across) + 0.5, node.dtype))
    grid = writer.add("Mul", grid, writer.array([2 / int(width), 2 / int(height)], node.dtype))
    grid = writer.add("Sub", grid, writer.array(1, node.dtype))
    parts = writer.reshape(writer.tensor(node.inputs[0]), (count, int(channels) // groups, height, width))
    values = writer.add("GridSample", parts, grid, mode="bilinear", padding_mode="zeros", align_corners=0)
    weighed = writer.add("Mul", values, writer.add("Transpose", scale, perm=[0, 3, 1, 2]))
    return writer.reshape(weighed, node.shape)


def _regular_places(node: Node, up: int, across: int) -> np.ndarray:
    """Where each place of each window is before it moves: (x, y) in pixels, shape (rows, columns, 2)."""
    strides, dilations = (node.attrs[key][-2:] for key in ("strides", "dilations"))
    top, _, left, _ = node.attrs["pads"]
    row, column = (np.arange(int(n)) for n in node.shape[2:])
    y = row // up * int(strides[0]) - int(top) + row % up * int(dilations[0])
    x = column // across * int(strides[1]) - int(left) + column % across * int(dilations[1])
    return np.stack(np.broadcast_arrays(x[None, :], y[:, None]), -1)
