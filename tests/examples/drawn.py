"""Pictures that the tests draw themselves: three classes of coloured shapes, as an image folder."""

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("circle", "cross", "square")


def draw_folder(folder, train=16, val=8, size=40):
    """``train/CLASS/k.png`` and ``val/CLASS/k.png`` with so many images of each class."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for k in range(count):
                _draw(name, size, random).save(folder / split / name / f"{k}.png")
    return folder


def _draw(name, size, random):
    image = Image.fromarray(random.integers(0, 60, (size, size, 3)).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    x, y = random.integers(4, size // 3, 2).tolist()
    side, colour = size // 2, tuple(random.integers(120, 255, 3).tolist())
    box = (x, y, x + side, y + side)
    if name == "circle":
        pen.ellipse(box, fill=colour)
    elif name == "square":
        pen.rectangle(box, fill=colour)
    else:
        pen.line((box[0], box[1], box[2], box[3]), fill=colour, width=6)
        pen.line((box[0], box[3], box[2], box[1]), fill=colour, width=6)
    return image
