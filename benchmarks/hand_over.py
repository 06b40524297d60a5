"""What a process without MindSpore needs to prune the same network on the same images, as one .npz file.

    python benchmarks/hand_over.py --data_path DATA --pretrained CHECKPOINT --seed 0 --steps 100 --out seed0.npz

The file has the dense network's parameters by name, the training images on which ``benchmarks/accuracy.py`` measures
statistics again for this seed, augmented, the images that are measured, and the batches of its fine-tuning, augmented,
in its order. Images are uint8 (N, 3, 32, 32).
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import benchmarks.environment  # noqa: E402, F401, I001

import numpy as np  # noqa: E402
from src.batches import Batches, MEAN, SCALE, SHIFT, STD  # noqa: E402
from src.data import load_data  # noqa: E402
from src.models import NETWORKS  # noqa: E402

from benchmarks.accuracy_nets import Dense  # noqa: E402


def parser() -> argparse.ArgumentParser:
    """The options; those of benchmarks/accuracy.py of the same name must be the same."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--net", default="resnet20", choices=NETWORKS)
    result.add_argument("--pretrained", required=True, help="checkpoint of the dense network")
    result.add_argument("--data_path", required=True, help="folder of CIFAR-10's binary files")
    result.add_argument("--images", type=int, default=1024, help="training images for everything but training")
    result.add_argument("--test_images", type=int, default=0, help="use only so many test images; 0: all")
    result.add_argument("--holdout", type=int, default=0, help="training images that are kept out of everything")
    result.add_argument("--eval_on", default="test", choices=("test", "holdout"))
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--steps", type=int, default=0, help="of fine-tuning")
    result.add_argument("--batch", type=int, default=128)
    result.add_argument("--out", type=Path, required=True, help="the .npz file")
    return result


def gather(options: argparse.Namespace) -> dict[str, np.ndarray]:
    """The arrays of the file."""
    data = load_data(options.data_path, options.holdout, options.eval_on, eval_images=options.test_images)
    dense = Dense(options, data)
    images = dense.augmented(options.seed)
    found = {f"weights/{p.name}": p.asnumpy() for p in dense.net.get_parameters()}
    found |= {"pixels": images.pixels, "labels": images.labels, "mean": MEAN, "std": STD,
              "test_pixels": data.evaluation.pixels, "test_labels": data.evaluation.labels}
    if options.steps:
        batches = Batches(data.train, options.batch, options.seed, data.augment, steps=options.steps)
        pixels, labels = zip(*((_pixels(x), y) for x, y in batches))
        found |= {"batch_pixels": np.stack(pixels), "batch_labels": np.stack(labels)}
    return found


def _pixels(normalised: np.ndarray) -> np.ndarray:
    """Back to uint8, which takes a quarter of the space."""
    pixels: np.ndarray = np.rint((normalised - SHIFT) / SCALE).astype(np.uint8)
    return pixels


def main() -> None:
    """Write the file."""
    options = parser().parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(options.out, **gather(options))


if __name__ == "__main__":
    main()
