"""Started by test_canonical.py: export networks into a folder, after other work or at once.

    python tests/export/exported_twice.py FOLDER busy|at-once
"""

import sys
from pathlib import Path

import mindspore as ms
from mindspore import nn

from mindspore_gs import export_mindir
from tests import networks
from tests.helpers import image, randomise

NETWORKS = {"Long": (1, 3, 8, 8), "Options": (1, 3, 8, 8), "TwoInputs": [(2, 3, 8, 8), (2, 2, 8, 8)]}


class Branch(nn.Cell):
    """Which layers run is decided by data, and how often: functions in the file."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Dense(4, 4), nn.Dense(4, 4)

    def construct(self, x, n):
        y = x
        if x.sum() > 0:  # noqa: SIM108
            y = self.first(x)
        else:
            y = self.second(x)
        while n < 3:
            y = self.first(y)
            n = n + 1
        return y


def main(folder: Path, history: str) -> None:
    """MindSpore counts what it has compiled; ``busy`` lets it count further."""
    if history == "busy":
        nn.Dense(3, 2)(ms.ops.ones((1, 3)))
        export_mindir(nn.Conv2d(3, 4, 3), (1, 3, 8, 8), folder / "other")
    for name, inputs in NETWORKS.items():
        export_mindir(randomise(getattr(networks, name)()), inputs, folder / name)
    export_mindir(randomise(Branch()), (image(2, 4), ms.Tensor(0)), folder / "Branch")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
