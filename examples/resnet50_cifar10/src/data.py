"""The images: CIFAR-10 from its binary files, or scikit-learn's digits where there are none."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.errors import InputError

TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_FILES = ("test_batch.bin",)
RECORD = 1 + 3 * 32 * 32
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Images:
    """`pixels` is uint8 (N, 3, H, W), `labels` int32 (N,)."""

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: slice) -> Images:
        """The images of `rows`, without a copy."""
        return Images(self.pixels[rows], self.labels[rows])


@dataclass(frozen=True)
class Data:
    """One data set: what is trained on, what is measured on, and what the classes are called."""

    name: str
    train: Images
    evaluation: Images
    classes: tuple[str, ...]
    augment: str


def load_data(data_path: str | None, holdout: int = 0, eval_on: str = "test", train_images: int = 0,
              eval_images: int = 0) -> Data:
    """Read a data set; without `data_path` the digits.

    The last `holdout` training images are taken out of training; `eval_on` says whether those or the test images
    are evaluated. `train_images` and `eval_images` cut the two parts short (0: all). Raises `InputError`.
    """
    train, test, name, classes, augment = _digits() if data_path is None else _cifar10(Path(data_path))
    if not 0 <= holdout < len(train):
        raise InputError(f"holdout must be in [0, {len(train)}) for {name}, but got {holdout}")
    fit = train.part(slice(0, len(train) - holdout))
    evaluation = train.part(slice(len(train) - holdout, None)) if eval_on == "holdout" else test
    return Data(name, fit.part(slice(0, train_images or None)), evaluation.part(slice(0, eval_images or None)),
                classes, augment)


def _cifar10(folder: Path) -> tuple[Images, Images, str, tuple[str, ...], str]:
    if not (folder / TRAIN_FILES[0]).is_file() and (folder / "cifar-10-batches-bin").is_dir():
        folder = folder / "cifar-10-batches-bin"
    for name in TRAIN_FILES + TEST_FILES:
        if not (folder / name).is_file():
            raise InputError(f"data_path {str(folder)!r} has no {name}; it must be the folder of CIFAR-10's binary "
                             "version, or be left out for the embedded digits")
    return _read(folder, TRAIN_FILES), _read(folder, TEST_FILES), "CIFAR-10", CIFAR_CLASSES, "crop_flip"


def _read(folder: Path, names: tuple[str, ...]) -> Images:
    parts = []
    for name in names:
        raw = np.fromfile(folder / name, np.uint8)
        if raw.size == 0 or raw.size % RECORD:
            raise InputError(f"{folder / name} has {raw.size} bytes, which is no multiple of {RECORD}")
        parts.append(raw.reshape(-1, RECORD))
    records = np.concatenate(parts)
    return Images(records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int32))


def _digits() -> tuple[Images, Images, str, tuple[str, ...], str]:
    """1,437 training and 360 test images of handwritten digits, scaled from 8x8 to 32x32, grey in 3 channels."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError("no data_path is given, and the embedded digits need scikit-learn: "
                         "pip install scikit-learn") from None
    digits = load_digits()
    grey = resize(digits.images[:, None].astype(np.float32) * (255 / 16), 32)
    pixels = np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8), 3, axis=1)
    order = np.random.default_rng(0).permutation(len(pixels))
    images = Images(pixels[order], digits.target[order].astype(np.int32))
    train = len(images) - 360
    return (images.part(slice(0, train)), images.part(slice(train, None)), "digits",
            DIGITS, "crop")


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Bilinear, pixel centres aligned: float32 (N, C, H, W) -> (N, C, size, size)."""
    rows, columns = (_weights(length, size) for length in images.shape[2:])
    return np.einsum("ih,nchw,jw->ncij", rows, images, columns, optimize=True).astype(np.float32)


def _weights(length: int, size: int) -> np.ndarray:
    """(size, length) matrix of bilinear weights; each row sums to 1."""
    position = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    low = np.minimum(position.astype(int), max(length - 2, 0))
    high = np.minimum(low + 1, length - 1)
    weights = np.zeros((size, length), np.float32)
    np.add.at(weights, (np.arange(size), low), 1 - (position - low))
    np.add.at(weights, (np.arange(size), high), position - low)
    return weights
