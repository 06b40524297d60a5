"""Run by the simulator: an operator that the device does not have. It must fail, else a pass there says nothing.

    python ../shared/portability/sim.py run GPU tests/portability/refused_step.py GPU
"""

import sys

import mindspore as ms
from mindspore import nn, ops


class Step(nn.Cell):
    """RandpermV2 has no kernel for GPUs, and AdaptiveMaxPool3D none for Ascend."""

    def __init__(self, device: str):
        super().__init__()
        self.on_gpu = device == "GPU"

    def construct(self, x):
        """(N, C, D, H, W) -> the same samples in another order, or their maxima."""
        return x[ops.randperm(4)] if self.on_gpu else ops.adaptive_max_pool3d(x, 2)


if __name__ == "__main__":
    ms.set_device(sys.argv[1])
    ms.set_context(mode=ms.GRAPH_MODE)
    Step(sys.argv[1])(ms.ops.ones((4, 2, 4, 4, 4), ms.float32)).asnumpy()
    print("passed", flush=True)
