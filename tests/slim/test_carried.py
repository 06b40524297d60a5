"""A network with a part that was made small by itself: rounds go on, it is stored, and it comes back."""

import mindspore as ms
import pytest
from mindspore import nn, ops

from mindspore_gs import ChannelPruner, load_pruned, save_pruned, summary
from mindspore_gs.errors import CheckpointError
from mindspore_gs.slim.carried import carried_plan
from tests.helpers import evaluate, image, parameter_count, randomise

SHAPE = (1, 3, 8, 8)


class Back(nn.Cell):
    """Three convolutions, the last two in a residual block."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(i, 8, 3) for i in (3, 8, 8))
        self.norm = nn.BatchNorm2d(8)

    def construct(self, x):
        x = ops.relu(self.a(x))
        return x + self.norm(self.c(ops.relu(self.b(x))))


class Detector(nn.Cell):
    """A backbone, a neck and a head."""

    def __init__(self):
        super().__init__()
        self.back, self.neck, self.head = Back(), nn.Conv2d(8, 8, 3), nn.Dense(8, 4)

    def construct(self, x):
        return self.head(ops.relu(self.neck(self.back(x))).mean((2, 3)))


def _pruned(net, residual="couple"):
    return ChannelPruner(prune_rate=0.5, residual=residual, input_shape=SHAPE).shrink(net)


def _shapes(net):
    return [p.shape[:2] for p in net.trainable_params() if p.ndim == 4]


@pytest.mark.parametrize("residual", ["couple", "keep"])
@pytest.mark.parametrize("order", ["part", "part, whole", "whole, part", "part, whole, part, whole"])
def test_a_network_with_a_slim_part_is_stored(order, residual, tmp_path):
    net = randomise(Detector())
    for what in order.split(", "):
        if what == "part":
            net.back = _pruned(net.back, residual)
        else:
            net = _pruned(net, residual)
    again = load_pruned(Detector, save_pruned(net, tmp_path / "x"))
    assert _shapes(again) == _shapes(net) != _shapes(Detector())
    x = image(2, *SHAPE[1:])
    assert ms.ops.equal(evaluate(again, x), evaluate(net, x)).all()
    assert carried_plan(again) == carried_plan(net)


def test_of_a_cell_with_the_loss_the_network_is_stored(tmp_path):
    small = _pruned(randomise(Detector()))
    expected = evaluate(small, image(2, *SHAPE[1:])).asnumpy()
    path = save_pruned(nn.WithLossCell(small, nn.CrossEntropyLoss()), tmp_path / "x")
    assert (evaluate(load_pruned(Detector, path), image(2, *SHAPE[1:])).asnumpy() == expected).all()


def test_a_part_that_was_changed_since_is_refused_when_it_is_stored(tmp_path):
    net = _pruned(randomise(Detector()))
    net.back = Back()
    with pytest.raises(CheckpointError, match=r"Detector was not made by this plan, which leaves \d positions on axis"):
        save_pruned(net, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_report_knows_the_original_network():
    net = randomise(Detector())
    net.back = _pruned(net.back)
    with pytest.raises(ValueError, match="give the original network first"):
        summary(net, Detector(), SHAPE)
    report = summary(Detector(), net, SHAPE)
    assert report.params_after == parameter_count(net) < report.params_before == parameter_count(Detector())
