"""Training and measuring, with mindcv's losses, schedules and optimizers; knows nothing about pruning."""
from __future__ import annotations

from typing import Any

import mindspore as ms
from mindcv.loss import CrossEntropySmooth
from mindcv.optim import create_optimizer
from mindcv.scheduler import create_scheduler
from mindspore import nn
from mindspore.train import Model

from mindspore_gs.distill import DistillLoss

from settings import Settings


def train(net: nn.Cell, batches: Any, epochs: int, lr: float, settings: Settings, callbacks: list[Any],
          teacher: nn.Cell | None = None) -> None:
    """Train `net` for `epochs` passes; with a teacher, its answers are a part of the loss.

    The optimizer is made here, since each training has other parameters to train.
    """
    loss = CrossEntropySmooth(aux_factor=settings.aux)
    steps = batches.get_dataset_size()
    rates = create_scheduler(steps, "cosine_decay", lr=lr, min_lr=0.0, warmup_epochs=0, decay_epochs=epochs,
                             num_epochs=epochs)
    optimizer = create_optimizer(net.trainable_params(), "momentum", lr=rates, momentum=settings.momentum,
                                 weight_decay=settings.weight_decay, nesterov=True)
    net.set_train(True)
    if teacher is not None and settings.teacher:
        model = Model(DistillLoss(net, loss, teacher, weight=settings.teacher), optimizer=optimizer)
    else:
        model = Model(net, loss, optimizer)
    model.train(epochs, batches, callbacks, dataset_sink_mode=ms.get_context("device_target") != "CPU")


def accuracy(net: nn.Cell, batches: Any) -> float:
    """Share of right answers, in [0, 1]."""
    model = Model(net, CrossEntropySmooth(), metrics={"accuracy"})
    return float(model.eval(batches, dataset_sink_mode=False)["accuracy"])
