"""Images for training and for measuring, read and augmented by mindcv."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mindcv.data import create_dataset, create_loader, create_transforms

from settings import InputError, Settings


@dataclass(frozen=True)
class Images:
    """One data set: its name, the number of classes, and where its batches (image, label) come from.

    `train()` and `evaluation()` begin anew at each call: MindSpore takes a data set for one model only.
    """

    name: str
    classes: int
    train: Callable[[], Any]
    evaluation: Callable[[], Any]


def load_images(settings: Settings) -> Images:
    """CIFAR-10 where its files are in the folder, else an image folder.

    Raises `InputError` where the folder holds neither, or not a whole batch.
    """
    folder = Path(settings.data)
    if not settings.data or not folder.is_dir():
        raise InputError(f"data must be a folder of images, but {settings.data!r} is none")
    binary = next((path for path in (folder, folder / "cifar-10-batches-bin") if
                   (path / "data_batch_1.bin").is_file()), None)
    if binary is not None:
        return _images("CIFAR-10", 10, settings, "cifar10", binary, "test")
    names = [_classes(folder / split) for split in ("train", settings.val_split)]
    if names[0] != names[1]:
        raise InputError(f"{folder / 'train'} has the classes {names[0]}, but {folder / settings.val_split} has "
                         f"{names[1]}")
    return _images(folder.name, len(names[0]), settings, "", folder, settings.val_split)


def _images(title: str, classes: int, settings: Settings, name: str, folder: Path, split: str) -> Images:
    train, evaluation = (partial(_batches, settings, name, folder, part) for part in ("train", split))
    train(), evaluation()  # what cannot be read is found now
    return Images(title, classes, train, evaluation)


def _classes(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not names:
        raise InputError(f"{folder} has no subfolders with images; an image folder is train/CLASS/*.jpg and "
                         "val/CLASS/*.jpg (val_split names the second)")
    return names


def _batches(settings: Settings, name: str, folder: Path, split: str) -> Any:
    training = split == "train"
    try:
        data = create_dataset(name, str(folder), split, shuffle=training, num_parallel_workers=settings.workers)
        transform = create_transforms(name, settings.image_size, is_training=training)
        batches = create_loader(data, settings.batch_size, drop_remainder=training, is_training=training,
                                transform=transform, num_parallel_workers=settings.workers)
        count = batches.get_dataset_size()
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{folder} cannot be read: {str(error).strip().splitlines()[0]}") from None
    if not count:
        raise InputError(f"{folder / split} has less than batch_size ({settings.batch_size}) images")
    return batches
