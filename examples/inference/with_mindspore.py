"""Run an exported MindIR on pictures, with nothing but MindSpore (and pillow, which comes with it).

    python with_mindspore.py slim.mindir --size 224 cat.jpg dog.jpg
"""
import argparse
import os
from pathlib import Path

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # without it, convolutions crawl on CPUs with AVX-512

import mindspore as ms
from mindspore import nn

from pictures import best, read


def main() -> None:
    """Print the best classes of each picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mindir", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=224, help="height and width that the file was exported for")
    parser.add_argument("--top", type=int, default=3, help="how many classes are printed")
    arguments = parser.parse_args()
    net = nn.GraphCell(ms.load(str(arguments.mindir)))
    for path in arguments.pictures:
        output = net(ms.Tensor(read(path, arguments.size)))
        print(f"{path.name}: {best(output.asnumpy()[0], arguments.top)}")


if __name__ == "__main__":
    main()
