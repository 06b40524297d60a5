"""JointRD in mixed precision and in sink mode."""

from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindspore_gs._precision import casts_in
from mindspore_gs.distill import JointRD
from mindspore_gs.errors import PruningError
from tests.helpers import image, randomise, relative_difference
from tests.networks import Identity

SHAPE = (1, 3, 8, 8)


def joint_of(**options):
    return JointRD(randomise(Identity(), 2), nn.CrossEntropyLoss(), SHAPE, **options)


class Losses(ms.train.Callback):
    def __init__(self):
        super().__init__()
        self.found = []

    def on_train_step_end(self, run_context):
        self.found.append(run_context.original_args().net_outputs)


def test_mixed_precision_learns_what_single_precision_does(graph_mode):
    """O2 with a loss scale: the loss is float32, and the losses are those of O0 within the rounding of a half."""
    scale = 128.0
    rows = [(image(8, 3, 8, 8).asnumpy(), np.arange(8, dtype=np.int32) % 4)] * 3
    found = {}
    for level in ("O0", "O2"):
        ms.set_seed(1)  # of the connectors
        joint, losses = joint_of(kl=0.5, feature_weight=1e-3), Losses()
        before = joint.student.a.weight.asnumpy().copy()
        optimizer = nn.Momentum(joint.trainable_params(), 0.02, 0.9, loss_scale=scale)
        manager = ms.FixedLossScaleManager(scale, drop_overflow_update=False)
        model = ms.Model(joint, optimizer=optimizer, amp_level=level, loss_scale_manager=manager)
        data = ms.dataset.GeneratorDataset(rows, ["x", "y"], shuffle=False)
        model.train(1, data, [*joint.callbacks(), losses], dataset_sink_mode=False)
        assert all(loss.dtype == ms.float32 for loss in losses.found)
        found[level] = [float(loss) for loss in losses.found]
        assert np.abs(joint.student.a.weight.asnumpy() - before).max() > 1e-4
        assert all(p.dtype == ms.float32 for p in joint.get_parameters())
    np.testing.assert_allclose(found["O2"], found["O0"], rtol=0.03)
    assert found["O2"] != found["O0"]
    plain, x = joint.convert(), image(2, 3, 8, 8)
    assert casts_in(joint.student) and not casts_in(plain)
    assert not any(getattr(cell, "fp16", False) for _, cell in plain.cells_and_names())
    got, half = plain.set_train(False)(x), joint.student.set_train(False)(x)
    assert got.dtype == ms.float32 and relative_difference(got, half.float()) < 0.01


def at_step(callback, step, sink, batches=10, epochs=4):
    state = SimpleNamespace(cur_step_num=step, cur_epoch_num=(step - 1) // batches + 1, batch_num=batches,
                            epoch_num=epochs, dataset_sink_mode=sink, train_dataset_element=None)
    callback.on_train_step_begin(SimpleNamespace(original_args=lambda: state))


def test_in_sink_mode_the_share_of_the_mixed_paths_is_that_of_the_epoch():
    """MindSpore calls once for each epoch, and has counted its steps already."""
    joint = joint_of()
    callback = joint.callbacks()[0]
    for epoch in range(4):
        at_step(callback, 10 * (epoch + 1), sink=True)
        assert float(joint.m) == pytest.approx(joint.share_of_mixed_paths(epoch / 4), abs=1e-6)
        at_step(callback, 10 * epoch + 4, sink=False)
        assert float(joint.m) == pytest.approx(joint.share_of_mixed_paths((10 * epoch + 3) / 40), abs=1e-6)


def test_a_teacher_that_learns_is_refused_in_sink_mode():
    joint = joint_of()
    callback = joint.callbacks(nn.SGD(list(joint.teacher.get_parameters()), 0.1))[0]
    with pytest.raises(PruningError, match="sees each batch only with dataset_sink_mode=False"):
        at_step(callback, 10, sink=True)
