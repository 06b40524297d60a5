"""Watch the knockoff phase: loss, remaining time, and how the scales of each layer stand."""

import time
from typing import Any

import numpy as np
from mindspore import nn
from mindspore.train import Callback

from mindspore_gs.pruner.scop.cells import KfConv2d


def scale_statistics(net: nn.Cell) -> list[dict[str, Any]]:
    """For each knockoff layer: its path, and mean, smallest and largest scale, and the share below one half.

    A channel whose scale is below one half loses against its knockoff.
    """
    rows = []
    for path, cell in net.cells_and_names():
        if isinstance(cell, KfConv2d):
            scale = cell.scale()
            rows.append({"layer": path, "mean": float(scale.mean()), "min": float(scale.min()),
                         "max": float(scale.max()), "losing": float((scale < 0.5).mean())})
    return rows


class KfCallback(Callback):
    """Print the progress of the knockoff phase. Only watches: leaving it out changes nothing.

    Args:
        per_print_times: print every so many steps; 0 prints at the end of each epoch only. Default: 100.
    """

    def __init__(self, per_print_times: int = 100):
        super().__init__()
        self._every = per_print_times
        self._begin = 0.0

    def on_train_begin(self, run_context: Any) -> None:
        """Start the clock."""
        self._begin = time.monotonic()

    def on_train_step_end(self, run_context: Any) -> None:
        """Print one line every ``per_print_times`` steps."""
        state = run_context.original_args()
        if self._every and state.cur_step_num % self._every == 0:
            self._print(state)

    def on_train_epoch_end(self, run_context: Any) -> None:
        """Print one line, and the layers."""
        state = run_context.original_args()
        self._print(state)
        for row in scale_statistics(state.network):
            print(f"  {row['layer']:32} scale mean {row['mean']:.3f} min {row['min']:.3f} max {row['max']:.3f} "
                  f"losing {row['losing']:4.0%}", flush=True)

    def _print(self, state: Any) -> None:
        total = state.batch_num * state.epoch_num
        done = max(1, state.cur_step_num)
        remaining = (time.monotonic() - self._begin) / done * (total - done)
        rows = scale_statistics(state.network)
        mean = np.mean([row["mean"] for row in rows]) if rows else float("nan")
        losing = np.mean([row["losing"] for row in rows]) if rows else float("nan")
        print(f"knockoff step {done}/{total}, loss {_loss(state.net_outputs):.4f}, mean scale {mean:.3f}, "
              f"losing {losing:.0%}, {remaining:.0f} s left", flush=True)


def _loss(outputs: Any) -> float:
    value = outputs[0] if isinstance(outputs, (tuple, list)) else outputs
    return float(value.asnumpy().mean()) if hasattr(value, "asnumpy") else float("nan")
