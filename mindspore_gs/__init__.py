"""Structured pruning for MindSpore, with the interface of MindSpore Golden Stick."""

from mindspore_gs._distribution import refuse_mixture, refuse_numpy_2

refuse_mixture()
refuse_numpy_2()

from mindspore_gs._exit import register  # noqa: E402

register()

from mindspore_gs.checkpoint import load_pruned, save_pruned  # noqa: E402
from mindspore_gs.comp_algo import CompAlgo  # noqa: E402
from mindspore_gs.export import export_mindir, export_onnx, load_mindir  # noqa: E402
from mindspore_gs.pruner import (  # noqa: E402
    ChannelPruner,
    PrunerFtCompressAlgo,
    PrunerKfCompressAlgo,
    prune,
    recalibrate,
)
from mindspore_gs.quantization import SlbQuantAwareTraining, load_quantized, save_quantized  # noqa: E402
from mindspore_gs.report import summary  # noqa: E402

__version__ = "0.1.0"
__all__ = ["ChannelPruner", "CompAlgo", "PrunerFtCompressAlgo", "PrunerKfCompressAlgo",
           "SlbQuantAwareTraining", "export_mindir", "export_onnx", "load_mindir", "load_pruned", "load_quantized",
           "prune", "recalibrate", "save_pruned", "save_quantized", "summary"]
