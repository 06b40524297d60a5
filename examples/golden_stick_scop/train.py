"""SCOP with the keys of the model zoo's script: knockoff phase, then fine-tuning of the masked network.

    python train.py --config_path my.yaml --data_path DIR --fp32_ckpt resnet50.ckpt
    python train.py --config_path my.yaml --data_path DIR --pre_trained output/checkpoint/resnet-30_1562.ckpt
"""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from common import Batches, InputError, learning_rate, load_images, make_network, read_settings, run_script, set_up

import mindspore as ms
from mindspore import nn
from mindspore.train import CheckpointConfig, FixedLossScaleManager, LossMonitor, Model, ModelCheckpoint, TimeMonitor
from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo, export_mindir
from mindspore_gs.checkpoint import load_parameters, read_checkpoint

LOSS = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")


def knockoff_phase(net: nn.Cell, algorithm: PrunerKfCompressAlgo, batches: Batches, config: SimpleNamespace) -> None:
    """Train the knockoff scales, and nothing else."""
    steps = len(batches)
    rates = learning_rate(config.lr_init, config.lr_end_kf, config.lr_max_kf, config, config.epoch_kf, steps, "cosine")
    trainable = filter(lambda parameter: parameter.requires_grad, net.get_parameters())
    model = Model(net, LOSS, nn.Momentum(trainable, rates, config.momentum))
    model.train(config.epoch_kf, batches.dataset(), [LossMonitor(steps), *algorithm.callbacks()],
                dataset_sink_mode=False)


def fine_tuning(net: nn.Cell, batches: Batches, config: SimpleNamespace) -> Path:
    """Train the masked network; returns the folder with its checkpoints."""
    steps, folder = len(batches), Path(config.output_path) / config.checkpoint_path
    rates = learning_rate(config.lr_init, config.lr_end_ft, config.lr_max_ft, config, config.epoch_ft, steps, "poly")
    half = config.amp_level != "O0"
    optimizer = nn.Momentum(net.trainable_params(), rates, config.momentum, config.weight_decay,
                            loss_scale=config.loss_scale if half else 1.0)
    precision = {"amp_level": config.amp_level} | ({
        "loss_scale_manager": FixedLossScaleManager(config.loss_scale, drop_overflow_update=False),
        "keep_batchnorm_fp32": False} if half else {})
    keep = CheckpointConfig(save_checkpoint_steps=5 * steps, keep_checkpoint_max=config.keep_checkpoint_max)
    net.set_train(True)
    Model(net, LOSS, optimizer, **precision).train(
        config.epoch_ft, batches.dataset(), [TimeMonitor(steps), LossMonitor(steps),
                                             ModelCheckpoint("resnet", str(folder), keep)],
        dataset_sink_mode=config.device_target != "CPU")
    return folder


def main() -> None:
    """Read the settings, run both phases, export the slim network."""
    config = read_settings(__doc__)
    set_up(config)
    if not config.fp32_ckpt and not config.pre_trained:
        raise InputError("give --fp32_ckpt FILE, the trained dense network, or --pre_trained FILE, a masked checkpoint")
    data = load_images(config)
    batches = Batches(data.train, config.batch_size, config.seed, data.augment, config.train_image_size)
    net = make_network(config)
    if config.fp32_ckpt:
        load_parameters(net, read_checkpoint(config.fp32_ckpt), config.fp32_ckpt)
    shape = (1, 3, config.train_image_size, config.train_image_size)
    knockoffs = PrunerKfCompressAlgo({"input_shape": shape})
    net = knockoffs.apply(net)
    if not config.pre_trained:
        knockoff_phase(net, knockoffs, batches, config)
    algorithm = PrunerFtCompressAlgo({"prune_rate": config.prune_rate})
    net = algorithm.apply(net)
    if config.pre_trained:
        load_parameters(net, read_checkpoint(config.pre_trained), config.pre_trained)
    folder = fine_tuning(net, batches, config)
    small = algorithm.convert(net)
    path = export_mindir(small, shape, folder / "slim")
    print(f"{path}: {path.stat().st_size:,} bytes, {sum(p.size for p in small.trainable_params()):,} parameters")


if __name__ == "__main__":
    ms.set_seed(1)
    run_script(main)
