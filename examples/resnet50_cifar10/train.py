"""SCOP on CIFAR-10 from one command: dense network, knockoff phase, pruning, fine-tuning, export.

A run that was interrupted goes on where it stopped when the same command is given again.
Without --data_path it runs on scikit-learn's digits. Every key can stand in the YAML file or on the command line.
"""
from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from src.config import Config, parse_config
from src.context import set_up
from src.data import Data, load_data
from src.errors import InputError, run_script
from src.exports import export_both
from src.files import load_checkpoint, read_checkpoint, save_json
from src.models import build
from src.pruning import check_target, input_shape, knockoff_algorithm, pruning_algorithm, sizes
from src.results import print_table, versions
from src.resume import Run
from src.stages import Stages


class Clock:
    """Seconds of each stage; says what begins and what came out."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, text: str) -> Iterator[None]:
        """Time one stage."""
        print(f"== {text}", flush=True)
        begin = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - begin, 1)


def run(config: Config) -> dict[str, Any]:
    """All stages; returns the results that go into `results_json`."""
    _check(config)
    data = _load(config)
    stages, clock, score = Stages(config, data), Clock(), {}
    with clock.stage("dense", f"dense {config.net}"):
        net = stages.dense()
        score["dense"] = _said("accuracy", stages.measure("dense", net))
    with clock.stage("knockoff", f"knockoff phase ({config.criterion}, residual {config.residual})"):
        net = stages.knockoff(net)
    algorithm = pruning_algorithm(config)
    with clock.stage("prune", "masking"):
        net = stages.masked(net, algorithm)
        score["masked"] = _said("accuracy", stages.measure("masked", net))
    with clock.stage("fine_tune", f"fine-tuning the {config.fine_tune} network"):
        slim = stages.slim(net, algorithm)
        score["fine_tuned"] = _said("accuracy", stages.measure("fine_tuned", slim))
    dense = load_checkpoint(stages.fresh(), str(stages.folder / "dense.ckpt"))
    results = {"accuracy": score, "prune_rate": config.prune_rate} | sizes(dense, slim, config)
    if config.export:
        with clock.stage("export", "MindIR of the dense and of the slim network"):
            results |= export_both(dense, slim, stages.folder, input_shape(config), config.latency_runs)
        stages.run.note(["dense.mindir", "slim.mindir"])
    return (results | {"run": stages.run.name, "files": stages.run.files, "net": config.net, "data": data.name,
                       "eval_on": config.eval_on, "log": stages.log,
                       "images": {"train": len(data.train), "evaluation": len(data.evaluation)},
                       "macs_ratio": results["macs_after"] / results["macs_before"], "seconds": clock.seconds})


def _load(config: Config) -> Data:
    data = load_data(config.data_path, config.holdout, config.eval_on, config.train_images, config.eval_images)
    if config.data_path is None:
        print("no data_path is given: using scikit-learn's 1,797 real digits, scaled to 32x32")
    print(f"{data.name}: {len(data.train)} images to train on, {len(data.evaluation)} {config.eval_on} images")
    return data


def _check(config: Config) -> None:
    """Find wrong settings before anything is trained."""
    if config.prune_rate is None and config.target_macs is None:
        raise InputError("give prune_rate or target_macs")
    if not config.pretrained and not config.epochs:
        raise InputError("there is no network to prune: give --pretrained CHECKPOINT or --epochs N")
    if config.pretrained:
        read_checkpoint(config.pretrained)
    build(config.net)
    knockoff_algorithm(config)
    pruning_algorithm(config)
    if config.target_macs is not None:
        check_target(config)


def _said(name: str, value: float) -> float:
    print(f"   {name} {100 * value:.2f}%", flush=True)
    return value


def main() -> None:
    """Read the configuration, run, print the table, write the results."""
    config = parse_config(sys.argv[1:], "resnet20_cifar10.yaml", __doc__)
    set_up(config)
    results = run(config)
    if config.results_json:
        command = shlex.join(["python", *sys.argv])
        place = save_json(config.results_json, results | {"config": config.to_dict(), "seed": config.seed,
                                                          "command": command, "versions": versions()})
        print(f"results: {place}")
    print_table(results)
    Run(config).end()


if __name__ == "__main__":
    run_script(main)
