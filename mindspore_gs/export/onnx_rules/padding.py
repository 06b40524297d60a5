"""ONNX rules of padding, in every mode."""

import numpy as np

from mindspore_gs.export.onnx_rules.registry import onnx_rule
from mindspore_gs.export.onnx_writer import Writer
from mindspore_gs.graph.ir import Node

_FAR = 2 ** 31 - 1


@onnx_rule("Pad", "PadV3", "ConstantPadND", "MirrorPad", "ReflectionPad1D", "ReflectionPad2D", "ReflectionPad3D",
           "ReplicationPad1D", "ReplicationPad2D", "ReplicationPad3D")
def _padded(node: Node, writer: Writer) -> str:
    x = writer.tensor(node.inputs[0])
    begins, ends = _pads(node, writer)
    mode = _pad_mode(node)
    if mode in ("symmetric", "wrap"):
        for axis, (begin, end) in enumerate(zip(begins, ends)):
            x = _surrounded(x, axis, int(writer.shape(node.inputs[0])[axis]), begin, end, mode, writer)
        return x
    pads = writer.array([*begins, *ends], np.int64)
    if mode != "constant":
        return writer.add("Pad", x, pads, mode=mode)
    value = writer.argument(node, 2, 0) if node.op in ("PadV3", "ConstantPadND") else 0
    return writer.add("Pad", x, pads, writer.array(value, node.dtype))


def _surrounded(x: str, axis: int, size: int, begin: int, end: int, mode: str, writer: Writer) -> str:
    """What is added on both sides of an axis, cut out of ``x``: ONNX has no such modes in opset 17."""
    if not begin and not end:
        return x
    front = (size - begin, size, 1) if mode == "wrap" else (begin - 1, -_FAR, -1)
    back = (0, end, 1) if mode == "wrap" else (-1, -end - 1, -1)
    parts = [writer.add("Slice", x, *(writer.array([n], np.int64) for n in (cut[0], cut[1], axis, cut[2])))
             for cut, count in ((front, begin), (back, end)) if count]
    return writer.add("Concat", *(parts[:1] if begin else ()), x, *(parts[-1:] if end else ()), axis=axis)


def _pad_mode(node: Node) -> str:
    modes = {"constant": "constant", "reflect": "reflect", "edge": "edge", "symmetric": "symmetric", "circular": "wrap"}
    named = "reflect" if node.op.startswith("Reflection") else "edge" if node.op.startswith("Replication") else None
    return named or modes[str(node.attrs.get("mode", "constant")).lower()]


def _pads(node: Node, writer: Writer) -> tuple[list[int], list[int]]:
    """What is added in front of and behind each axis."""
    rank = len(node.shape)
    given = node.attrs["paddings"] if "paddings" in node.attrs else writer.constant(node.inputs[1])
    if given and isinstance(given[0], tuple):
        return [int(pair[0]) for pair in given], [int(pair[1]) for pair in given]
    if node.op == "PadV3" and not node.attrs.get("paddings_contiguous", True):
        half = len(given) // 2
        given = tuple(n for pair in zip(given[:half], given[half:]) for n in pair)
    pairs = [(int(given[k]), int(given[k + 1])) for k in range(0, len(given), 2)]  # from the last axis on
    pairs = [(0, 0)] * (rank - len(pairs)) + pairs[::-1]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
