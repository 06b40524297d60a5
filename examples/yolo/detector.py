"""mindyolo's YOLOv8-n, its loss, and its boxes."""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # benchmarks/ has the network's table; the wheel has none

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from benchmarks.stand_ins import stand_in

stand_in("cv2", "pycocotools", "tqdm", "requests", "albumentations", "addict", "six", "shapely")  # not needed here

from benchmarks.zoo_yolo import build as build_yolo  # noqa: E402
from mindyolo.models.losses import create_loss  # noqa: E402
from mindyolo.utils.metrics import non_max_suppression  # noqa: E402

from shapes import NAMES, Pictures  # noqa: E402

STRIDES = (8, 16, 32)


def build() -> nn.Cell:
    """YOLOv8-n with initial weights."""
    return build_yolo("yolov8n")


class Boxes(nn.Cell):
    """What is deployed: boxes and class scores, (N, places, 4 + classes), without the maps that training needs.

    Args:
        net: the detector.
    """

    def __init__(self, net: nn.Cell):
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        """Boxes and scores of a batch of pictures."""
        return self.net(x)[0]


class Loss(nn.Cell):
    """mindyolo's loss for YOLOv8. It is always compiled: parts of it run in Graph mode only."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = create_loss("YOLOv8Loss", box=7.5, cls=0.5, dfl=1.5, stride=list(STRIDES), nc=len(NAMES),
                                reg_max=16)

    @ms.jit
    def construct(self, maps: tuple[ms.Tensor, ...], targets: ms.Tensor, images: ms.Tensor) -> ms.Tensor:
        """The loss of a batch, for one picture."""
        return self.loss(maps, targets, images)[0] / images.shape[0]


class WithLoss(nn.Cell):
    """The detector with mindyolo's loss.

    Args:
        net: the detector.
        sparsity: factor of the sum of all |gamma| of the BatchNorms, which is added to the loss. Network slimming
            (Liu et al., ICCV 2017) trains with it so that gamma tells which channels matter. Default: 0.
    """

    def __init__(self, net: nn.Cell, sparsity: float = 0.0):
        super().__init__(auto_prefix=False)
        self.net, self.sparsity = net, sparsity
        self.loss = Loss()
        norms = [cell for _, cell in net.cells_and_names() if isinstance(cell, nn.BatchNorm2d)]
        self.gammas = ms.ParameterTuple([norm.gamma for norm in norms] if sparsity else [])

    def construct(self, images: ms.Tensor, targets: ms.Tensor) -> ms.Tensor:
        """The loss of a batch, for one picture."""
        loss = self.loss(self.net(images), targets, images)
        for gamma in self.gammas:
            loss = loss + self.sparsity * ops.abs(gamma).sum()
        return loss


def detect(net: nn.Cell, pictures: Pictures, confidence: float, batch: int = 16) -> list[np.ndarray]:
    """The boxes of each picture: (found, 6), left, top, right, bottom in pixels, confidence, class."""
    net.set_train(False)
    found: list[np.ndarray] = []
    for start in range(0, len(pictures), batch):
        images, _ = pictures.inputs(slice(start, start + batch))
        said: Any = net(ms.Tensor(images))[0].asnumpy()
        found += non_max_suppression(said, conf_thres=confidence, iou_thres=0.5, conf_free=True)
    return [np.asarray(boxes).reshape(-1, 6) for boxes in found]
