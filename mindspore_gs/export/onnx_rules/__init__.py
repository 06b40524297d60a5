"""ONNX rules: for each operator of MindIR, the ONNX operators that compute the same.

A rule takes the node and the :class:`~mindspore_gs.export.onnx_writer.Writer` to add to, and returns the name of the
output. An operator without a rule is an error.
"""

from mindspore_gs.export.onnx_rules import (
    activations,
    arithmetic,
    bits,
    control,
    diagonals,
    elementwise,
    layout,
    normalise,
    padding,
    pooling,
    products,
    recurrent,
    reductions,
    regions,
    resize,
    select,
    windows,
)
from mindspore_gs.export.onnx_rules.registry import apply_rule, onnx_rule, operators

__all__ = ["activations", "apply_rule", "arithmetic", "bits", "control", "diagonals", "elementwise", "layout",
           "normalise", "onnx_rule", "operators", "padding", "pooling", "products", "recurrent", "reductions",
           "regions", "resize", "select", "windows"]
