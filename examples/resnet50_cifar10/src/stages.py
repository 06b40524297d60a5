"""The stages of train.py: dense network, knockoff phase, masked network, slim network, fine-tuning."""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore_gs import PrunerFtCompressAlgo, recalibrate

from src.batches import Batches
from src.config import Config
from src.data import Data
from src.engine import accuracy, sgd, train
from src.files import load_checkpoint, save_checkpoint
from src.lr import constant, cosine
from src.models import build
from src.pruning import knockoff_algorithm
from src.resume import Run

SCRATCH, KNOCKOFF, RECALIBRATE, FINE_TUNE = range(4)


@dataclass
class Stages:
    """Runs the stages for one configuration; `log` keeps what each epoch of each phase said."""

    config: Config
    data: Data
    log: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    run: Run = field(init=False)

    def __post_init__(self) -> None:
        self.run = Run(self.config)

    @property
    def folder(self) -> Path:
        """Where checkpoints go."""
        return Path(self.config.output_path)

    def fresh(self) -> nn.Cell:
        """A new network with initial weights."""
        return build(self.config.net, len(self.data.classes))

    def measure(self, net: nn.Cell) -> float:
        """Accuracy on the evaluation images, in [0, 1]."""
        return accuracy(net, self.data.evaluation, self.config.eval_batch_size, self.config.image_size)

    def batches(self, phase: int, steps: int | None = None) -> Batches:
        """Training batches; each phase has its own order."""
        config = self.config
        how = self.data.augment if config.augment == "auto" else config.augment
        return Batches(self.data.train, config.batch_size, 10 * config.seed + phase, how, config.image_size, steps)

    def dense(self) -> nn.Cell:
        """The dense network: from `pretrained`, else trained from scratch. Saved as dense.ckpt."""
        done = self.run.begin("dense")
        config, net = self.config, self.fresh()
        if done:
            return self._again("scratch", done, net, "dense.ckpt")
        if config.pretrained:
            load_checkpoint(net, config.pretrained)
        else:
            batches = self.batches(SCRATCH)
            steps = config.epochs * len(batches)
            rates = cosine(config.lr, steps, min(steps, int(config.warmup_epochs * len(batches))))
            self.log["scratch"] = train(net, batches, config.epochs, self._sgd(net, rates), "training from scratch")
        save_checkpoint(net, self.folder / "dense.ckpt")
        self.run.finish("dense", self.log.get("scratch", []))
        return net

    def _again(self, log: str, done: dict[str, Any], net: nn.Cell, file: str) -> nn.Cell:
        """What an earlier process has left of a stage."""
        print(f"   already done: {self.folder / file}", flush=True)
        if done["log"]:
            self.log[log] = done["log"]
        return load_checkpoint(net, str(self.folder / file))

    def knockoff(self, net: nn.Cell) -> nn.Cell:
        """Turn `net` into the knockoff network and train its scales; l1 and random need no training."""
        config, done = self.config, self.run.begin("knockoff")
        algorithm = knockoff_algorithm(config)
        net = algorithm.apply(net)
        if config.criterion not in ("scop", "knockoff") or not (config.kf_steps or config.kf_epochs):
            return net
        if done:
            return self._again("knockoff", done, net, "knockoff.ckpt")
        batches = self.batches(KNOCKOFF, config.kf_steps or None)
        epochs = 1 if config.kf_steps else config.kf_epochs
        schedule = cosine if config.kf_schedule == "cosine" else constant
        rates = schedule(config.kf_lr, epochs * len(batches))
        optimizer = self._scale_optimizer(net, rates)
        self.log["knockoff"] = train(net, batches, epochs, optimizer, "", algorithm.callbacks())
        save_checkpoint(net, self.folder / "knockoff.ckpt")
        self.run.finish("knockoff", self.log["knockoff"])
        return net

    def masked(self, net: nn.Cell, algorithm: PrunerFtCompressAlgo) -> nn.Cell:
        """Mask the channels that go and measure the BatchNorm statistics anew. Saved as masked.ckpt."""
        self.run.begin("masked")
        net = algorithm.apply(net)
        steps = self.config.recalibrate_steps
        if steps:
            recalibrate(net, self.batches(RECALIBRATE, steps).dataset(), steps=steps)
        save_checkpoint(net, self.folder / "masked.ckpt")
        return net

    def fine_tune(self, net: nn.Cell) -> nn.Cell:
        """Train all of `net`, the masked or the slim one, with the dense network as teacher where that is wanted."""
        config = self.config
        self.run.begin("fine_tune")
        if config.ft_epochs:
            batches = self.batches(FINE_TUNE)
            rates = cosine(config.ft_lr, config.ft_epochs * len(batches))
            dense = str(self.folder / "dense.ckpt")
            teacher = load_checkpoint(self.fresh(), dense) if config.ft_teacher else None
            self.log["fine_tune"] = train(net, batches, config.ft_epochs, self._sgd(net, rates), "fine-tuning",
                                          teacher=teacher, teacher_weight=config.ft_teacher)
        return net

    def _sgd(self, net: nn.Cell, rates: np.ndarray) -> nn.Optimizer:
        return sgd(net.trainable_params(), rates, self.config.momentum, self.config.weight_decay)

    def _scale_optimizer(self, net: nn.Cell, rates: np.ndarray) -> nn.Optimizer:
        parameters: list[Any] = net.trainable_params()
        if self.config.kf_optimizer == "sgd":
            return sgd(parameters, rates, self.config.momentum, 0.0)
        return nn.Adam(parameters, ms.Tensor(rates))
