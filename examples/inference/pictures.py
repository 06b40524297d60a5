"""Pictures in, classes out: what both scripts share. Needs NumPy and pillow."""
from pathlib import Path

import numpy as np
from PIL import Image

MEAN = np.array((0.485, 0.456, 0.406), np.float32).reshape(3, 1, 1)  # of ImageNet, as in training
STD = np.array((0.229, 0.224, 0.225), np.float32).reshape(3, 1, 1)


def read(path: Path, size: int) -> np.ndarray:
    """A picture as the network wants it: float32 (1, 3, size, size), normalised."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize((size, size)), np.float32)
    return (pixels.transpose(2, 0, 1)[None] / 255 - MEAN) / STD


def best(logits: np.ndarray, count: int) -> str:
    """The classes with the highest softmax, such as ``"class 3 97.1%, class 5 2.0%"``."""
    share = np.exp(logits.astype(np.float64) - logits.max())
    share /= share.sum()
    return ", ".join(f"class {k} {100 * share[k]:.1f}%" for k in np.argsort(-share)[:count])
