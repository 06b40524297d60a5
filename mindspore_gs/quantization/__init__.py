"""Quantisation: networks whose weights take few values."""

from mindspore_gs.quantization.slb import SlbQuantAwareTraining
from mindspore_gs.quantization.storage import load_quantized, save_quantized

__all__ = ["SlbQuantAwareTraining", "load_quantized", "save_quantized"]
