"""Accuracy and size of what train.py wrote, the masked network and the slim one.

    python eval.py --config_path my.yaml --data_path DIR --checkpoint_file_path output/checkpoint/resnet-30_1562.ckpt
"""
from __future__ import annotations

from common import InputError, load_images, make_network, read_settings, run_script, set_up

from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs.checkpoint import load_parameters, read_checkpoint
from src.engine import accuracy


def main() -> None:
    """Golden Stick's documented way, and one call for the slim network."""
    config = read_settings(__doc__)
    set_up(config)
    if not config.checkpoint_file_path:
        raise InputError("give --checkpoint_file_path FILE")
    images, path, size = load_images(config).evaluation, config.checkpoint_file_path, config.eval_image_size
    shape = (1, 3, size, size)
    masked = PrunerFtCompressAlgo({}).apply(PrunerKfCompressAlgo({"input_shape": shape}).apply(make_network(config)))
    load_parameters(masked, read_checkpoint(path), path)
    slim = PrunerFtCompressAlgo({"input_shape": shape}).convert(make_network(config), path)
    for name, net in (("masked", masked), ("slim", slim)):
        print(f"{name}: accuracy {100 * accuracy(net, images, config.batch_size, size):.2f}% on {len(images)} images, "
              f"{sum(p.size for p in net.trainable_params()):,} parameters")


if __name__ == "__main__":
    run_script(main)
