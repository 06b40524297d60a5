"""How good the boxes are, and a picture of them."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from shapes import NAMES, Pictures

COLOURS = ("#ff5c5c", "#5cff7a", "#5cc8ff", "#ffd75c", "#ff8cf0")


def mean_precision(found: Sequence[np.ndarray], pictures: Pictures) -> float:
    """Mean over the classes of the average precision: a box is right where it overlaps a true one by half (IoU 0.5).

    The average precision is the area under the curve of precision over recall, in which every precision is replaced by
    the best one at a higher recall (Everingham et al., The PASCAL Visual Object Classes Challenge, 2010).
    """
    return float(np.mean([_precision(found, pictures, kind) for kind in range(len(NAMES))]))


def _precision(found: Sequence[np.ndarray], pictures: Pictures, kind: int) -> float:
    true = [boxes[boxes[:, 4] == kind] for boxes in map(pictures.boxes, range(len(pictures)))]
    total = sum(map(len, true))
    ours = sorted(((box[4], number, box[:4]) for number, boxes in enumerate(found) for box in boxes
                   if int(box[5]) == kind), key=lambda item: -item[0])
    free = [np.ones(len(boxes), bool) for boxes in true]
    right = np.zeros(len(ours))
    for place, (_, number, box) in enumerate(ours):
        overlaps = _overlap(box, true[number]) * free[number]
        if len(overlaps) and overlaps.max() >= 0.5:
            free[number][overlaps.argmax()] = False
            right[place] = 1
    if not total or not len(ours):
        return 0.0
    recall, precision = np.cumsum(right) / total, np.cumsum(right) / np.arange(1, len(ours) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * best).sum())


def _overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of one box with others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:4], others[:, 2:4])
    both = np.clip(high - low, 0, None).prod(axis=1)
    return both / (np.prod(box[2:4] - box[:2]) + (others[:, 2:4] - others[:, :2]).prod(axis=1) - both)


def picture(pictures: Pictures, rows: Sequence[tuple[str, Sequence[np.ndarray]]], count: int = 6,
            zoom: int = 2) -> Image.Image:
    """One row of pictures for each network, with its boxes, class and confidence, and the true boxes on top.

    Args:
        pictures: what was looked at.
        rows: (title, boxes of each picture).
        count: pictures in a row.
        zoom: pixels of the result for one of a picture.
    """
    size, head = pictures.pixels.shape[1] * zoom, 22
    count = min(count, len(pictures))
    true = [np.insert(boxes, 4, np.nan, axis=1) for boxes in map(pictures.boxes, range(count))]
    sheet = Image.new("RGB", (count * (size + 4), (len(rows) + 1) * (size + head)), "white")
    for line, (title, found) in enumerate([("true boxes", true), *rows]):
        top = line * (size + head)
        ImageDraw.Draw(sheet).text((4, top + 5), title, fill="black")
        for column in range(count):
            image = Image.fromarray(pictures.pixels[column]).resize((size, size), Image.Resampling.NEAREST)
            _mark(image, found[column], zoom)
            sheet.paste(image, (column * (size + 4), top + head))
    return sheet


def _mark(image: Image.Image, boxes: np.ndarray, zoom: int) -> None:
    pen = ImageDraw.Draw(image)
    for left, top, right, bottom, confidence, kind in boxes:
        colour = COLOURS[int(kind)]
        pen.rectangle((left * zoom, top * zoom, right * zoom, bottom * zoom), outline=colour, width=2)
        text = NAMES[int(kind)] + ("" if np.isnan(confidence) else f" {confidence:.2f}")
        place = (max(left * zoom, 0) + 3, max(top * zoom, 0) + 2)
        pen.rectangle(pen.textbbox(place, text), fill="black")
        pen.text(place, text, fill=colour)
