"""Accuracy of a slim file, a masked checkpoint or a dense checkpoint on the evaluation images."""
from __future__ import annotations

import sys

from src.config import parse_config
from src.context import set_up
from src.data import load_data
from src.engine import accuracy
from src.errors import run_script
from src.restore import restore


def main() -> None:
    """Read the configuration, restore the network, print its accuracy."""
    config = parse_config(sys.argv[1:], "resnet20_cifar10.yaml", __doc__)
    set_up(config)
    data = load_data(config.data_path, config.holdout, config.eval_on, config.train_images, config.eval_images)
    net = restore(config, len(data.classes))
    share = accuracy(net, data.evaluation, config.eval_batch_size, config.image_size)
    print(f"{config.kind} {config.net}: accuracy {100 * share:.2f}% on {len(data.evaluation)} {config.eval_on} images "
          f"of {data.name}")


if __name__ == "__main__":
    run_script(main)
