"""Accuracy of ResNet-20 and ResNet-56 pruned by Torch-Pruning, as further rows of benchmarks/accuracy.py.

    python -m venv /tmp/torchenv
    /tmp/torchenv/bin/pip install torch==2.13.0 torch-pruning==1.6.1 numpy rich
    python benchmarks/hand_over.py --data_path DATA --pretrained CHECKPOINT --seed 0 --steps 100 --out seed0.npz
    /tmp/torchenv/bin/python benchmarks/peer_torch_accuracy.py --given seed0.npz --seed 0 --out runs --steps 0 100

Needs neither MindSpore nor this package. The dense weights, the images, the batches of fine-tuning and their order are
those of accuracy.py, and so are the layers that lose channels (``--residual inner``: the first convolution of each
block), the target, and the recipe of fine-tuning. ``tp-l1`` is its MagnitudeImportance(p=1), ``tp-bn`` its
BNScaleImportance, ``tp-group-l2`` its GroupMagnitudeImportance(p=2).
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from math import cos, pi
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch_pruning as tp  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from benchmarks.accuracy_rows import Choice, Row  # noqa: E402

IMPORTANCE = {"tp-l1": lambda: tp.importance.MagnitudeImportance(p=1), "tp-bn": tp.importance.BNScaleImportance,
              "tp-group-l2": lambda: tp.importance.GroupMagnitudeImportance(p=2)}
BLOCKS = {"resnet20": 3, "resnet56": 9}
TEMPERATURE = 4.0
CLOSE = 0.005  # how near to the target the rate is looked for


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--net", default="resnet20", choices=BLOCKS)
    result.add_argument("--given", type=Path, required=True, help="the file that hand_over.py wrote for this seed")
    result.add_argument("--out", type=Path, required=True, help="folder of the rows, one JSON file each")
    result.add_argument("--criteria", nargs="+", default=list(IMPORTANCE), choices=IMPORTANCE)
    result.add_argument("--target", type=float, default=0.5, help="share of the MACs that is left")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--steps", nargs="*", type=int, default=[0], help="of fine-tuning")
    result.add_argument("--teachers", nargs="+", type=float, default=[0.0], help="shares of the dense network")
    result.add_argument("--lr", type=float, default=0.01, help="of fine-tuning, cosine to 0")
    result.add_argument("--batch", type=int, default=128)
    result.add_argument("--threads", type=int, default=2, help="of PyTorch")
    return result


class Block(nn.Module):
    """As in examples/resnet50_cifar10/src/models/resnet_cifar.py."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shrinks, self.zeros = stride != 1, out_channels // 4

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H / stride, W / stride)."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.shrinks:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.zeros, self.zeros))
        return torch.relu(x + y)


