"""The networks of benchmarks/accuracy.py: the dense one, and slim ones by choice, repair and start."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.train import Callback
from src.batches import Batches, augment, normalise
from src.data import Data, Images
from src.engine import accuracy, sgd, train
from src.files import load_checkpoint, save_checkpoint
from src.lr import cosine
from src.models import build

from benchmarks.accuracy_rows import Choice, Row
from mindspore_gs import ChannelPruner, PrunerFtCompressAlgo, PrunerKfCompressAlgo, recalibrate, summary
from mindspore_gs._cells import copy_network
from mindspore_gs.export import export_onnx
from mindspore_gs.pruner.compensation import compensate
from mindspore_gs.pruner.criteria import CRITERIA
from mindspore_gs.pruner.phases import Slimming
from mindspore_gs.slim import PrunePlan, slim

SHAPE = (1, 3, 32, 32)


class Dense:
    """The images and the dense network that all rows share.

    Args:
        options: of the command.
        data: the images.
    """

    def __init__(self, options: argparse.Namespace, data: Data) -> None:
        self.options, self.data = options, data

    def fresh(self, seed: int = 0) -> nn.Cell:
        """The architecture with initial weights."""
        ms.set_seed(seed)
        return build(self.options.net, len(self.data.classes))

    @cached_property
    def net(self) -> nn.Cell:
        """The dense network: from its checkpoint, or trained, in which case it is stored in the folder of the runs."""
        place = Path(self.options.pretrained or self.options.out / "dense.ckpt")
        net = self.fresh()
        if place.is_file():
            return load_checkpoint(net, str(place))
        steps = self.options.dense_epochs * (len(self.data.train) // self.options.batch)
        keep: list[Callback] = [SaveAt(net, self.options.rewind, self.early)]
        self.train(net, steps, self.options.scratch_lr, 0, "dense network", callbacks=keep)
        save_checkpoint(net, place)
        return net

    @property
    def early(self) -> Path:
        """The checkpoint that rewound networks start from."""
        return Path(self.options.early or self.options.out / "early.ckpt")

    @cached_property
    def accuracy(self) -> float:
        """In percent. It is stored in the folder of the runs, whose rows all have the same test images."""
        place = self.options.out / "networks" / f"{self.options.net}-dense.json"
        if place.is_file():
            return float(json.loads(place.read_text()))
        found = self.measure(self.net)
        place.write_text(json.dumps(found))
        return found

    def measure(self, net: nn.Cell) -> float:
        """Accuracy in percent: of the network in MindSpore's Graph mode, or of its ONNX file in onnxruntime."""
        images = self.data.evaluation
        if self.options.engine == "mindspore":
            return 100 * accuracy(net, images, batch_size=1000)
        return 100 * accuracy_of_file(export_onnx(net, SHAPE, self.options.out / "networks" / "last.onnx"), images)

    def images(self, seed: int) -> Images:
        """The training images of a seed, for everything but training, as they are."""
        chosen = np.random.default_rng(seed).permutation(len(self.data.train))[:self.options.images]
        return Images(self.data.train.pixels[chosen], self.data.train.labels[chosen])

    def augmented(self, seed: int) -> Images:
        """The same, each augmented once: the dense network's statistics are of such images, and recalibration's too."""
        images = self.images(seed)
        return Images(augment(images.pixels, self.data.augment, np.random.default_rng(seed)), images.labels)

    def batches(self, images: Images) -> list[tuple[ms.Tensor, ms.Tensor]]:
        """Images in batches, with labels."""
        size = self.options.batch
        parts = [images.part(slice(k, k + size)) for k in range(0, len(images), size)]
        return [(ms.Tensor(normalise(part.pixels)), ms.Tensor(part.labels)) for part in parts]

    def train(self, net: nn.Cell, steps: int, rate: float, seed: int, title: str, few: bool = False,
              teacher: float = 0.0, callbacks: list[Callback] | None = None) -> float:
        """SGD with momentum 0.9, weight decay 5e-4 and a rate that falls to 0 along a cosine. Returns the seconds."""
        begin = time.monotonic()
        images = self.images(seed) if few else self.data.train
        batches = Batches(images, self.options.batch, seed, self.data.augment, steps=steps)
        optimizer = sgd(net.trainable_params(), cosine(rate, steps), 0.9, 5e-4)
        train(net, batches, 1, optimizer, title, callbacks or (), self.net if teacher else None, teacher)
        return time.monotonic() - begin

    def scales(self, seed: int) -> nn.Cell:
        """The knockoff network with trained scales: the phase of a seed is stored in the folder of the runs."""
        algorithm = PrunerKfCompressAlgo(residual=self.options.residual, input_shape=SHAPE)
        net = algorithm.apply(copy_network(self.net))
        place = self.options.out / "networks" / f"{self.options.net}-knockoff-{seed}.ckpt"
        if place.is_file():
            return load_checkpoint(net, str(place))
        batches = Batches(self.images(seed), self.options.batch, seed, self.data.augment, steps=self.options.kf_steps)
        optimizer = nn.Adam(net.trainable_params(), ms.Tensor(cosine(0.004, self.options.kf_steps)))
        train(net, batches, 1, optimizer, "knockoff phase", algorithm.callbacks())
        save_checkpoint(net, place)
        return net


