"""SLB: searching for low-bit weights, with Golden Stick's interface."""

from mindspore_gs.quantization.slb.slb_quant_aware_training import SlbQuantAwareTraining
from mindspore_gs.quantization.slb.start import load_float

__all__ = ["SlbQuantAwareTraining", "load_float"]
