"""Every network that the coverage page knows: how it is built, and what it takes."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mindspore import nn

from benchmarks import zoo_ocr, zoo_yolo
from benchmarks.stand_ins import stand_in
from benchmarks.zoo_models import MODELS, SIZES
from tests.zoo.tasks import TASKS

CLASSES = 10
# What mindyolo and mindocr import beside what their networks need.
_NOT_NEEDED = ("cv2", "shapely", "pyclipper", "lmdb", "rapidfuzz", "seqeval", "sentencepiece", "huggingface_hub",
               "requests", "lanms", "pycocotools", "six", "tqdm", "mindspore.parallel._transformer")


@dataclass(frozen=True)
class Recipe:
    """How a network is made.

    Attributes:
        library: where it comes from.
        family: its source file, or the library once more.
        task: what it is for.
        shapes: shape of each input, without the batch.
        build: makes the network.
    """

    library: str
    family: str
    task: str
    shapes: tuple[tuple[int, ...], ...]
    build: Callable[[], nn.Cell]


def names() -> tuple[str, ...]:
    """All networks; those that are not mindcv's carry their library's name in front."""
    return (*MODELS, *(f"mindyolo/{name}" for name in zoo_yolo.YOLOS), *(f"mindocr/{name}" for name in zoo_ocr.TEXT),
            *(f"papers/{name}" for name in TASKS))


def recipe(name: str, size: int = 0) -> Recipe:
    """The recipe of a network.

    Args:
        name: one of :func:`names`, or any model of mindcv.
        size: height and width of mindcv's images; 0 for the model's own.

    Raises:
        KeyError: there is no such network.
    """
    library, _, short = name.rpartition("/")
    if library == "mindyolo":
        stand_in(*_NOT_NEEDED)
        side = zoo_yolo.YOLOS[short][-1]
        return Recipe(library, library, "detection", ((3, side, side),), partial(zoo_yolo.build, short))
    if library == "mindocr":
        stand_in(*_NOT_NEEDED)
        return Recipe(library, library, "text", (zoo_ocr.TEXT[short][1],), partial(zoo_ocr.build, short))
    if library == "papers":
        task, build, shapes = TASKS[short]
        return Recipe(library, library, task, shapes, build)
    size = size or usual_size(name)
    return Recipe("mindcv", family(name), "classification", ((3, size, size),), partial(_mindcv, name))


def _mindcv(name: str) -> nn.Cell:
    from mindcv.models import create_model
    return create_model(name, num_classes=CLASSES)


def family(name: str) -> str:
    """The source file of a model in mindcv."""
    from mindcv.models.registry import model_entrypoint
    return model_entrypoint(name).__module__.rpartition(".")[2]


def usual_size(name: str) -> int:
    """The input size that mindcv's configuration gives for a model; 224 where it has none."""
    if name in SIZES:
        return SIZES[name]
    from mindcv.models.registry import model_entrypoint
    configurations = getattr(sys.modules[model_entrypoint(name).__module__], "default_cfgs", {})
    return configurations.get(name, {}).get("input_size", (3, 224, 224))[1]
