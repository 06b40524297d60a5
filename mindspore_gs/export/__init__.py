"""Files for running a network elsewhere: MindIR and ONNX, each loaded again and compared."""

from mindspore_gs.export.mindir import export_mindir, load_mindir
from mindspore_gs.export.onnx import export_onnx
from mindspore_gs.export.onnx_rules import onnx_rule

__all__ = ["export_mindir", "export_onnx", "load_mindir", "onnx_rule"]
