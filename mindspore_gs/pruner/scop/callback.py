"""Watch the knockoff phase: loss, mean scale and remaining time in one line, and at the end who loses."""

import logging
import sys
import time
from typing import Any

import numpy as np
from mindspore import nn
from mindspore.train import Callback

from mindspore_gs._config import not_negative
from mindspore_gs.progress import loss_of
from mindspore_gs.pruner.optimizers import check_run
from mindspore_gs.pruner.overflow import check_loss
from mindspore_gs.pruner.scop.cells import KfConv2d

_log = logging.getLogger("mindspore_gs")


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

    On a terminal it is one line that is updated; in a log, single lines. At the end one line says how many channels
    lose. An optimizer that does not train the scales is an error before the first step, and if no scale moves in it, a
    warning after it.

    Args:
        per_print_times: print every so many steps; 0 prints at the end of each epoch only. Default: 100.
    """

    def __init__(self, per_print_times: int = 100):
        super().__init__()
        self._every = not_negative("KfCallback", "per_print_times", per_print_times)
        self._begin = 0.0
        self._start: list[np.ndarray] = []
        self._live: Any = None

    def on_train_begin(self, run_context: Any) -> None:
        """Check the optimizer, and start the clock.

        Raises:
            PruningError: the optimizer trains none of the scales.
        """
        state = run_context.original_args()
        check_run(state)
        self._start = _scales(state.network)
        self._begin = time.monotonic()
        if sys.stdout.isatty():
            from mindspore_gs._terminal import Line

            self._live = Line(sys.stdout)

    def on_train_step_end(self, run_context: Any) -> None:
        """Say how it stands, every ``per_print_times`` steps."""
        state = run_context.original_args()
        if self._start:
            self._warn_if_nothing_moved(state)
        if self._every and state.cur_step_num % self._every == 0:
            check_loss(state)
            self._say(state)

    def on_train_epoch_end(self, run_context: Any) -> None:
        """Say how it stands.

        Raises:
            PruningError: the loss is NaN or infinite; it names the layer that it comes from.
        """
        state = run_context.original_args()
        check_loss(state)
        if not (self._every and state.cur_step_num % self._every == 0):
            self._say(state)

    def on_train_end(self, run_context: Any) -> None:
        """Say how many channels of how many layers lose."""
        self._stop()
        print(_verdict(_scales(run_context.original_args().network)), flush=True)

    def __exit__(self, *error: Any) -> None:
        """``Model.train`` leaves here, also when a step has failed: the terminal is as it was."""
        self._stop()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.close()
            self._live = None

    def _warn_if_nothing_moved(self, state: Any) -> None:
        """Once, after the first step; with dynamic loss scaling a step may be left out, so it only warns."""
        if all(np.array_equal(a, b) for a, b in zip(self._start, _scales(state.network))):
            _log.warning("no knockoff scale moved in the first step. Make the optimizer after kf.apply, from "
                         "net.trainable_params(), with a learning rate above 0, and let the loss depend on the "
                         "network that kf.apply returned.")
        self._start = []

    def _say(self, state: Any) -> None:
        total = state.batch_num * state.epoch_num
        done = max(1, state.cur_step_num)
        remaining = (time.monotonic() - self._begin) / done * (total - done)
        found = _scales(state.network)
        mean = np.concatenate(found).mean() if found else float("nan")
        text = (f"knockoff step {done}/{total}, loss {loss_of(state.net_outputs):.4f}, mean scale {mean:.3f}, "
                f"{remaining:.0f} s left")
        if self._live is not None:
            self._live.say(text)
        else:
            print(text, flush=True)


def _scales(net: nn.Cell) -> list[np.ndarray]:
    return [cell.scale() for _, cell in net.cells_and_names() if isinstance(cell, KfConv2d)]


def _verdict(found: list[np.ndarray]) -> str:
    losing = [int((scale < 0.5).sum()) for scale in found]
    return (f"{sum(losing)} of {sum(map(len, found))} channels lose against their knockoffs, "
            f"in {sum(map(bool, losing))} of {len(found)} layers")
