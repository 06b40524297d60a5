"""Where a training goes on that was killed at any step."""

from types import SimpleNamespace

import mindspore as ms
from mindspore import nn
from src.progress import Progress
from src.snapshots import Snapshots


def at(step, steps=2):
    """What a callback sees behind a step of a stretch with so many steps."""
    values = SimpleNamespace(cur_step_num=step, batch_num=steps, net_outputs=ms.Tensor(float(step)))
    return SimpleNamespace(original_args=lambda: values)


def begun(folder):
    """A training of one epoch of two steps, with what an earlier process has saved."""
    net, progress = nn.Dense(2, 1), Progress("", 1, 2)
    snapshots = Snapshots(folder, "run", "stage", every=1)
    return progress, snapshots, snapshots.restore(net, nn.SGD(net.trainable_params(), 0.1), progress)


def test_a_kill_between_the_last_step_and_the_end_of_its_epoch_loses_no_entry_of_the_log(tmp_path):
    progress, snapshots, done = begun(tmp_path)
    assert done == 0
    for step in (1, 2):
        progress.on_train_step_end(at(step))
        snapshots.on_train_step_end(at(step))
    progress, snapshots, done = begun(tmp_path)  # killed here
    assert done == 1 and progress.losses == [1.0]
    snapshots.go_on_behind(1)
    progress.on_train_step_end(at(1, steps=1))
    progress.on_train_epoch_end(at(1, steps=1))
    snapshots.on_train_epoch_end(at(1, steps=1))
    progress, _, done = begun(tmp_path)
    assert done == 2 and [entry["loss"] for entry in progress.log] == [1.0]
