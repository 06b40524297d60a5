"""Networks of mindocr 0.5.0 that find and read text, in its own words: transform, backbone, neck, head.

Backbones are ResNet-18 where the library's default is ResNet-50, and depths and lengths are small: a run is short.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from mindspore import nn

_RESNET = {"name": "det_resnet18", "pretrained": False}
_BINARY = {"name": "DBHead", "k": 50, "bias": False, "adaptive": True}
_CHARACTERS = {"name": "CTCHead", "out_channels": 37}


def _detector(neck: Mapping[str, Any], head: Mapping[str, Any]) -> dict[str, Any]:
    return {"backbone": _RESNET, "neck": neck, "head": head}


_SVTR = {
    "transform": {"name": "STN_ON", "in_channels": 3, "tps_inputsize": [32, 64], "tps_outputsize": [32, 100],
                  "num_control_points": 20, "tps_margins": [0.05, 0.05], "stn_activation": "none"},
    "backbone": {"name": "SVTRNet", "pretrained": False, "img_size": [32, 100], "out_channels": 192,
                 "patch_merging": "Conv", "embed_dim": [64, 128, 256], "depth": [1, 2, 1], "num_heads": [2, 4, 8],
                 "mixer": ["Local"] * 2 + ["Global"] * 2, "local_mixer": [[7, 11]] * 3, "last_stage": True,
                 "prenorm": False},
    "neck": {"name": "Img2Seq"}, "head": _CHARACTERS,
}
_MASTER = {
    "backbone": {"name": "rec_resnet_master_resnet31", "pretrained": False},
    "neck": {"name": "MasterEncoder", "with_encoder": False},
    "head": {"name": "MasterDecoder", "out_channels": 94, "batch_max_length": 3},
}

# name: (configuration, channels, height and width of the image)
TEXT: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "dbnet": (_detector({"name": "DBFPN", "out_channels": 64, "bias": False}, _BINARY), (3, 64, 64)),
    "dbnetpp": (_detector({"name": "DBFPN", "out_channels": 64, "bias": False, "use_asf": True,
                           "channel_attention": True}, _BINARY), (3, 64, 64)),
    "psenet": (_detector({"name": "PSEFPN", "out_channels": 64},
                         {"name": "PSEHead", "hidden_size": 64, "out_channels": 7}), (3, 64, 64)),
    "east": (_detector({"name": "EASTFPN", "out_channels": 64}, {"name": "EASTHead"}), (3, 64, 64)),
    "crnn": ({"backbone": {"name": "rec_vgg7", "pretrained": False}, "head": _CHARACTERS,
              "neck": {"name": "RNNEncoder", "hidden_size": 64}}, (3, 32, 100)),
    "svtr": (_SVTR, (3, 64, 256)),
    "master": (_MASTER, (3, 32, 64)),
}


def build(name: str) -> nn.Cell:
    """A network of ``TEXT``."""
    from mindocr.models.base_model import BaseModel
    return BaseModel(deepcopy(TEXT[name][0]))
