"""Make any model of mindcv smaller: prune, repair, fine-tune with the dense network as teacher, export.

Every key can stand in a YAML file (--config) or on the command line.
"""
from __future__ import annotations

import environment  # noqa: F401

import shlex
import sys
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import nn

from mindspore_gs import (ChannelPruner, export_mindir, export_onnx, load_pruned, recalibrate, save_pruned,
                          summary)
from mindspore_gs.progress import TrainingProgress
from mindspore_gs.pruner.criteria import CRITERIA, evidence_needed
from mindspore_gs.runs import RunRecord

from settings import InputError, Settings, read_settings, run_script

try:
    from images import Images, load_images
    from training import accuracy, train
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is missing: pip install 'mindspore-gs-pruner[examples,zoo,onnx]'")


def run(settings: Settings) -> dict[str, Any]:
    """All steps; writes and returns what results.json holds."""
    images = load_images(settings)
    shape = (1, 3, settings.image_size, settings.image_size)
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    dense = build(settings, images.classes)
    pruner = pruner_of(settings, images, shape)
    trained, tuned = TrainingProgress("training"), TrainingProgress("fine-tuning")
    if settings.epochs:
        train(dense, images.train(), settings.epochs, settings.lr, settings, [trained])
    accuracies = {"dense": _said("dense", dense, images)}
    small = pruner.shrink(dense)
    if settings.repair == "recalibrate":
        recalibrate(small, images.train(), settings.repair_steps)
    summary(dense, small, shape).print()
    accuracies["pruned"] = _said("pruned", small, images)
    if settings.ft_epochs:
        train(small, images.train(), settings.ft_epochs, settings.ft_lr, settings, [tuned], dense)
        accuracies["fine-tuned"] = _said("fine-tuned", small, images)
    record = RunRecord.of(dense, small, shape, network=f"{settings.model} on {images.name}", residual=settings.residual,
                          command=shlex.join(["python", *sys.argv]), accuracy=accuracies, rankings=pruner.rankings,
                          files=write(small, shape, out, settings, images.classes),
                          training={progress.title: progress.log for progress in (trained, tuned) if progress.log})
    return record.write(out)


def build(settings: Settings, classes: int) -> nn.Cell:
    """The model with its weights. Raises `InputError` where there is no such model, or the weights do not fit."""
    from mindcv.models import create_model
    from mindcv.models.registry import is_model, list_models
    if not is_model(settings.model):
        near = ", ".join(list_models(f"{settings.model[:5]}*")[:8])
        raise InputError(f"mindcv has no model {settings.model!r}" + (f"; similar ones: {near}" if near else ""))
    try:
        net = create_model(settings.model, num_classes=classes, pretrained=settings.pretrained)
        if settings.checkpoint:
            left, _ = ms.load_param_into_net(net, ms.load_checkpoint(settings.checkpoint))
            if left:
                raise InputError(f"{settings.checkpoint} lacks {left[0]!r} of {settings.model} with {classes} classes")
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{settings.model} cannot be made with these weights: {error}") from None
    return net


def pruner_of(settings: Settings, images: Images, shape: tuple[int, ...]) -> ChannelPruner:
    """The pruner; made before anything is trained. Raises `InputError` for what it refuses."""
    options: dict[str, Any] = {
        "criterion": settings.criterion, "target": {"macs": settings.macs}, "residual": settings.residual,
        "scope": settings.scope, "round_to": settings.round_to, "min_channels": settings.min_channels,
        "ignore": settings.ignore, "input_shape": shape}
    compensate = settings.repair == "compensate"
    if compensate or (settings.criterion in CRITERIA and evidence_needed(settings.criterion)):
        options |= {"data": images.train().take(settings.repair_steps), "compensate": compensate}
    try:
        return ChannelPruner(**options)
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from None


def write(small: nn.Cell, shape: tuple[int, ...], out: Path, settings: Settings, classes: int) -> dict[str, int]:
    """The checkpoint, which is loaded again at once, MindIR and ONNX; bytes of each file by its name."""
    from mindcv.models import create_model
    save_pruned(small, out / "slim.ckpt")
    small = load_pruned(lambda: create_model(settings.model, num_classes=classes), out / "slim.ckpt")
    paths = [out / "slim.ckpt", export_mindir(small, shape, out / "slim.mindir")]
    if settings.onnx:
        paths.append(export_onnx(small, shape, out / "slim.onnx"))
    return {path.name: path.stat().st_size for path in paths}


def _said(stage: str, net: nn.Cell, images: Images) -> float:
    value = accuracy(net, images.evaluation())
    print(f"{stage}: accuracy {100 * value:.2f}%", flush=True)
    return value


def main() -> None:
    """Read the settings and run."""
    settings = read_settings(sys.argv[1:], __doc__)
    ms.set_device(settings.device)
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(settings.seed)
    print(f"written to {settings.out}: {', '.join([*run(settings)['files'], 'results.json', 'report.html'])}")


if __name__ == "__main__":
    run_script(main)
