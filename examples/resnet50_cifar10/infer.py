"""Run an exported MindIR on images: their classes, and the time of one run."""
from __future__ import annotations

import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from PIL import Image, UnidentifiedImageError

from mindspore_gs import load_mindir

from src.batches import normalise
from src.config import Config, parse_config
from src.context import set_up
from src.data import CIFAR_CLASSES, DIGITS, load_data
from src.errors import InputError, run_script
from src.measure import latency
from src.pruning import input_shape

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}
SAMPLES = 8


def read_images(config: Config) -> tuple[list[str], np.ndarray, tuple[str, ...]]:
    """Names, uint8 pixels (N, 3, S, S), class names. Raises `InputError`."""
    if config.image_path is None:
        data = load_data(config.data_path, config.holdout, config.eval_on)
        images = data.evaluation.part(slice(0, SAMPLES))
        names = [f"{config.eval_on} image {i} ({data.classes[k]})" for i, k in enumerate(images.labels)]
        return names, images.pixels, data.classes
    place = Path(config.image_path)
    paths = [place] if place.is_file() else sorted(path for path in place.glob("*") if path.suffix.lower() in ENDINGS)
    if not paths:
        raise InputError(f"image_path {config.image_path!r} is neither an image nor a folder of images")
    classes = CIFAR_CLASSES if config.classes == "cifar10" else DIGITS
    return [path.name for path in paths], np.stack([_read(path, config.image_size) for path in paths]), classes


def _read(path: Path, size: int) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((size, size))).transpose(2, 0, 1)
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path} is no image that can be read: {error}") from None


def main() -> None:
    """Read the configuration, run the network on each image, print classes and latency."""
    config = parse_config(sys.argv[1:], "resnet20_cifar10.yaml", __doc__)
    if config.mindir is None:
        raise InputError("give --mindir FILE")
    set_up(config)
    cell = load_mindir(config.mindir)
    names, pixels, classes = read_images(config)
    for name, image in zip(names, pixels):
        logits = cell(ms.Tensor(normalise(image[None], config.image_size))).asnumpy()[0].astype(np.float64)
        share = np.exp(logits - logits.max())
        best = int(logits.argmax())
        print(f"{name}: {classes[best]} ({100 * share[best] / share.sum():.1f}%)")
    milliseconds = latency([cell], input_shape(config), config.latency_runs)[0]
    print(f"latency {milliseconds:.2f} ms, median of {config.latency_runs} runs, batch 1")


if __name__ == "__main__":
    run_script(main)
