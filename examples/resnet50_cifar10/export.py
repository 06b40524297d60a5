"""Export a slim file, a masked checkpoint (it is made slim first) or a dense checkpoint as MindIR or ONNX."""
from __future__ import annotations

import sys
from pathlib import Path

from src.config import parse_config
from src.context import set_up
from src.errors import run_script
from src.exports import export_network
from src.pruning import input_shape
from src.restore import deployable

NUM_CLASSES = 10


def main() -> None:
    """Read the configuration, restore the network, write the file."""
    config = parse_config(sys.argv[1:], "resnet20_cifar10.yaml", __doc__)
    set_up(config)
    net = deployable(config, NUM_CLASSES)
    path = export_network(net, Path(config.file_name), input_shape(config), config.file_format)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    run_script(main)
