"""Training and evaluation of one network; knows nothing about pruning."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from mindspore_gs.distill import DistillLoss

from src.batches import Batches, normalise
from src.data import Images
from src.progress import Progress
from src.snapshots import Snapshots, stretches


class _Forward(nn.Cell):
    """Compiles a network anew: in Graph mode a Cell keeps what it compiled before it was rewired."""

    def __init__(self, net: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, x: Tensor) -> Tensor:
        """Whatever the network returns for `x`."""
        return self.net(x)


def sgd(parameters: Iterable[ms.Parameter], rates: np.ndarray, momentum: float, weight_decay: float) -> nn.Optimizer:
    """SGD with Nesterov momentum; MindSpore leaves names with `gamma` and `beta` out of the weight decay."""
    return nn.Momentum(list(parameters), rates.tolist(), momentum, weight_decay, use_nesterov=True)


def train(net: nn.Cell, batches: Batches, epochs: int, optimizer: nn.Optimizer, title: str,
          callbacks: Sequence[Any] = (), teacher: nn.Cell | None = None,
          teacher_weight: float = 0.5, snapshots: Snapshots | None = None) -> list[dict[str, float]]:
    """Train `net` with cross entropy, and a teacher if there is one, for `epochs` passes; returns `Progress`'s log.

    With `snapshots` the training goes on behind the step that an earlier process has saved last, and ends the same.
    """
    steps = len(batches)
    progress = Progress(title, epochs, steps)
    snapshots = snapshots or Snapshots(Path(), "", "", 0)
    done = snapshots.restore(net, optimizer, progress)
    model = _model(net, optimizer, teacher, teacher_weight)
    on_device = ms.get_context("device_target") != "CPU"
    longest = snapshots.every if snapshots.random else 0
    for number, first, last, passes in stretches(done, steps, epochs, longest):
        begin = number * steps + first
        if longest and begin:
            ms.set_seed(snapshots.seed + begin)
            model = _model(net, optimizer, teacher, teacher_weight)
        snapshots.go_on_behind(begin)
        model.train(passes, batches.part(number, first, last).dataset(), [progress, *callbacks, snapshots],
                    dataset_sink_mode=on_device)
    return progress.log


def _model(net: nn.Cell, optimizer: nn.Optimizer, teacher: nn.Cell | None, teacher_weight: float) -> ms.Model:
    """What trains `net`; it compiles at its first step."""
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    net.set_train(True)
    if teacher is None:
        return ms.Model(net, loss, optimizer)
    return ms.Model(DistillLoss(net, loss, teacher, weight=teacher_weight), optimizer=optimizer)


def predict(net: nn.Cell, images: Images, batch_size: int = 500, size: int = 32) -> np.ndarray:
    """Logits (N, classes) in evaluation mode. The last batch is filled up, so there is one shape to compile."""
    forward = _Forward(net)
    forward.set_train(False)
    batch_size = min(batch_size, len(images))
    parts = []
    for start in range(0, len(images), batch_size):
        pixels = images.pixels[start:start + batch_size]
        short = batch_size - len(pixels)
        padded = np.pad(pixels, ((0, short), (0, 0), (0, 0), (0, 0)))
        parts.append(forward(Tensor(normalise(padded, size))).asnumpy()[:len(pixels)])
    return np.concatenate(parts)


def accuracy(net: nn.Cell, images: Images, batch_size: int = 500, size: int = 32) -> float:
    """Share of right answers, in [0, 1]."""
    return float(np.mean(predict(net, images, batch_size, size).argmax(1) == images.labels))
