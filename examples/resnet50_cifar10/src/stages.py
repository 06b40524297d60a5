"""The stages of train.py: dense network, knockoff phase, masked network, slim network, fine-tuning."""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore_gs import PrunerFtCompressAlgo, load_pruned, recalibrate, save_pruned

from src.batches import Batches
from src.config import Config
from src.data import Data
from src.engine import accuracy, sgd, train
from src.files import load_checkpoint, save_checkpoint
from src.lr import constant, cosine
from src.models import build
from src.pruning import knockoff_algorithm
from src.resume import Run
from src.snapshots import Snapshots

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
        self.run.note()

    @property
    def folder(self) -> Path:
        """Where checkpoints go."""
        return Path(self.config.output_path)

    def fresh(self) -> nn.Cell:
        """A new network with initial weights."""
        return build(self.config.net, len(self.data.classes))

    def measure(self, stage: str, net: nn.Cell) -> float:
        """Accuracy behind a stage on the evaluation images, in [0, 1]; measured once in a run."""
        config = self.config
        return self.run.once(f"accuracy {stage}", lambda: accuracy(net, self.data.evaluation, config.eval_batch_size,
                                                                   config.image_size))

    def batches(self, phase: int, steps: int | None = None) -> Batches:
        """Training batches; each phase has its own order."""
        config = self.config
        how = self.data.augment if config.augment == "auto" else config.augment
        return Batches(self.data.train, config.batch_size, 10 * config.seed + phase, how, config.image_size, steps)

    def dense(self) -> nn.Cell:
        """The dense network: from `pretrained`, else trained from scratch. Saved as dense.ckpt."""
        done = self.run.begin("dense", "dense.ckpt")
        config, net = self.config, self.fresh()
        if done:
            return self._again("scratch", done, net, "dense.ckpt")
        if config.pretrained:
            load_checkpoint(net, config.pretrained)
        else:
            batches = self.batches(SCRATCH)
            steps = config.epochs * len(batches)
            rates = cosine(config.lr, steps, min(steps, int(config.warmup_epochs * len(batches))))
            self.log["scratch"] = train(net, batches, config.epochs, self._sgd(net, rates), "training from scratch",
                                        snapshots=self._snapshots("dense"))
        return self._saved("dense", "scratch", net, "dense.ckpt")

    def _again(self, log: str, done: dict[str, Any], net: nn.Cell, file: str) -> nn.Cell:
        """What an earlier process has left of a stage."""
        self._already(log, done, file)
        return load_checkpoint(net, str(self.folder / file))

    def _already(self, log: str, done: dict[str, Any], file: str) -> None:
        print(f"   already done: {self.folder / file}", flush=True)
        if done["log"]:
            self.log[log] = done["log"]

    def _saved(self, stage: str, log: str, net: nn.Cell, file: str) -> nn.Cell:
        """Save what a stage has made, and note that it is complete."""
        save_checkpoint(net, self.folder / file)
        self._complete(stage, log, file)
        return net

    def _complete(self, stage: str, log: str, *files: str) -> None:
        self.run.finish(stage, self.log.get(log, []), *files)
        self._snapshots(stage).remove()

    def _snapshots(self, stage: str, random: bool = False) -> Snapshots:
        return Snapshots(self.folder, self.run.name, stage, self.config.snapshot_steps, self.config.seed, random)

    def knockoff(self, net: nn.Cell) -> nn.Cell:
        """Turn `net` into the knockoff network and train its scales; l1 and random need no training."""
        config, done = self.config, self.run.begin("knockoff", "knockoff.ckpt")
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
        self.log["knockoff"] = train(net, batches, epochs, optimizer, "", algorithm.callbacks(),
                                     snapshots=self._snapshots("knockoff", random=True))
        return self._saved("knockoff", "knockoff", net, "knockoff.ckpt")

    def masked(self, net: nn.Cell, algorithm: PrunerFtCompressAlgo) -> nn.Cell:
        """Mask the channels that go and measure the BatchNorm statistics anew. Saved as masked.ckpt."""
        done = self.run.begin("masked", self._masked_file)
        net = algorithm.apply(net)
        if done:  # what stays may have been chosen by a measurement of time: it is read, not chosen again
            return self._again("", done, net, self._masked_file)
        steps = self.config.recalibrate_steps
        if steps:
            recalibrate(net, self.batches(RECALIBRATE, steps).dataset(), steps=steps)
        return self._saved("masked", "", net, self._masked_file)

    @property
    def _masked_file(self) -> str:
        """Fine-tuning of the masked network writes masked.ckpt itself."""
        return "masked.ckpt" if self.config.fine_tune == "slim" else "pruned.ckpt"

    def slim(self, net: nn.Cell, algorithm: PrunerFtCompressAlgo) -> nn.Cell:
        """The fine-tuned slim network, saved as slim.ckpt. Where the masked one is trained, masked.ckpt has it."""
        masked = self.config.fine_tune == "masked"
        files = ("slim.ckpt", "masked.ckpt") if masked else ("slim.ckpt",)
        done = self.run.begin("fine_tune", *files)
        if done:
            self._already("fine_tune", done, "slim.ckpt")
            return load_pruned(self.fresh, self.folder / "slim.ckpt")
        if masked:
            net = self._fine_tuned(net)
            save_checkpoint(net, self.folder / "masked.ckpt")
            small = algorithm.convert(net)
        else:
            small = self._fine_tuned(algorithm.convert(net))
        save_pruned(small, self.folder / "slim.ckpt")
        self._complete("fine_tune", "fine_tune", *files)
        return small

    def _fine_tuned(self, net: nn.Cell) -> nn.Cell:
        """Train all of `net`, the masked or the slim one, with the dense network as teacher where that is wanted."""
        config = self.config
        if config.ft_epochs:
            batches = self.batches(FINE_TUNE)
            rates = cosine(config.ft_lr, config.ft_epochs * len(batches))
            dense = str(self.folder / "dense.ckpt")
            teacher = load_checkpoint(self.fresh(), dense) if config.ft_teacher else None
            self.log["fine_tune"] = train(net, batches, config.ft_epochs, self._sgd(net, rates), "fine-tuning",
                                          teacher=teacher, teacher_weight=config.ft_teacher,
                                          snapshots=self._snapshots("fine_tune"))
        return net

    def _sgd(self, net: nn.Cell, rates: np.ndarray) -> nn.Optimizer:
        return sgd(net.trainable_params(), rates, self.config.momentum, self.config.weight_decay)

    def _scale_optimizer(self, net: nn.Cell, rates: np.ndarray) -> nn.Optimizer:
        parameters: list[Any] = net.trainable_params()
        if self.config.kf_optimizer == "sgd":
            return sgd(parameters, rates, self.config.momentum, 0.0)
        return nn.Adam(parameters, ms.Tensor(rates))
