"""Memory over many training steps of each phase, against the dense network's: MiB of growth for a thousand steps.

    python -m tests.trust.soak --steps 2000 --mode PYNATIVE
"""

import argparse
import json
import os
import time

import mindspore as ms
import numpy as np
from mindspore import nn

from mindspore_gs import ChannelPruner, PrunerKfCompressAlgo
from tests import networks
from tests.helpers import image, randomise

SHAPE = (1, 3, 8, 8)


def resident() -> float:
    """MiB of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2 ** 20


def phases() -> dict[str, nn.Cell]:
    """The networks that are trained."""
    pruner = ChannelPruner(prune_rate=0.5, residual="keep", input_shape=SHAPE)
    return {"dense": randomise(networks.Long()),
            "knockoff": PrunerKfCompressAlgo(input_shape=SHAPE).apply(randomise(networks.Long())),
            "masked": pruner.apply(randomise(networks.Long())),
            "slim": pruner.convert(pruner.apply(randomise(networks.Long())))}


def soak(net: nn.Cell, steps: int) -> dict[str, float]:
    """Train, and compare the memory behind the first fifth of the steps with that at the end."""
    loss = nn.WithLossCell(net, nn.CrossEntropyLoss())
    step = nn.TrainOneStepCell(loss, nn.Momentum(net.trainable_params(), 1e-4, 0.9)).set_train()
    x, y = image(4, *SHAPE[1:]), ms.Tensor(np.arange(4), ms.int32)
    begin = start = 0.0
    for number in range(steps):
        step(x, y).asnumpy()
        if number == steps // 5:
            begin, start = resident(), time.monotonic()
    left = steps - steps // 5 - 1
    return {"steps": steps, "MiB": round(resident(), 1), "growth per 1000 steps": round(
        1000 * (resident() - begin) / left, 3), "ms per step": round(1000 * (time.monotonic() - start) / left, 2)}


def main() -> None:
    """Each phase in turn, one line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--mode", choices=("PYNATIVE", "GRAPH"), default="PYNATIVE")
    parser.add_argument("--phases", nargs="+", default=["dense", "knockoff", "masked", "slim"])
    options = parser.parse_args()
    ms.set_context(mode=getattr(ms, f"{options.mode}_MODE"))
    nets = phases()
    for name in options.phases:
        print(json.dumps({"mode": options.mode, "phase": name} | soak(nets[name], options.steps)), flush=True)


if __name__ == "__main__":
    main()