class CifarResNet(nn.Module):
    """Three stages of ``blocks`` blocks, 16, 32 and 64 wide."""

    def __init__(self, blocks: int, classes: int = 10) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1, self.layer2, self.layer3 = (self._stage(*widths, blocks)
                                                 for widths in ((16, 16), (16, 32), (32, 64)))
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def _stage(before: int, width: int, blocks: int) -> nn.Sequential:
        first = Block(before, width, 1 if before == width else 2)
        return nn.Sequential(first, *(Block(width, width, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 32, 32) -> (N, classes) logits."""
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def network(name: str, given: dict[str, np.ndarray]) -> CifarResNet:
    """The dense network with the weights of the file."""
    net = CifarResNet(BLOCKS[name])
    state = {_torch_name(key.removeprefix("weights/")): torch.from_numpy(value.copy())
             for key, value in given.items() if key.startswith("weights/")}
    state |= {key: value for key, value in net.state_dict().items() if key.endswith("num_batches_tracked")}
    net.load_state_dict(state)
    return net.eval()


def _torch_name(name: str) -> str:
    for ours, theirs in (("gamma", "weight"), ("beta", "bias"), ("moving_mean", "running_mean"),
                         ("moving_variance", "running_var")):
        name = name.replace(f".{ours}", f".{theirs}")
    return name


def inputs(pixels: np.ndarray, given: dict[str, np.ndarray]) -> Tensor:
    """uint8 images, scaled and normalised."""
    return torch.from_numpy((pixels.astype(np.float32) / 255 - given["mean"]) / given["std"])


def pruned(net: CifarResNet, criterion: str, target: float) -> CifarResNet:
    """A pruned copy: the rate is looked for that leaves ``target`` of the MACs."""
    low, high, best = 0.0, 1.0, None
    for _ in range(12):
        rate = (low + high) / 2
        small = _pruned_at(net, criterion, rate)
        share = macs(small) / macs(net)
        if best is None or abs(share - target) < abs(macs(best) / macs(net) - target):
            best = small
        if abs(share - target) <= CLOSE:
            break
        low, high = (rate, high) if share > target else (low, rate)
    assert best is not None
    return best


def _pruned_at(net: CifarResNet, criterion: str, rate: float) -> CifarResNet:
    small = copy.deepcopy(net)
    inner = {block.conv1 for block in small.modules() if isinstance(block, Block)}
    others = [cell for cell in small.modules() if isinstance(cell, (nn.Conv2d, nn.Linear)) and cell not in inner]
    tp.pruner.BasePruner(small, torch.zeros(1, 3, 32, 32), IMPORTANCE[criterion](), pruning_ratio=rate,
                         ignored_layers=others).step()
    return small


def macs(net: nn.Module) -> int:
    """Of convolutions and the linear layer for one image, as accuracy.py counts them."""
    _, _, found, _ = tp.utils.count_ops_and_params(net, torch.zeros(1, 3, 32, 32), layer_wise=True)
    return sum(count for layer, count in found.items() if isinstance(layer, (nn.Conv2d, nn.Linear)))


def recalibrated(net: CifarResNet, images: Tensor, batch: int) -> CifarResNet:
    """A copy whose BatchNorm statistics are the mean over the batches, all of them measured in one go."""
    twin = copy.deepcopy(net)
    for cell in twin.modules():
        if isinstance(cell, nn.BatchNorm2d):
            cell.reset_running_stats()
            cell.momentum = None
    with torch.no_grad():
        for k in range(0, len(images), batch):
            twin.train()(images[k:k + batch])
    for cell in twin.modules():
        if isinstance(cell, nn.BatchNorm2d):
            cell.momentum = 0.1
    return twin.eval()


@torch.no_grad()
def accuracy(net: nn.Module, images: Tensor, labels: np.ndarray, batch: int = 500) -> float:
    """In percent."""
    answers = [net.eval()(images[k:k + batch]).argmax(1).numpy() for k in range(0, len(images), batch)]
    return 100 * float(np.mean(np.concatenate(answers) == labels))


def fine_tune(net: nn.Module, dense: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], steps: int, rate: float,
              teacher: float) -> None:
    """SGD with Nesterov momentum 0.9, cosine to 0, weight decay 5e-4 but on BatchNorms; DistillLoss's loss."""
    norms = {p for cell in net.modules() if isinstance(cell, nn.BatchNorm2d) for p in cell.parameters()}
    groups = [{"params": [p for p in net.parameters() if p not in norms], "weight_decay": 5e-4},
              {"params": list(norms), "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, rate, momentum=0.9, nesterov=True)
    net.train()
    for step, (x, y) in zip(range(steps), batches):
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.5 * (1 + cos(pi * step / steps))
        said = net(x)
        loss = functional.cross_entropy(said, y)
        if teacher:
            with torch.no_grad():
                wanted = functional.log_softmax(dense(x) / TEMPERATURE, 1)
            soft = functional.kl_div(functional.log_softmax(said / TEMPERATURE, 1), wanted, log_target=True,
                                     reduction="batchmean") * TEMPERATURE ** 2
            loss = (1 - teacher) * loss + teacher * soft
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()


def wanted(options: argparse.Namespace, criterion: str) -> Iterator[Row]:
    """The rows of one criterion."""
    choice = Choice(criterion, "layer", options.target, options.seed)
    if 0 in options.steps:
        yield from (Row(choice, "nothing"), Row(choice, "recalibrated"))
    for steps in options.steps:
        for teacher in options.teachers if steps else ():
            yield Row(choice, "recalibrated", steps, teacher, lr=options.lr)


def main() -> None:
    """Measure the rows that are not there yet."""
    options = parser().parse_args()
    torch.set_num_threads(options.threads)
    given = dict(np.load(options.given))
    there, longest = len(given.get("batch_pixels", ())), max(options.steps)
    if longest > there:
        raise SystemExit(f"{options.given} has {there} batches of fine-tuning, but --steps asks for {longest}; write "
                         f"it again with hand_over.py --steps {longest}.")
    dense, images, test = (network(options.net, given), inputs(given["pixels"], given),
                           inputs(given["test_pixels"], given))
    its_accuracy, before = accuracy(dense, test, given["test_labels"]), macs(dense)
    options.out.mkdir(parents=True, exist_ok=True)
    for criterion in options.criteria:
        small = pruned(dense, criterion, options.target)
        nets = {"nothing": small, "recalibrated": recalibrated(small, images, options.batch)}
        for row in wanted(options, criterion):
            place = options.out / row.file(options.net)
            if place.is_file():
                continue
            net, begin = copy.deepcopy(nets[row.weights]), time.monotonic()
            if row.steps:
                batches = ((inputs(pixels, given), torch.from_numpy(labels).long())
                           for pixels, labels in zip(given["batch_pixels"], given["batch_labels"]))
                fine_tune(net, dense, batches, row.steps, row.lr, row.teacher)
            found = {**row.record(), "net": options.net, "accuracy": accuracy(net, test, given["test_labels"]),
                     "dense": its_accuracy, "macs": macs(small) / before,
                     "params": _parameters(small) / _parameters(dense), "seconds": {"all": time.monotonic() - begin},
                     "settings": {"residual": "inner", "images": len(images), "batch": options.batch},
                     "versions": {name: version(name) for name in ("torch", "torch-pruning")}}
            place.write_text(json.dumps(found, indent=1) + "\n")
            print(place, round(found["accuracy"], 2), flush=True)


def _parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


if __name__ == "__main__":
    main()
