"""Training batches: shuffled, augmented and normalised a whole batch at a time, in NumPy."""
from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import numpy as np
from mindspore import dataset as ds

from src.data import Images, resize
from src.errors import InputError

MEAN = np.array((0.485, 0.456, 0.406), np.float32).reshape(1, 3, 1, 1)
STD = np.array((0.229, 0.224, 0.225), np.float32).reshape(1, 3, 1, 1)
SCALE = 1 / (255 * STD)
SHIFT = -MEAN / STD
PADDING = 4


class Batches:
    """Iterable of (images float32 (B, 3, S, S), labels int32 (B,)); each new pass has its own order.

    Pass number p draws from the generator seeded with (seed, p), so the same seed gives the same batches. A pass has
    `steps` batches, by default as many full ones as there are; a longer one goes on with the next shuffle.
    `part` gives the same batches from any step on, for a run that goes on where it was interrupted.
    """

    def __init__(self, images: Images, batch_size: int, seed: int, augment: str = "none", size: int = 32,
                 steps: int | None = None) -> None:
        if len(images) < batch_size:
            raise InputError(f"batch_size is {batch_size}, but there are only {len(images)} training images")
        self._images, self._batch_size, self._seed = images, batch_size, seed
        self._augment, self._size = augment, size
        self._steps = steps or len(images) // batch_size
        self._passes, self._begin, self._end = 0, 0, self._steps

    def __len__(self) -> int:
        return self._end - self._begin

    def part(self, number: int, begin: int = 0, end: int | None = None) -> Batches:
        """Pass `number` (from 0), and the passes behind it; of each the steps from `begin` to `end` (default: all)."""
        found = copy(self)
        found._passes, found._begin, found._end = number, begin, self._steps if end is None else end
        return found

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng((self._seed, self._passes))
        self._passes += 1
        full = len(self._images) // self._batch_size
        for step in range(self._end):
            if step % full == 0:
                order = rng.permutation(len(self._images))
            rows = order[step % full * self._batch_size:][:self._batch_size]
            pixels = augment(self._images.pixels[rows], self._augment, rng)  # also of a step that is left out
            if step >= self._begin:
                yield normalise(pixels, self._size), self._images.labels[rows]

    def dataset(self) -> ds.GeneratorDataset:
        """As a MindSpore data set with the columns `image` and `label`, already batched."""
        return ds.GeneratorDataset(self, ["image", "label"], shuffle=False, num_parallel_workers=1,
                                   python_multiprocessing=False)


def augment(pixels: np.ndarray, how: str, rng: np.random.Generator) -> np.ndarray:
    """Random crops after padding with 4 black pixels, and flips of every second image. uint8 (B, 3, H, W)."""
    if how == "none":
        return pixels
    count, _, height, width = pixels.shape
    padded = np.pad(pixels, ((0, 0), (0, 0), (PADDING, PADDING), (PADDING, PADDING)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    top, left = rng.integers(0, 2 * PADDING + 1, (2, count))
    pixels = windows[np.arange(count), :, top, left]
    if how == "crop_flip":
        flip = rng.random(count) < 0.5
        pixels[flip] = pixels[flip, ..., ::-1]
    return pixels


def normalise(pixels: np.ndarray, size: int = 32) -> np.ndarray:
    """uint8 (B, 3, H, W) in 0..255 -> float32 (B, 3, size, size), scaled to [0, 1], minus mean, over std."""
    images = pixels.astype(np.float32)
    if pixels.shape[2:] != (size, size):
        images = resize(images, size)
    images *= SCALE
    images += SHIFT
    return images
