"""A detection set that draws itself: coloured shapes on noise, with their boxes."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

NAMES = ("disc", "square", "triangle", "cross", "ring")
MOST = 4  # shapes in a picture


@dataclass(frozen=True)
class Pictures:
    """Pictures with their boxes.

    `pixels` is uint8 (N, S, S, 3). `targets` is float32 (N, MOST, 6): index in the batch, class, centre and size as
    shares of the picture. Rows without a shape have the class -1, as mindyolo's losses expect.
    """

    pixels: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def inputs(self, rows: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the network and its loss take: float32 (B, 3, S, S) in [0, 1], and the targets of these pictures."""
        targets = self.targets[rows].copy()
        targets[..., 0] = np.arange(len(targets))[:, None]
        return self.pixels[rows].transpose(0, 3, 1, 2).astype(np.float32) / 255, targets

    def boxes(self, number: int) -> np.ndarray:
        """The true boxes of one picture: (shapes, 5), left, top, right, bottom in pixels, and the class."""
        rows = self.targets[number]
        rows = rows[rows[:, 1] >= 0]
        centre, half = rows[:, 2:4], rows[:, 4:6] / 2
        return np.concatenate([(centre - half) * self.pixels.shape[1], (centre + half) * self.pixels.shape[1],
                               rows[:, 1:2]], axis=1)


def draw_pictures(count: int, size: int, seed: int) -> Pictures:
    """`count` pictures of `size` x `size` pixels with one to `MOST` shapes each; the same seed draws the same."""
    random = np.random.default_rng(seed)
    pixels = np.zeros((count, size, size, 3), np.uint8)
    targets = np.zeros((count, MOST, 6), np.float32)
    targets[..., 1] = -1
    for number in range(count):
        image = Image.fromarray(random.integers(0, 70, (size, size, 3)).astype(np.uint8))
        pen = ImageDraw.Draw(image)
        for row in range(random.integers(1, MOST + 1)):
            side = int(random.integers(size // 5, size // 2))
            left, top = random.integers(0, size - side, 2).tolist()
            kind = int(random.integers(len(NAMES)))
            _draw(pen, kind, (left, top, left + side - 1, top + side - 1), tuple(random.integers(90, 256, 3).tolist()))
            targets[number, row, 1:] = kind, *((np.array((left, top, 0, 0)) + side / 2 * np.array((1, 1, 2, 2))) / size)
        pixels[number] = np.asarray(image)
    return Pictures(pixels, targets)


def _draw(pen: ImageDraw.ImageDraw, kind: int, box: tuple[int, int, int, int], colour: tuple[int, ...]) -> None:
    left, top, right, bottom = box
    thick = max(2, (right - left) // 5)
    if NAMES[kind] == "disc":
        pen.ellipse(box, fill=colour)
    elif NAMES[kind] == "square":
        pen.rectangle(box, fill=colour)
    elif NAMES[kind] == "triangle":
        pen.polygon([(left, bottom), ((left + right) / 2, top), (right, bottom)], fill=colour)
    elif NAMES[kind] == "ring":
        pen.ellipse(box, outline=colour, width=thick)
    else:
        middle = ((left + right) // 2, (top + bottom) // 2)
        pen.line((middle[0], top, middle[0], bottom), fill=colour, width=thick)
        pen.line((left, middle[1], right, middle[1]), fill=colour, width=thick)
