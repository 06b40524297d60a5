"""One network through SCOP's two phases, with both policies: knockoffs, a training step, masks, the slim network."""

from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from benchmarks.randomise import calibrate, samples
from mindspore_gs import PrunerFtCompressAlgo, PrunerKfCompressAlgo
from mindspore_gs._cells import evaluating, tensors_in
from mindspore_gs.errors import ParityError, PruningError, first_line
from mindspore_gs.slim import relative_difference
from mindspore_gs.slim.check import check_equal

POLICIES = ("keep", "couple")
RATE = 0.5
ALLOWED = 1e-4


def measure_scop(build: Callable[[], nn.Cell], shapes: Sequence[tuple[int, ...]], seed: int = 0) -> dict[str, dict]:
    """What comes of SCOP for each policy.

    Args:
        build: makes the network with its random values; called once for each policy.
        shapes: shape of each input, without the batch.
        seed: of the inputs.

    Returns:
        For each policy a record. ``status`` is ``equal``, ``refused``, ``WRONG`` or ``CRASH``; ``layers`` counts the
        convolutions with knockoffs, ``moved`` those whose scales the training step gave a gradient, ``masked_slim``
        is the relative difference of the two networks' outputs.
    """
    ms.set_context(mode=ms.PYNATIVE_MODE)
    found = {}
    for residual in POLICIES:
        record: dict[str, Any] = {"status": "CRASH", "error": ""}
        try:
            record.update(_one(build(), residual, shapes, seed))
        except PruningError as error:
            record.update(status="refused", error=f"{type(error).__name__}: {first_line(error)}")
        except Exception as error:
            record.update(error=f"{type(error).__name__}: {first_line(error)}")
        found[residual] = record
    return found


def _one(net: nn.Cell, residual: str, shapes: Sequence[tuple[int, ...]], seed: int) -> dict[str, Any]:
    batch = samples(shapes, seed + 1, batch=4)
    net = calibrate(net, *batch, seed=seed)
    examples = [(1, *shape) for shape in shapes]
    net = PrunerKfCompressAlgo(input_shape=examples, residual=residual).apply(net)
    record = {"layers": len(net.trainable_params()), "moved": _moved(net, batch)}
    net = PrunerFtCompressAlgo(prune_rate=RATE).apply(net)
    small = PrunerFtCompressAlgo().convert(net)
    with evaluating(net), evaluating(small):
        masked, slim = ([t.asnumpy() for t in tensors_in(each(*batch))] for each in (net, small))
    record["masked_slim"] = max(relative_difference(a, b) for a, b in zip(slim, masked, strict=True))
    record["status"] = "equal" if record["masked_slim"] <= ALLOWED or _excused(net, small, batch) else "WRONG"
    return record


def _excused(net: nn.Cell, small: nn.Cell, batch: Sequence[Tensor]) -> bool:
    """Whether one rounding moves the masked network as far, and all layers agree: the package's own check."""
    try:
        check_equal(net, small, batch, locate=False)
    except ParityError:
        return False
    return True


def _moved(net: nn.Cell, batch: Sequence[Tensor]) -> int:
    """How many scales one training step gives a gradient that is not zero."""
    net.set_train(True)

    def loss(*inputs: Tensor) -> Tensor:
        return sum((tensor ** 2).mean() for tensor in tensors_in(net(*inputs)) if tensor.is_floating_point())

    gradients = ms.grad(loss, grad_position=None, weights=net.trainable_params())(*batch)
    return sum(bool(np.abs(gradient.asnumpy()).max() > 0) for gradient in gradients)
