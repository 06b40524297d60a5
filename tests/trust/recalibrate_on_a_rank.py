"""Started by msrun, one process for each rank: recalibrate on this rank's batches, and save what came out."""

import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn
from mindspore.communication import get_group_size, get_rank, init

ms.set_context(mode=int(sys.argv[2]))
ms.set_device("CPU")
init()
ms.set_auto_parallel_context(parallel_mode=ms.ParallelMode.DATA_PARALLEL)

from mindspore_gs import ChannelPruner, recalibrate  # noqa: E402
from mindspore_gs.checkpoint import is_mask  # noqa: E402
from mindspore_gs.pruner.latency import LatencyMeter  # noqa: E402
from tests.helpers import image, randomise  # noqa: E402

net = randomise(nn.SequentialCell(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.ReLU()))
batches = [image(4, 3, 8, 8, seed=k) * (k + 1) for k in range(5)]
recalibrate(net, batches[get_rank()::get_group_size()])
measured = []


def measure(self, kept):
    """Another time on each rank, as on real machines; it depends on what is kept."""
    measured.append(kept.sum())
    return float(kept.sum()) / 64 + get_rank()


LatencyMeter._measure = measure
layers = nn.Conv2d(3, 32, 1), nn.ReLU(), nn.Conv2d(32, 32, 1), nn.ReLU(), nn.Conv2d(32, 2, 1)
wide = randomise(nn.SequentialCell(*layers))
masked = ChannelPruner(target={"latency": 0.5}, input_shape=(1, 3, 8, 8)).apply(wide)
kept = np.concatenate([p.asnumpy().ravel() for name, p in masked.parameters_dict().items() if is_mask(name)])
folder = Path(sys.argv[1])
np.savez(folder / f"rank{get_rank()}.npz", mean=net[1].moving_mean.asnumpy(), variance=net[1].moving_variance.asnumpy(),
         kept=kept, measured=len(measured))
