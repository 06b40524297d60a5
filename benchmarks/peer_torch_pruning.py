"""Inference of ResNet-50 in PyTorch: dense against slim by Torch-Pruning, time as ratios.

    python -m venv /tmp/torchenv
    /tmp/torchenv/bin/pip install torch==2.13.0 torch-pruning==1.6.1 numpy rich
    /tmp/torchenv/bin/python benchmarks/peer_torch_pruning.py --rate 0.2 0.45 0.7 --size 32 224 --batch 1 64

Each slim network takes turns with the dense one, in one process. Needs neither MindSpore nor this package.
Torch-Pruning rounds channels down to ``--round-to``, this package up: compare shares of the ideal, not speed-ups.
"""

import argparse
import os
import sys
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "DEFAULT")  # no limit: the one in environment.py is for MindSpore

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch_pruning as tp  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from benchmarks.command import make_table, run  # noqa: E402
from benchmarks.conditions import versions  # noqa: E402
from benchmarks.turns import ratio, timing  # noqa: E402


def parser() -> argparse.ArgumentParser:
    """The options; where several values are given, every combination is measured."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--classes", type=int, default=10, help="outputs, which are not pruned")
    result.add_argument("--size", type=int, nargs="+", default=[224], help="height and width of the image [224]")
    result.add_argument("--batch", type=int, nargs="+", default=[1], help="images in one call [1]")
    result.add_argument("--rate", type=float, nargs="+", default=[0.2, 0.45, 0.7], help="prune rates [0.2, 0.45, 0.7]")
    result.add_argument("--round-to", type=int, default=8, help="kept channels are a multiple of this")
    result.add_argument("--runs", type=int, default=15, help="turns that count")
    result.add_argument("--threads", type=int, default=2, help="of PyTorch")
    return result


def conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, padded so that stride 1 keeps the size, and BatchNorm."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolutions; the last is four times as wide."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(conv_bn(in_channels, width, 1), nn.ReLU(True),
                                    conv_bn(width, width, 3, stride), nn.ReLU(True), conv_bn(width, 4 * width, 1))
        fits = stride == 1 and in_channels == 4 * width
        self.shortcut = nn.Identity() if fits else conv_bn(in_channels, 4 * width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, 4 * width, H / stride, W / stride)."""
        return torch.relu_(self.shortcut(x) + self.branch(x))


class ResNet50(nn.Module):
    """As in examples/resnet50_cifar10/src/models/resnet.py; ``ceil_mode`` is its "same" where the size divides by 4."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers = [conv_bn(3, 64, 7, 2), nn.ReLU(True), nn.MaxPool2d(3, 2, ceil_mode=True)]
        channels = 64
        for width, stride, count in ((64, 1, 3), (128, 2, 4), (256, 2, 6), (512, 2, 3)):
            rest = [Bottleneck(4 * width, width, 1) for _ in range(count - 1)]
            layers += [Bottleneck(channels, width, stride), *rest]
            channels = 4 * width
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, classes) logits."""
        return self.fc(self.features(x).mean((2, 3)))


def measure(options: argparse.Namespace) -> dict:
    """Prune to every rate, and run every slim network in turns with the dense one.

    Returns:
        ``rows``: ``size``, ``batch``, ``rate``, ``params_ratio``, ``macs_ratio``, ``ms`` (medians; dense, slim),
        ``ratio`` (slim time / dense time) and ``speed_up``, its inverse; ``versions`` with the peer's.
    """
    torch.set_num_threads(options.threads)
    dense = network(options.classes)
    slims = {rate: slim_network(options.classes, rate, options.round_to) for rate in options.rate}
    rows = []
    for size, batch, (rate, slim) in product(options.size, options.batch, slims.items()):
        macs, params = zip(cost(dense, size), cost(slim, size))
        x = torch.from_numpy(np.random.default_rng(0).standard_normal((batch, 3, size, size)).astype(np.float32))
        with torch.inference_mode():
            seconds = timing().take_turns([partial(dense, x), partial(slim, x)], options.runs)
        before, after = seconds.T
        rows.append({"size": size, "batch": batch, "rate": rate, "params_ratio": params[1] / params[0],
                     "macs_ratio": macs[1] / macs[0], "ms": (1000 * np.median(seconds, axis=0)).tolist(),
                     "ratio": ratio(after, before), "speed_up": ratio(before, after)})
    return {"rows": rows, "versions": versions() | {name: version(name) for name in ("torch", "torch-pruning")}}


def network(classes: int) -> ResNet50:
    """The dense network with random weights, always the same, in eval mode."""
    torch.manual_seed(0)
    return ResNet50(classes).eval()


def slim_network(classes: int, rate: float, round_to: int) -> ResNet50:
    """The dense network without ``rate`` of the channels of every group, those of the residual sums included."""
    net = network(classes)
    tp.pruner.MagnitudePruner(net, torch.zeros(1, 3, 32, 32), tp.importance.MagnitudeImportance(p=1),
                              pruning_ratio=rate, ignored_layers=[net.fc], round_to=round_to).step()
    return net


def cost(net: nn.Module, size: int) -> tuple[int, int]:
    """MACs of the convolutions and the linear layer for one image, as this package counts them, and parameters."""
    _, params, macs, _ = tp.utils.count_ops_and_params(net, torch.zeros(1, 3, size, size), layer_wise=True)
    return sum(count for layer, count in macs.items() if isinstance(layer, (nn.Conv2d, nn.Linear))), params


def table(record: dict) -> Table:
    """One line for each slim network, input size and batch."""
    o = record["options"]
    result = make_table(f"inference in PyTorch, slim by Torch-Pruning against dense: resnet50, {o['classes']} classes, "
                        f"round to {o['round_to']}, median [quartiles] of {o['runs']} turns", ("image", "batch"),
                        ("rate", "params", "MACs", "ideal", "speed-up"))
    for row in record["rows"]:
        result.add_row(f"{row['size']}x{row['size']}", str(row["batch"]), f"{row['rate']:.2f}",
                       f"{row['params_ratio']:.1%}", f"{row['macs_ratio']:.1%}", f"{1 / row['macs_ratio']:.2f}",
                       str(row["speed_up"]))
    return result


if __name__ == "__main__":
    run(parser(), measure, table)