class Slims:
    """The slim networks of one choice of channels, each made when it is first asked for.

    Args:
        dense: the images and the dense network.
        choice: which channels stay.
    """

    def __init__(self, dense: Dense, choice: Choice) -> None:
        self.dense, self.choice, self.options = dense, choice, dense.options
        self.batches = dense.batches(dense.images(choice.seed))
        self.seconds: dict[str, float] = {}

    @property
    def phase(self) -> bool:
        """Whether the criterion is for networks that have been through the knockoff phase."""
        return bool(vars(CRITERIA[self.choice.criterion])["phase"])

    @cached_property
    def pruner(self) -> ChannelPruner:
        """The algorithm that chooses."""
        options = self._options(self.choice.criterion, self.choice.scope, data=self.batches)
        return PrunerFtCompressAlgo(**options) if self.phase else ChannelPruner(**options)

    def _options(self, criterion: str, scope: str, **more: Any) -> dict[str, Any]:
        return {"criterion": criterion, "scope": scope, "seed": self.choice.seed,
                "target": {self.options.budget: self.choice.target}, "residual": self.options.residual,
                "input_shape": SHAPE, "min_channels": self.options.min_channels, "round_to": 1, **more}

    @cached_property
    def masked(self) -> nn.Cell:
        """The masked network."""
        begin = time.monotonic()
        net = self.pruner.apply(self.dense.scales(self.choice.seed) if self.phase else copy_network(self.dense.net))
        self.seconds["choice"] = time.monotonic() - begin
        return net

    @cached_property
    def nothing(self) -> nn.Cell:
        """The slim network without repair."""
        return self.pruner.convert(self.masked)

    @cached_property
    def recalibrated(self) -> nn.Cell:
        """The slim network with new statistics."""
        return recalibrate(copy_network(self.nothing), self.dense.batches(self.dense.augmented(self.choice.seed)))

    @cached_property
    def compensated(self) -> nn.Cell:
        """The slim network with repaired weights."""
        net, begin = copy_network(self.masked), time.monotonic()
        compensate(net, self.batches, samples=self.options.images)
        self.seconds["compensation"] = time.monotonic() - begin
        return self.pruner.convert(net)

    def start(self, weights: str) -> nn.Cell:
        """A copy of the slim network with weights of a repair, initial ones, or those of the rewound dense network.

        Raises:
            ValueError: there is no early checkpoint to rewind to.
        """
        if weights.startswith("scratch"):
            return slim(self.dense.fresh(1 + self.choice.seed), self.pruner.plan(self.masked))
        if weights == "unlearned":
            initial = self.dense.fresh(1 + self.choice.seed)
            return slim(initial, self.plan_of_gates(copy_network(initial)))
        if weights == "rewound":
            if not self.dense.early.is_file():
                raise ValueError("a rewound network starts from an early checkpoint of the dense network's training: "
                                 "give --early, or leave out --pretrained so that the dense network is trained here.")
            early = load_checkpoint(self.dense.fresh(), str(self.dense.early))
            return slim(early, self.pruner.plan(self.masked))
        return copy_network(getattr(self, weights))

    def plan_of_gates(self, net: nn.Cell) -> PrunePlan:
        """Which channels of a network with initial weights stay, by gates: the gammas, which alone are trained.

        They begin at 0.5 and have an L1 penalty of 1e-4, as in Network Slimming.
        """
        pruner = ChannelPruner(**self._options("bn_gamma", "global"))
        phase = Slimming(net, pruner)
        for parameter in net.get_parameters():
            parameter.requires_grad = parameter.name.endswith(".gamma")
            if parameter.requires_grad:
                parameter.set_data(ms.Tensor(np.full(parameter.shape, 0.5, np.float32)))
        begin = time.monotonic()
        self.dense.train(net, self.options.gate_steps, self.options.scratch_lr, self.choice.seed, "gates",
                         callbacks=phase.callbacks())
        self.seconds["gates"] = time.monotonic() - begin
        return pruner.plan(phase.finish())

    def measure(self, row: Row) -> dict[str, Any]:
        """Train a network as a row says, and measure it."""
        net, seconds = self.start(row.weights), {}
        if row.steps:
            seconds["training"] = self.dense.train(net, row.steps, row.lr, row.choice.seed, row.weights, row.few,
                                                   row.teacher)
        found = summary(self.dense.net, net, SHAPE)
        return {**row.record(), "net": self.options.net, "accuracy": self.dense.measure(net),
                "dense": self.dense.accuracy, "macs": found.macs_ratio, "params": found.params_ratio,
                "channels": channels(net), "seconds": {**self.seconds, **seconds}}


def channels(net: nn.Cell) -> dict[str, int]:
    """How many channels each convolution keeps."""
    return {p.name: p.shape[0] for p in net.get_parameters() if len(p.shape) == 4}


class SaveAt(Callback):
    """Stores a network after so many steps of its training."""

    def __init__(self, net: nn.Cell, step: int, place: Path) -> None:
        super().__init__()
        self.net, self.step, self.place = net, step, place

    def on_train_step_end(self, run_context: Any) -> None:
        """Store it when it is time."""
        arguments = run_context.original_args()
        if arguments.cur_step_num == self.step:
            save_checkpoint(self.net, self.place)


def accuracy_of_file(path: Path, images: Images, batch: int = 500) -> float:
    """Share of right answers of an ONNX file, in [0, 1]."""
    return float(np.mean(np.concatenate(list(_answers(path, images, batch))) == images.labels))


def _answers(path: Path, images: Images, batch: int) -> Iterator[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    run: Callable[[np.ndarray], np.ndarray] = lambda x: session.run(None, {name: x})[0]  # noqa: E731
    for k in range(0, len(images), batch):
        yield run(normalise(images.pixels[k:k + batch])).argmax(axis=1)
